// What a role permits, by area. What one may not do oneself is shown and locked.
import { useId } from "react";
import { Table, Td, Th } from "../../ui/Table";
import { useMe } from "../auth/session";
import type { RoleRights } from "./queries";
import { AREAS, granted, holds, withRight } from "./rights";

interface RightsTableProps {
  value: RoleRights;
  onChange: (value: RoleRights) => void;
  disabled: boolean;
}

export function RightsTable({ value, onChange, disabled }: RightsTableProps) {
  const { permissions } = useMe();
  return (
    <Table caption="What the role permits">
      <thead>
        <tr>
          <Th>Area</Th>
          <Th>Right</Th>
          <Th className="hidden w-full sm:table-cell">What it allows</Th>
        </tr>
      </thead>
      <tbody>
        <Right
          area="Chat"
          span={1}
          label="Ask models"
          about="Chat, and the API for programs."
          checked={value.chat === true}
          mine={(permissions as Record<string, unknown>).chat === true}
          disabled={disabled}
          onChange={(chat) => onChange({ ...value, chat })}
        />
        {AREAS.map(({ area, label, rights }) =>
          rights.map((right, at) => (
            <Right
              key={`${area}.${right.name}`}
              area={at === 0 ? label : null}
              span={rights.length}
              label={right.label}
              about={right.about}
              checked={granted(value, area, right.name)}
              mine={holds(permissions, area, right.name)}
              disabled={disabled}
              onChange={(on) => onChange(withRight(value, area, right.name, on))}
            />
          )),
        )}
      </tbody>
    </Table>
  );
}

interface RightProps {
  area: string | null;
  span: number;
  label: string;
  about: string;
  checked: boolean;
  mine: boolean;
  disabled: boolean;
  onChange: (on: boolean) => void;
}

function Right({ area, span, label, about, checked, mine, disabled, onChange }: RightProps) {
  const id = useId();
  const words = (
    <>
      {about}
      {!mine && !disabled && <span className="text-ink-3"> You do not have this right yourself.</span>}
    </>
  );
  return (
    <tr>
      {area !== null && (
        <th
          scope="rowgroup"
          rowSpan={span}
          className="border-b border-line px-3.5 py-2 text-left align-top font-medium"
        >
          {area}
        </th>
      )}
      <Td className="sm:whitespace-nowrap">
        <span className="flex items-center gap-2.5">
          <input
            id={id}
            type="checkbox"
            checked={checked}
            disabled={disabled || !mine}
            onChange={(event) => onChange(event.target.checked)}
            className="size-4 shrink-0 accent-(--accent)"
          />
          <label htmlFor={id} className={checked ? "font-medium" : "text-ink-2"}>
            {label}
          </label>
        </span>
        <p className="mt-0.5 ml-6.5 text-ink-2 sm:hidden">{words}</p>
      </Td>
      <Td className="hidden min-w-56 text-ink-2 sm:table-cell">{words}</Td>
    </tr>
  );
}

// Which tools a role allows and denies, and what its people may spend.
import { Plus } from "lucide-react";
import { useState } from "react";
import { Field } from "../../ui/Field";
import { fieldError } from "../../ui/fieldError";
import { Panel } from "../../ui/Panel";
import { Switch } from "../../ui/Switch";
import { TextArea } from "../../ui/TextArea";
import { TOOL_NAMES } from "../chat/toolWords";
import type { RoleRights } from "./queries";
import { listed } from "./rights";

interface FieldsProps {
  value: RoleRights;
  onChange: (value: RoleRights) => void;
  disabled: boolean;
  error: Error | null;
}

export function ToolFields({ value, onChange, disabled, error }: FieldsProps) {
  const { allowed = [], denied = [] } = value.tools ?? {};
  const all = allowed.includes("*");
  // What is typed, which has commas and half names in it that the list has not.
  const [some, setSome] = useState(() => allowed.filter((tool) => tool !== "*").join(", "));
  const [never, setNever] = useState(() => denied.join(", "));
  const put = (tools: { allowed: string[]; denied: string[] }) => onChange({ ...value, tools });
  const allow = (typed: string) => {
    setSome(typed);
    put({ allowed: listed(typed), denied });
  };
  const deny = (typed: string) => {
    setNever(typed);
    put({ allowed, denied: listed(typed) });
  };
  return (
    <Panel
      title="Tools"
      about="A tool that any role of a person denies stays denied, whatever another allows."
    >
      <div className="grid gap-5 sm:grid-cols-2">
        <div className="space-y-3">
          <Switch
            label="All tools"
            hint="Also those that come later."
            checked={all}
            disabled={disabled}
            onChange={(on) => put({ allowed: on ? ["*"] : listed(some), denied })}
          />
          {!all && (
            <>
              <TextArea
                label="Only these tools"
                rows={2}
                mono
                disabled={disabled}
                value={some}
                onChange={(event) => allow(event.target.value)}
                error={fieldError(error, "permissions.tools.allowed")}
                hint="Names, with commas between. Empty: none."
              />
              {!disabled && <Names label="Allow" typed={some} onChange={allow} />}
            </>
          )}
        </div>
        <div className="space-y-3">
          <TextArea
            label="Never these tools"
            rows={2}
            mono
            disabled={disabled}
            value={never}
            onChange={(event) => deny(event.target.value)}
            error={fieldError(error, "permissions.tools.denied")}
            hint="Denied to everybody who has the role."
          />
          {!disabled && <Names label="Deny" typed={never} onChange={deny} />}
        </div>
      </div>
    </Panel>
  );
}

/** The tools that come with AIBox and are not named yet: a press names one. */
function Names(props: { label: string; typed: string; onChange: (typed: string) => void }) {
  const { label, typed, onChange } = props;
  const named = listed(typed);
  const others = TOOL_NAMES.filter((name) => !named.includes(name));
  return (
    <ul aria-label="Tools of AIBox" className="flex flex-wrap gap-1.5">
      {others.map((name) => (
        <li key={name}>
          <button
            type="button"
            aria-label={`${label} ${name}`}
            onClick={() => onChange([...named, name].join(", "))}
            className="inline-flex items-center gap-1 rounded-full border border-line bg-surface px-2 py-0.5 font-mono text-xs text-ink-2 hover:border-accent hover:text-accent"
          >
            <Plus aria-hidden className="size-3" /> {name}
          </button>
        </li>
      ))}
    </ul>
  );
}

export function LimitFields({ value, onChange, disabled, error }: FieldsProps) {
  const limits = [
    {
      key: "monthly_limit_usd",
      label: "A month, in dollars",
      hint: "All that a person spends, whatever they use.",
    },
    { key: "per_request_limit_usd", label: "A call, in dollars", hint: "One call may cost at most this." },
  ] as const;
  return (
    <Panel title="Limits" about="Of several roles the lowest limit holds. Empty: this role sets none.">
      <div className="grid gap-4 sm:grid-cols-2">
        {limits.map(({ key, label, hint }) => (
          <Field
            key={key}
            label={label}
            name={key}
            inputMode="decimal"
            pattern="\d*\.?\d*"
            disabled={disabled}
            value={value.cost?.[key] ?? ""}
            onChange={(event) =>
              onChange({ ...value, cost: { ...value.cost, [key]: event.target.value.trim() || null } })
            }
            error={fieldError(error, `permissions.cost.${key}`)}
            hint={hint}
          />
        ))}
      </div>
    </Panel>
  );
}

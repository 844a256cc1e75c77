// The fields that adding and editing a provider share.
import type { ReactNode } from "react";
import { Field } from "../../ui/Field";
import { Select } from "../../ui/Select";
import type { Adapter } from "./queries";
import { adapterWords } from "./words";

interface KeyFieldProps {
  value: string;
  onValue: (value: string) => void;
  error: string | null;
  hint: ReactNode;
  disabled?: boolean;
}

/** Write-only: what is stored is never sent to a browser. */
export function KeyField({ value, onValue, ...rest }: KeyFieldProps) {
  return (
    <Field
      label="API key"
      name="api_key"
      type="password"
      autoComplete="off"
      data-1p-ignore
      spellCheck={false}
      value={value}
      onChange={(event) => onValue(event.target.value)}
      {...rest}
    />
  );
}

interface KindFieldsProps {
  type: "external" | "vllm";
  adapter: Adapter;
  onChange: (part: { type?: "external" | "vllm"; adapter?: Adapter }) => void;
}

export function KindFields({ type, adapter, onChange }: KindFieldsProps) {
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <Select
        label="Speaks"
        value={adapter}
        onChange={(event) => onChange({ adapter: event.target.value as Adapter })}
      >
        {Object.entries(adapterWords).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </Select>
      <Select
        label="Kind"
        value={type}
        onChange={(event) => onChange({ type: event.target.value as "external" | "vllm" })}
        hint={
          type === "vllm"
            ? "In this house: costs nothing unless priced, and tells its metrics."
            : "Outside the house: its guardrail profile and prices hold."
        }
      >
        <option value="external">A service by URL</option>
        <option value="vllm">vLLM of our own</option>
      </Select>
    </div>
  );
}

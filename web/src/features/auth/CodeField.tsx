// The six digits of an authenticator app: typed, pasted or filled in by the browser, and sent with the last one.
import { useEffect, useRef } from "react";
import { Field } from "../../ui/Field";
import { CODE_LENGTH, digitsOf } from "./codes";

interface CodeFieldProps {
  value: string;
  onValue: (digits: string) => void;
  onComplete: (digits: string) => void;
  busy: boolean;
  error?: string | null;
  hint?: string;
}

export function CodeField({ value, onValue, onComplete, busy, error, hint }: CodeFieldProps) {
  const frame = useRef<HTMLDivElement>(null);

  // A refused code is emptied: the next one is typed at once, wherever the focus went meanwhile.
  useEffect(() => {
    if (!busy) frame.current?.querySelector("input")?.focus();
  }, [busy]);

  return (
    <div ref={frame} className="[&_input]:font-mono [&_input]:text-xl [&_input]:tracking-[0.4em]">
      <Field
        label="Code of six digits"
        name="one-time-code"
        inputMode="numeric"
        autoComplete="one-time-code"
        required
        maxLength={CODE_LENGTH + 1}
        readOnly={busy}
        value={value}
        error={error}
        hint={hint}
        onChange={(event) => {
          const digits = digitsOf(event.target.value);
          onValue(digits);
          if (digits.length === CODE_LENGTH && digits !== value) onComplete(digits);
        }}
      />
    </div>
  );
}

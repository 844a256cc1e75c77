// A labelled input with its hint and its error, tied together for screen readers.
import { type ComponentProps, type ReactNode, useId } from "react";
import { cx } from "./cx";

type FieldProps = ComponentProps<"input"> & { label: string; hint?: ReactNode; error?: string | null };

export function Field({ label, hint, error, className, ...rest }: FieldProps) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1.5 block font-medium text-ink">
        {label}
      </label>
      <input
        id={id}
        aria-invalid={error ? true : undefined}
        aria-describedby={described || undefined}
        {...rest}
        className={cx(
          "h-11 w-full rounded-lg border bg-surface px-3 text-base text-ink placeholder:text-ink-3",
          error ? "border-danger" : "border-line-strong",
        )}
      />
      {hint && (
        <div id={`${id}-hint`} className="mt-1.5 text-sm text-ink-3">
          {hint}
        </div>
      )}
      {error && (
        <p id={`${id}-error`} className="mt-1.5 text-sm text-danger">
          {error}
        </p>
      )}
    </div>
  );
}

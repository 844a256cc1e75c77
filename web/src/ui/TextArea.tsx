// A labelled box for several lines, with its hint and its error.
import { type ComponentProps, type ReactNode, useId } from "react";
import { cx } from "./cx";

type TextAreaProps = ComponentProps<"textarea"> & {
  label: string;
  hideLabel?: boolean;
  hint?: ReactNode;
  error?: string | null;
  /** For code and Markdown. */
  mono?: boolean;
};

export function TextArea({
  label,
  hideLabel = false,
  hint,
  error,
  mono = false,
  className,
  ...rest
}: TextAreaProps) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className={className}>
      <label htmlFor={id} className={hideLabel ? "sr-only" : "mb-1.5 block font-medium text-ink"}>
        {label}
      </label>
      <textarea
        id={id}
        rows={5}
        aria-invalid={error ? true : undefined}
        aria-describedby={described || undefined}
        {...rest}
        className={cx(
          "block w-full resize-y rounded-lg border bg-surface px-3 py-2 text-ink placeholder:text-ink-3",
          mono ? "font-mono text-sm" : "text-base",
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

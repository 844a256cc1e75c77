// A labelled choice of one, by the browser's own list: it works by keyboard, by thumb and by voice.
import { ChevronDown } from "lucide-react";
import { type ComponentProps, type ReactNode, useId } from "react";
import { cx } from "./cx";

type SelectProps = ComponentProps<"select"> & { label: string; hideLabel?: boolean; hint?: ReactNode };

export function Select({ label, hideLabel = false, hint, className, children, ...rest }: SelectProps) {
  const id = useId();
  return (
    <div className={className}>
      <label htmlFor={id} className={cx(hideLabel ? "sr-only" : "mb-1.5 block font-medium text-ink")}>
        {label}
      </label>
      <span className="relative block">
        <select
          id={id}
          aria-describedby={hint ? `${id}-hint` : undefined}
          {...rest}
          className={cx(
            "w-full appearance-none truncate rounded-lg border border-line-strong bg-surface pr-9 pl-3 text-ink",
            hideLabel ? "h-9 text-sm" : "h-11 text-base",
          )}
        >
          {children}
        </select>
        <ChevronDown
          aria-hidden
          className="pointer-events-none absolute top-1/2 right-3 size-4 -translate-y-1/2 text-ink-3"
        />
      </span>
      {hint && (
        <div id={`${id}-hint`} className="mt-1.5 text-sm text-ink-3">
          {hint}
        </div>
      )}
    </div>
  );
}

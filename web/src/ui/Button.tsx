// Buttons: one loud, one quiet, one dangerous, one that is words alone, and the square one that holds an icon.
import { LoaderCircle } from "lucide-react";
import type { ComponentProps, ReactNode } from "react";
import { cx } from "./cx";

const looks = {
  primary: "bg-accent text-accent-ink hover:bg-accent-hover",
  quiet: "border border-line-strong/60 bg-surface text-ink hover:bg-sunken",
  /** Takes its colour from `className`. */
  plain: "hover:bg-sunken",
  danger: "bg-danger text-surface hover:brightness-110 dark:text-bg",
};

type ButtonProps = ComponentProps<"button"> & { look?: keyof typeof looks; busy?: boolean };

export function Button({ look = "primary", busy = false, className, children, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      aria-busy={busy || undefined}
      {...rest}
      disabled={rest.disabled || busy}
      className={cx(
        "inline-flex h-10 items-center justify-center gap-2 rounded-lg px-4 font-medium transition-colors",
        "disabled:opacity-60",
        looks[look],
        className,
      )}
    >
      {busy && <LoaderCircle aria-hidden className="size-4 animate-spin" />}
      {children}
    </button>
  );
}

type IconButtonProps = ComponentProps<"button"> & { label: string; children: ReactNode };

/** An icon alone says little: the label is its accessible name and its tooltip. */
export function IconButton({ label, className, children, ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      {...rest}
      className={cx(
        "inline-flex size-8 shrink-0 items-center justify-center rounded-md text-ink-3 transition-colors",
        "hover:bg-sunken hover:text-ink disabled:opacity-40 disabled:hover:bg-transparent",
        className,
      )}
    >
      {children}
    </button>
  );
}

// A short word about a thing: its state or its kind. A state also shows a dot, for colour alone says too little.
import type { ReactNode } from "react";
import { cx } from "./cx";

const tones = {
  neutral: { look: "bg-sunken text-ink-2", dot: "bg-ink-3" },
  good: { look: "bg-accent-soft text-accent", dot: "bg-accent" },
  warn: { look: "bg-warn-soft text-warn", dot: "bg-warn" },
  danger: { look: "bg-danger-soft text-danger", dot: "bg-danger" },
};

export type Tone = keyof typeof tones;

interface BadgeProps {
  tone?: Tone;
  dot?: boolean;
  title?: string;
  className?: string;
  children: ReactNode;
}

export function Badge({ tone = "neutral", dot = false, title, className, children }: BadgeProps) {
  return (
    <span
      title={title}
      className={cx(
        "inline-flex items-center gap-1.5 rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap",
        tones[tone].look,
        className,
      )}
    >
      {dot && <span aria-hidden className={cx("size-1.5 rounded-full", tones[tone].dot)} />}
      {children}
    </span>
  );
}

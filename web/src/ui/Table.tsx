// A table that scrolls within its frame on a narrow screen. Numbers stand to the right, in figures of one width.
import type { ComponentProps, ReactNode } from "react";
import { cx } from "./cx";

interface TableProps {
  /** Says what the table is to those who cannot see around it. */
  caption: string;
  /** False where it stands in a frame already. */
  framed?: boolean;
  children: ReactNode;
}

export function Table({ caption, framed = true, children }: TableProps) {
  return (
    <section
      aria-label={caption}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled with the arrow keys.
      tabIndex={0}
      className={cx(
        "relative overflow-x-auto -outline-offset-2",
        framed && "rounded-xl border border-line bg-surface",
      )}
    >
      <table className="w-full border-collapse text-sm">
        <caption className="sr-only">{caption}</caption>
        {children}
      </table>
    </section>
  );
}

type CellProps = ComponentProps<"td"> & { numeric?: boolean };

export function Th({ numeric = false, className, ...rest }: ComponentProps<"th"> & { numeric?: boolean }) {
  return (
    <th
      scope="col"
      {...rest}
      className={cx(
        "border-b border-line bg-sunken/60 px-3.5 py-2 font-medium whitespace-nowrap text-ink-2",
        numeric ? "text-right" : "text-left",
        className,
      )}
    />
  );
}

export function Td({ numeric = false, className, ...rest }: CellProps) {
  return (
    <td
      {...rest}
      className={cx(
        "border-b border-line px-3.5 py-2 align-top [tr:last-child>&]:border-b-0",
        numeric && "text-right whitespace-nowrap tabular-nums",
        className,
      )}
    />
  );
}

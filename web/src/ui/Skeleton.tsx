// The place of what is still being loaded, so that nothing jumps when it comes.
import { cx } from "./cx";

export function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden className={cx("block animate-pulse rounded-lg bg-sunken", className)} />;
}

/** Rows to come, and one word for those who cannot see them. */
export function SkeletonRows({ rows = 3, className = "h-14" }: { rows?: number; className?: string }) {
  return (
    <div role="status" className="space-y-2">
      <span className="sr-only">Loading…</span>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all the same and never move.
        <Skeleton key={row} className={className} />
      ))}
    </div>
  );
}

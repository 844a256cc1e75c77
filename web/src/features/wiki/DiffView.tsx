// What changed between two versions of a page, line by line.
import { useQuery } from "@tanstack/react-query";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { SkeletonRows } from "../../ui/Skeleton";
import { type DiffLine, diffLines } from "./diff";
import { diffQuery } from "./queries";

const looks: Record<DiffLine["kind"], { sign: string; look: string; spoken: string }> = {
  added: { sign: "+", look: "bg-accent-soft text-ink", spoken: "Added: " },
  removed: { sign: "−", look: "bg-danger-soft text-ink", spoken: "Removed: " },
  same: { sign: " ", look: "text-ink-2", spoken: "" },
  place: { sign: " ", look: "bg-sunken text-ink-3", spoken: "" },
};

export function DiffView({ topic, older, newer }: { topic: string; older: number; newer: number }) {
  const diff = useQuery(diffQuery(topic, older, newer));
  if (diff.error) return <Failure error={diff.error} onRetry={() => void diff.refetch()} />;
  if (!diff.data) return <SkeletonRows rows={1} className="h-40" />;
  const lines = diffLines(diff.data.diff);
  if (lines.length === 0) return <p className="text-sm text-ink-2">The two versions say the same.</p>;
  return (
    <section
      aria-label={`What version ${newer} changed`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a long difference is scrolled with the arrow keys.
      tabIndex={0}
      data-testid="diff"
      className="overflow-x-auto rounded-xl border border-line bg-surface py-1 font-mono text-[0.8125rem]"
    >
      {lines.map(({ kind, text }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines of a difference never move.
        <div key={index} className={cx("flex gap-2 px-3", looks[kind].look)}>
          <span aria-hidden className="w-3 shrink-0 select-none">
            {looks[kind].sign}
          </span>
          <span className="min-w-0 break-words whitespace-pre-wrap">
            <span className="sr-only">{looks[kind].spoken}</span>
            {text || " "}
          </span>
        </div>
      ))}
    </section>
  );
}

// The tools that were used between two passages of an answer: a line each, which opens, or a card where one asks.
import { useQuery } from "@tanstack/react-query";
import { Ban, Check, ChevronRight, LoaderCircle, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { SkeletonRows } from "../../ui/Skeleton";
import { ApprovalCard } from "./ApprovalCard";
import { Members } from "./Members";
import { recordedQuery } from "./queries";
import type { ToolUse } from "./run";
import { asks, decisionWords, glimpse, toolLine } from "./toolWords";

const marks = {
  running: <LoaderCircle aria-hidden className="size-3.5 animate-spin text-accent" />,
  done: <Check aria-hidden className="size-3.5 text-accent" />,
  failed: <TriangleAlert aria-hidden className="size-3.5 text-warn" />,
  denied: <Ban aria-hidden className="size-3.5 text-ink-3" />,
};

export function ToolUses({ uses, turnId }: { uses: ToolUse[]; turnId: string | null }) {
  const lines = useRef<HTMLUListElement>(null);
  const asking = uses.find(asks);
  /** The call that a press of ours has just decided: its card goes, and with it the focus. */
  const answered = useRef<string | null>(null);
  const waitsFor = asking?.callId;
  useEffect(() => {
    if (answered.current === null || answered.current === waitsFor) return;
    if (document.activeElement === document.body) {
      lines.current
        ?.querySelector<HTMLElement>(`[data-call="${CSS.escape(answered.current)}"] summary`)
        ?.focus();
    }
    answered.current = null;
  }, [waitsFor]);
  const others = uses.filter((use) => use !== asking);
  return (
    <div className="my-3 space-y-2 first:mt-0">
      {others.length > 0 && (
        <ul
          ref={lines}
          aria-label="Tools used"
          className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-surface text-[0.8125rem]"
        >
          {others.map((use) => (
            <ToolLine key={use.callId} use={use} turnId={turnId} />
          ))}
        </ul>
      )}
      {asking && (
        <ApprovalCard
          key={asking.approval.id}
          tool={asking.name}
          approval={asking.approval}
          onAnswer={() => {
            answered.current = asking.callId;
          }}
        />
      )}
    </div>
  );
}

function ToolLine({ use, turnId }: { use: ToolUse; turnId: string | null }) {
  const [open, setOpen] = useState(false);
  // What the model wrote is not what was done where its person changed it.
  const said = isChanged(use) ? "" : glimpse(use.words?.given);
  const decision = decisionWords(use);
  const problem = use.state === "failed" ? use.words?.gave : null;
  return (
    <li data-testid="tool" data-call={use.callId} data-state={use.state}>
      <details
        className="group/tool"
        open={open}
        onToggle={(event) => setOpen((event.target as HTMLDetailsElement).open)}
      >
        <summary className="flex list-none items-center gap-2 px-3 py-2 -outline-offset-2 hover:bg-sunken/60 [&::-webkit-details-marker]:hidden">
          {marks[use.state]}
          <span className="flex min-w-0 flex-1 flex-wrap items-baseline gap-x-2">
            <span className={cx("font-medium wrap-anywhere", use.state === "failed" && "text-warn")}>
              {toolLine(use)}
            </span>
            {said && <span className="min-w-0 flex-1 basis-24 truncate text-ink-3">{said}</span>}
            {decision && <span className="text-ink-3 sm:ml-auto">{decision}</span>}
            {problem && <span className="basis-full break-words text-warn">{problem}</span>}
          </span>
          <ChevronRight
            aria-hidden
            className="size-3.5 shrink-0 text-ink-3 transition-transform group-open/tool:rotate-90"
          />
        </summary>
        {open && (
          <div className="space-y-3 border-t border-line px-3 py-3">
            {use.words ? (
              <Words use={use} given={use.words.given} gave={use.words.gave} />
            ) : (
              turnId && <Recorded use={use} turnId={turnId} />
            )}
          </div>
        )}
      </details>
    </li>
  );
}

interface WordsProps {
  use: ToolUse;
  given: unknown;
  gave: string | null;
}

function Words({ use, given, gave }: WordsProps) {
  return (
    <>
      <Block title={givenTitle(use)}>
        <Members value={given} />
      </Block>
      {isChanged(use) && <p className="text-ink-2">You changed this before it was done.</p>}
      {gave !== null && use.state === "done" && (
        <Block title={GAVE}>
          <Members value={gave} />
        </Block>
      )}
      <p className="font-mono text-xs text-ink-3">{use.name}</p>
    </>
  );
}

/** The chat keeps no words of a tool: they are read from the turn's record, which the receipt proves. */
function Recorded({ use, turnId }: { use: ToolUse; turnId: string }) {
  const recorded = useQuery(recordedQuery(turnId));
  if (recorded.isPending) return <SkeletonRows rows={2} className="h-6" />;
  if (recorded.error) {
    return (
      <Failure
        title="The record of this turn could not be read"
        error={recorded.error}
        onRetry={() => void recorded.refetch()}
      />
    );
  }
  const words = recorded.data[use.callId];
  return (
    <>
      <p className="text-ink-2">
        {words
          ? "From the sealed record of this turn, which the receipt below proves."
          : "It was not used: the record of this turn has no such call."}
      </p>
      {words && (
        <Block title={givenTitle(use)}>{words.given === null ? GONE : <Members value={words.given} />}</Block>
      )}
      {words?.failure && (
        <p className="text-warn">
          It failed: <span className="font-mono text-xs">{words.failure}</span>
        </p>
      )}
      {words && use.state === "done" && (
        <Block title={GAVE}>{words.gave === null ? GONE : <Members value={words.gave} />}</Block>
      )}
      <p className="font-mono text-xs text-ink-3">{use.name}</p>
    </>
  );
}

const GAVE = "It returned";
const GONE = "It was erased.";

/** What the model wrote is what the tool was given, unless its person changed or refused it. */
function givenTitle(use: ToolUse): string {
  const isRefused = use.state === "denied" || use.approval?.status === "expired";
  return isRefused || isChanged(use) ? "The model asked for" : "It was given";
}

function isChanged({ approval }: ToolUse): boolean {
  return approval?.status === "approved_with_edits";
}

function Block({ title, children }: { title: string; children: ReactNode }) {
  return (
    <figure>
      <figcaption className="mb-1 text-xs text-ink-3">{title}</figcaption>
      <section
        aria-label={title}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled with the arrow keys.
        tabIndex={0}
        className="max-h-64 overflow-auto rounded-lg bg-sunken px-3 py-2 wrap-anywhere"
      >
        {children}
      </section>
    </figure>
  );
}

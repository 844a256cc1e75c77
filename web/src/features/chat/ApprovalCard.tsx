// A tool that waits for its person's word: what it wants to do, why it asks, until when, and the answers to it.
import { useQuery } from "@tanstack/react-query";
import { ShieldQuestion } from "lucide-react";
import { type ReactNode, useId, useState } from "react";
import { ApiError } from "../../api/errors";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Notice } from "../../ui/Notice";
import { SkeletonRows } from "../../ui/Skeleton";
import { memoryQuery } from "../memory/queries";
import { ArgumentsForm } from "./ArgumentsForm";
import { beyondArguments } from "./arguments";
import { Members } from "./Members";
import { useDecide, type Word } from "./queries";
import type { Approval } from "./run";
import { untilWords, whyItAsks, wishOf } from "./toolWords";

interface ApprovalCardProps {
  tool: string;
  approval: Approval;
  /** The answer is on its way. Once it is taken the run says so, and the card goes: perhaps before our request ends. */
  onAnswer: () => void;
}

export function ApprovalCard({ tool, approval, onAnswer }: ApprovalCardProps) {
  const id = useId();
  const [editing, setEditing] = useState(false);
  const [left, setLeft] = useState(false);
  const decision = useDecide(approval.id);
  const { error, isPending, isSuccess, variables } = decision;
  const isClosed = error instanceof ApiError && error.code === "approval_closed";
  const names = Object.keys(approval.arguments);
  // Nobody writes another thing's id.
  const isEditable = names.some((name) => !name.endsWith("_id"));
  const failure = isClosed ? null : beyondArguments(error, editing ? names : []);
  const say = (word: Word) => {
    onAnswer();
    decision.mutate(word);
  };
  return (
    <section
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-why`}
      data-testid="approval"
      className="flex gap-3 rounded-xl border border-warn-line bg-warn-soft px-4 py-3"
    >
      <ShieldQuestion aria-hidden className="mt-0.5 size-4.5 shrink-0 text-warn max-sm:hidden" />
      <div className="min-w-0 flex-1">
        <h2 id={`${id}-title`} className="font-semibold text-warn">
          {wishOf(tool)}
        </h2>
        <p id={`${id}-why`} className="text-sm text-ink-2">
          {whyItAsks(tool, approval.risk)} {untilWords(approval.expiresAt, new Date())}
        </p>
        {!editing && <Wanted tool={tool} given={approval.arguments} />}
        {isClosed && (
          <Notice kind="info" className="mt-3" title="It is too late to answer">
            {error.message}
          </Notice>
        )}
        {failure && <Failure className="mt-3" title="Your answer was not taken" error={failure} />}
        {isSuccess && (
          <p role="status" className="mt-3 text-sm text-ink-2">
            {variables.approve
              ? "Approved. It is done in a moment."
              : "Denied. The answer goes on in a moment."}
          </p>
        )}
        {editing && !isClosed && !isSuccess && (
          <ArgumentsForm
            given={approval.arguments}
            error={error}
            busy={isPending}
            onSave={(edited) => say({ approve: true, edited })}
            onCancel={() => {
              setEditing(false);
              setLeft(true);
              decision.reset();
            }}
          />
        )}
        {!editing && !isClosed && !isSuccess && (
          <div className="mt-3 flex flex-wrap gap-2">
            <Button
              className="h-9"
              busy={isPending && variables.approve}
              disabled={isPending}
              onClick={() => say({ approve: true })}
            >
              Approve
            </Button>
            <Button
              look="quiet"
              className="h-9"
              busy={isPending && !variables.approve}
              disabled={isPending}
              onClick={() => say({ approve: false })}
            >
              Deny
            </Button>
            {isEditable && (
              <Button
                look="plain"
                className="h-9 px-3 text-ink-2"
                disabled={isPending}
                // Who comes back from the form stands where they left.
                autoFocus={left}
                onClick={() => {
                  decision.reset();
                  setEditing(true);
                }}
              >
                Edit…
              </Button>
            )}
          </div>
        )}
      </div>
    </section>
  );
}

/** What it wants to do. Whatever has no form of its own here is shown member by member. */
function Wanted({ tool, given }: { tool: string; given: Approval["arguments"] }) {
  const { memory_id: memory, content, topic, base_version: base } = given;
  if (tool === "wiki_write" && typeof topic === "string" && typeof content === "string") {
    return (
      <>
        <p className="mt-2 break-words">
          <span className="font-medium">{topic}</span>
          <span className="text-ink-2">
            {typeof base === "number" ? `, in place of version ${base}` : ", a new page"}
          </span>
        </p>
        <Quote>
          {/* As it is written: rendered, what a link defines and nobody sees would be approved unseen. */}
          <Plain>{content}</Plain>
        </Quote>
      </>
    );
  }
  if (tool === "memory_store" && typeof content === "string") {
    return (
      <Quote>
        <Plain>{content}</Plain>
      </Quote>
    );
  }
  if (typeof memory === "string" && ["memory_get", "memory_update", "memory_delete"].includes(tool)) {
    return (
      <>
        <Quote>
          <MemoryText id={memory} />
        </Quote>
        {typeof content === "string" && (
          <>
            <p className="mt-2 text-sm text-ink-2">It is to say:</p>
            <Quote>
              <Plain>{content}</Plain>
            </Quote>
          </>
        )}
      </>
    );
  }
  return (
    <Quote>
      <Members value={given} />
    </Quote>
  );
}

function Quote({ children }: { children: ReactNode }) {
  return (
    <section
      aria-label="What it is about"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled with the arrow keys.
      tabIndex={0}
      className="mt-2 max-h-72 overflow-auto rounded-lg border border-warn-line bg-surface px-3 py-2 wrap-anywhere"
    >
      {children}
    </section>
  );
}

function Plain({ children }: { children: string }) {
  return <p className="whitespace-pre-wrap">{children}</p>;
}

/** The memory that is meant, as it is now: an id alone tells a person nothing. */
function MemoryText({ id }: { id: string }) {
  const memory = useQuery(memoryQuery(id));
  if (memory.isPending) return <SkeletonRows rows={1} className="h-6" />;
  if (memory.data) return <Plain>{memory.data.content}</Plain>;
  const isGone = memory.error instanceof ApiError && memory.error.status === 404;
  return (
    <p className="text-ink-2">
      {isGone ? "There is no such memory, or you may not read it." : "What it says could not be loaded."}{" "}
      <span className="font-mono text-xs">{id}</span>
    </p>
  );
}

// Why this answer: each passage that was before the model, how it was found, and where it stands in its document.
import { useQuery } from "@tanstack/react-query";
import { ChevronDown } from "lucide-react";
import { useState } from "react";
import { ApiError } from "../../api/errors";
import type { Citation } from "../../api/types";
import { Badge } from "../../ui/Badge";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Notice } from "../../ui/Notice";
import { SkeletonRows } from "../../ui/Skeleton";
import { aroundQuery, passageQuery } from "../knowledge/queries";
import { placeText } from "../knowledge/words";

interface SourcesPanelProps {
  citations: Citation[];
  /** The number of the source that is open to begin with; 0 for none. */
  first: number;
  onClose: () => void;
}

export default function SourcesPanel({ citations, first, onClose }: SourcesPanelProps) {
  return (
    <Modal
      open
      onClose={onClose}
      shape="sheet"
      title="Why this answer"
      description="These passages were before the model when it answered."
    >
      <ol className="space-y-3">
        {citations.map((citation) => (
          <Source key={citation.n} citation={citation} openFirst={citation.n === first} />
        ))}
      </ol>
    </Modal>
  );
}

function Source({ citation, openFirst }: { citation: Citation; openFirst: boolean }) {
  const [open, setOpen] = useState(openFirst);
  const place = placeText(citation);
  return (
    <li
      data-testid="source"
      ref={(row) => {
        if (row && openFirst) row.scrollIntoView({ block: "nearest" });
      }}
      className="rounded-xl border border-line bg-surface"
    >
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex w-full items-start gap-3 rounded-xl px-4 py-3 text-left"
      >
        <span className="inline-flex size-6 shrink-0 items-center justify-center rounded-md bg-accent-soft text-xs font-medium text-accent">
          {citation.n}
        </span>
        <span className="min-w-0 flex-1">
          <span className="block font-medium break-words">{citation.title}</span>
          {place && <span className="block text-xs text-ink-3">{place}</span>}
        </span>
        <Badge tone={citation.cited ? "good" : "neutral"}>{citation.cited ? "Named" : "Not named"}</Badge>
        <ChevronDown
          aria-hidden
          className={cx("mt-1 size-4 shrink-0 text-ink-3 transition-transform", open && "rotate-180")}
        />
      </button>
      {open && (
        <div className="border-t border-line px-4 py-3">
          <InItsDocument citation={citation} />
          <p className="mt-3 text-sm text-ink-2">{citation.rationale}</p>
          <dl className="mt-1 flex flex-wrap gap-x-4 text-xs text-ink-3">
            <Score label="Score" value={citation.score} />
            {citation.meaning !== null && <Score label="Near in meaning" value={citation.meaning} />}
          </dl>
        </div>
      )}
    </li>
  );
}

function Score({ label, value }: { label: string; value: number }) {
  return (
    <div className="flex gap-1">
      <dt>{label}</dt>
      <dd className="text-ink-2 tabular-nums">{value.toFixed(2)}</dd>
    </div>
  );
}

/** The passage as it is now, for who may read it now, between its neighbours. */
function InItsDocument({ citation }: { citation: Citation }) {
  const passage = useQuery(passageQuery(citation.document_id, citation.chunk_id));
  const around = useQuery(aroundQuery(citation.document_id, passage.data?.n));
  if (passage.error) {
    if (passage.error instanceof ApiError && passage.error.status === 404) {
      return (
        <Notice kind="info">
          <p>The passage is not there any more, or you may no longer read its document.</p>
        </Notice>
      );
    }
    return <Failure error={passage.error} onRetry={() => void passage.refetch()} />;
  }
  if (!passage.data || around.isPending) return <SkeletonRows rows={1} className="h-32" />;
  const passages = around.data?.passages ?? [passage.data];
  return (
    <div className="space-y-2 text-sm">
      {passages.map(({ chunk_id: id, text }) =>
        id === citation.chunk_id ? (
          <mark
            key={id}
            data-testid="cited-passage"
            className="block border-l-3 border-accent bg-accent-soft/60 px-3 py-2 break-words whitespace-pre-wrap text-ink"
          >
            {text}
          </mark>
        ) : (
          <p key={id} className="line-clamp-3 px-3 break-words text-ink-3">
            {text}
          </p>
        ),
      )}
    </div>
  );
}

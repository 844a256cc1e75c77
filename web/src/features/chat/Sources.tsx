// The sources of an answer: a chip where the text names one, a button below it, and the drawer that both open.
import { BookOpenText } from "lucide-react";
import { lazy, type ReactNode, Suspense, useMemo, useState } from "react";
import type { Citation } from "../../api/types";
import type { CitationMark } from "../markdown/citations";

// The drawer comes with the first look into it.
const SourcesPanel = lazy(() => import("./SourcesPanel"));

interface Sources {
  citations: Citation[];
  chip: CitationMark | null;
  open: () => void;
  panel: ReactNode;
}

export function useSources(citations: Citation[]): Sources {
  /** The number of the source to begin with; 0 for all. */
  const [opened, setOpened] = useState<number | null>(null);
  const chip = useMemo(() => {
    if (citations.length === 0) return null;
    return (n: number) => {
      const citation = citations.find((one) => one.n === n);
      return citation ? <SourceChip citation={citation} onOpen={() => setOpened(n)} /> : null;
    };
  }, [citations]);
  return {
    citations,
    chip,
    open: () => setOpened(0),
    panel: opened !== null && (
      <Suspense>
        <SourcesPanel citations={citations} first={opened} onClose={() => setOpened(null)} />
      </Suspense>
    ),
  };
}

function SourceChip({ citation, onOpen }: { citation: Citation; onOpen: () => void }) {
  return (
    <button
      type="button"
      aria-label={`Source ${citation.n}: ${citation.title}`}
      title={citation.title}
      data-testid="citation"
      onClick={onOpen}
      className="mx-0.5 inline-flex h-5 min-w-5 items-center justify-center rounded-md bg-accent-soft px-1 align-[0.1em] text-xs font-medium text-accent tabular-nums hover:bg-accent hover:text-accent-ink"
    >
      {citation.n}
    </button>
  );
}

/** Also for passages that the model had and did not name: they are part of why it answered so. */
export function SourcesButton({ sources: { citations, open } }: { sources: Sources }) {
  if (citations.length === 0) return null;
  return (
    <button
      type="button"
      onClick={open}
      className="inline-flex items-center gap-1 rounded-md py-0.5 hover:text-ink"
    >
      <BookOpenText aria-hidden className="size-3.5" />
      {citations.length === 1 ? "1 source" : `${citations.length} sources`}
    </button>
  );
}

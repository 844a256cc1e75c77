// One document: its passages, who may read it, and what can be done with it.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Archive, ArchiveRestore, Download, Trash2 } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { timeText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { SkeletonRows } from "../../ui/Skeleton";
import { Tabs } from "../../ui/Tabs";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { bytesText } from "../receipt/words";
import { type Document, documentQuery, passagesQuery, useChangeDocument, useDeleteDocument } from "./queries";
import { RightsForm } from "./RightsForm";
import { isReading, passageCount, placeText, stageText, stageTone } from "./words";

type Part = "passages" | "rights" | "more";

interface DocumentSheetProps {
  id: string;
  firstTab?: Part;
  onClose: () => void;
}

export function DocumentSheet({ id, firstTab = "passages", onClose }: DocumentSheetProps) {
  const document = useQuery(documentQuery(id));
  return (
    <Modal
      open
      onClose={onClose}
      shape="sheet"
      className="max-w-xl"
      title={document.data?.title ?? "Document"}
      description={document.data ? facts(document.data) : undefined}
    >
      {document.data && <Opened document={document.data} firstTab={firstTab} onGone={onClose} />}
      {document.isPending && <SkeletonRows rows={4} className="h-20" />}
      {document.error && !document.data && (
        <Failure error={document.error} onRetry={() => void document.refetch()} />
      )}
    </Modal>
  );
}

function facts(document: Document): string {
  const pages = document.pages === null ? "" : document.pages === 1 ? "1 page" : `${document.pages} pages`;
  return [document.name, bytesText(document.size), pages].filter(Boolean).join(" · ");
}

interface OpenedProps {
  document: Document;
  firstTab: Part;
  onGone: () => void;
}

function Opened({ document, firstTab, onGone }: OpenedProps) {
  const [tab, setTab] = useState<string>(firstTab);
  return (
    <>
      <Badge tone={stageTone(document.stage)} dot>
        {stageText(document)}
      </Badge>
      {document.error && (
        <p className="mt-2 text-sm text-danger">
          {document.error.sentence} <span className="font-mono text-xs">{document.error.code}</span>
        </p>
      )}
      <div className="mt-4">
        <Tabs
          label="Document"
          value={tab}
          onValue={setTab}
          tabs={[
            { id: "passages", label: "Passages", content: <Passages document={document} /> },
            { id: "rights", label: "Who may read it", content: <RightsForm document={document} /> },
            { id: "more", label: "More", content: <More document={document} onGone={onGone} /> },
          ]}
        />
      </div>
    </>
  );
}

function Passages({ document }: { document: Document }) {
  const list = useInfiniteQuery(passagesQuery(document.id));
  const passages = list.data?.pages.flatMap((page) => page.passages);
  if (list.error && !passages) return <Failure error={list.error} onRetry={() => void list.refetch()} />;
  if (!passages) return <SkeletonRows rows={3} className="h-24" />;
  return (
    <>
      <p className="mb-3 text-sm text-ink-2">
        {isReading(document)
          ? "The passages appear here once the document is read."
          : `${passageCount(document.chunks)}, as chats find them.`}
      </p>
      <ol className="space-y-3">
        {passages.map((passage) => (
          <li key={passage.chunk_id} className="rounded-xl border border-line bg-surface px-4 py-3">
            <p className="text-xs text-ink-3">
              {[`Passage ${passage.n + 1}`, placeText(passage)].filter(Boolean).join(" · ")}
            </p>
            {passage.context && <p className="mt-1 text-sm text-ink-3 italic">{passage.context}</p>}
            <p className="mt-1 text-sm break-words whitespace-pre-wrap">{passage.text}</p>
          </li>
        ))}
      </ol>
      {list.hasNextPage && (
        <Button
          look="quiet"
          className="mt-3 h-9"
          busy={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          Show more passages
        </Button>
      )}
    </>
  );
}

function More({ document, onGone }: { document: Document; onGone: () => void }) {
  const me = useMe();
  const change = useChangeDocument(document.id);
  const removal = useDeleteDocument(document.id);
  const [asked, setAsked] = useState(false);
  return (
    <div className="space-y-5">
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-sm">
        <dt className="text-ink-3">Added</dt>
        <dd>{timeText(document.created_at)}</dd>
        <dt className="text-ink-3">Changed</dt>
        <dd>{timeText(document.updated_at)}</dd>
        <dt className="text-ink-3">Kind</dt>
        <dd className="break-words">{document.media_type}</dd>
        {document.source_url && (
          <>
            <dt className="text-ink-3">From</dt>
            <dd className="break-all">{document.source_url}</dd>
          </>
        )}
      </dl>
      <div className="flex flex-wrap gap-2">
        <a
          href={`/v1/knowledge/items/${document.id}/original`}
          download
          className="inline-flex h-10 items-center gap-2 rounded-lg border border-line-strong/60 bg-surface px-4 font-medium hover:bg-sunken"
        >
          <Download aria-hidden className="size-4" /> Download the original
        </a>
        {document.may_manage && may(me, "memory", "write") && (
          <Button
            look="quiet"
            busy={change.isPending}
            onClick={() => change.mutate({ archived: !document.archived })}
          >
            {document.archived ? (
              <ArchiveRestore aria-hidden className="size-4" />
            ) : (
              <Archive aria-hidden className="size-4" />
            )}
            {document.archived ? "Bring back from the archive" : "Archive"}
          </Button>
        )}
        {document.may_manage && may(me, "memory", "delete") && (
          <Button look="quiet" onClick={() => setAsked(true)}>
            <Trash2 aria-hidden className="size-4" /> Delete…
          </Button>
        )}
      </div>
      <p className="text-sm text-ink-3">What is archived is kept, but no chat and no search finds it.</p>
      {change.error && <Failure error={change.error} />}
      {asked && (
        <Confirm
          title="Delete this document?"
          action="Delete"
          busy={removal.isPending}
          error={removal.error}
          onConfirm={() => removal.mutate(undefined, { onSuccess: onGone })}
          onClose={() => setAsked(false)}
        >
          “{document.title}” goes with its passages and its original. Answers that rest on it keep their text,
          but their source can no longer be opened.
        </Confirm>
      )}
    </div>
  );
}

// The documents, the newest first, with how far each one is, and above them what is still being sent.
import { useInfiniteQuery } from "@tanstack/react-query";
import {
  FileText,
  Globe,
  type LucideIcon,
  NotebookText,
  NotepadText,
  RotateCcw,
  Search,
  X,
} from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button, IconButton } from "../../ui/Button";
import { dayText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Empty } from "../../ui/Panel";
import { Select } from "../../ui/Select";
import { SkeletonRows } from "../../ui/Skeleton";
import { useSettled } from "../../ui/useSettled";
import { bytesText } from "../receipt/words";
import { DocumentSheet } from "./DocumentSheet";
import { type Document, documentsQuery, type Stage, useRetry } from "./queries";
import type { Sending, Uploads } from "./uploads";
import { isReading, partDone, passageCount, stageText, stageTone, visibilityWords } from "./words";

const views: { id: Stage | "" | "archived"; label: string }[] = [
  { id: "", label: "All" },
  { id: "indexed", label: "Ready" },
  { id: "failed", label: "Failed" },
  { id: "archived", label: "Archived" },
];

export function DocumentList({ uploads }: { uploads: Uploads }) {
  const [text, setText] = useState("");
  const [view, setView] = useState<(typeof views)[number]["id"]>("");
  const [opened, setOpened] = useState<string | null>(null);
  const q = useSettled(text.trim(), 250);
  const archived = view === "archived";
  const list = useInfiniteQuery(documentsQuery({ q, stage: archived ? "" : view, archived }));
  const documents = list.data?.pages.flatMap((page) => page.items);
  const filtered = q !== "" || view !== "";
  return (
    <>
      <Sendings uploads={uploads} />
      <div className="mb-4 flex flex-wrap gap-2">
        <div className="relative min-w-0 flex-1 basis-56">
          <Search aria-hidden className="pointer-events-none absolute top-2.5 left-3 size-4 text-ink-3" />
          <input
            type="search"
            aria-label="Filter by title"
            placeholder="Filter by title"
            value={text}
            onChange={(event) => setText(event.target.value)}
            className="h-9 w-full rounded-lg border border-line-strong bg-surface pr-3 pl-9 text-sm placeholder:text-ink-3"
          />
        </div>
        <Select
          label="Show"
          hideLabel
          className="w-36"
          value={view}
          onChange={(event) => setView(event.target.value as typeof view)}
        >
          {views.map(({ id, label }) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </Select>
      </div>
      {documents && documents.length > 0 && (
        <ul aria-label="Documents" className="divide-y divide-line rounded-xl border border-line bg-surface">
          {documents.map((document) => (
            <DocumentRow key={document.id} document={document} onOpen={() => setOpened(document.id)} />
          ))}
        </ul>
      )}
      {documents?.length === 0 && (
        <Empty title={filtered ? "No document matches" : "There are no documents yet"}>
          {filtered
            ? "Try another word, or show all."
            : "Drop files or folders on this page, paste a text, or give an address. Chats then find what is in them and name it as their source."}
        </Empty>
      )}
      {!documents && !list.error && <SkeletonRows rows={4} className="h-18" />}
      {!documents && list.error && (
        <Failure
          title="The documents could not be loaded"
          error={list.error}
          onRetry={() => void list.refetch()}
        />
      )}
      {list.hasNextPage && (
        <Button
          look="quiet"
          className="mt-3 h-9"
          busy={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          Show older documents
        </Button>
      )}
      {opened && <DocumentSheet id={opened} onClose={() => setOpened(null)} />}
    </>
  );
}

function Sendings({ uploads: { sendings, retry, dismiss } }: { uploads: Uploads }) {
  if (sendings.length === 0) return null;
  return (
    <ul
      aria-label="On their way"
      className="mb-4 divide-y divide-line rounded-xl border border-line bg-surface"
    >
      {sendings.map((one) => (
        <li key={one.id} className="flex items-center gap-3 px-4 py-2.5">
          <div className="min-w-0 flex-1">
            <p className="truncate">{one.file.name}</p>
            <p className={one.state === "failed" ? "text-sm text-danger" : "text-sm text-ink-3"}>
              {sendingText(one)}
            </p>
          </div>
          {one.state === "failed" && (
            <>
              <IconButton label={`Send ${one.file.name} again`} onClick={() => retry(one.id)}>
                <RotateCcw aria-hidden className="size-4" />
              </IconButton>
              <IconButton label={`Take ${one.file.name} off the list`} onClick={() => dismiss(one.id)}>
                <X aria-hidden className="size-4" />
              </IconButton>
            </>
          )}
        </li>
      ))}
    </ul>
  );
}

function sendingText({ state, error, file }: Sending): string {
  if (state === "failed") return `${error?.message ?? "It was not sent."} (${error?.code ?? "failed"})`;
  return `${state === "sending" ? "Sending" : "Waiting"}, ${bytesText(file.size)}`;
}

const icons: Record<Document["source"], LucideIcon> = {
  upload: FileText,
  text: NotepadText,
  url: Globe,
  wiki: NotebookText,
};

function DocumentRow({ document, onOpen }: { document: Document; onOpen: () => void }) {
  const retry = useRetry(document.id);
  const Icon = icons[document.source];
  const facts = [
    document.stage === "indexed" ? passageCount(document.chunks) : "",
    bytesText(document.size),
    dayText(document.created_at),
  ].filter(Boolean);
  return (
    <li data-testid="document" className="relative px-4 py-3 hover:bg-sunken/40">
      <div className="flex items-start gap-x-3 gap-y-1.5 max-sm:flex-wrap">
        <Icon aria-hidden className="mt-1 size-4 shrink-0 text-ink-3" />
        <div className="min-w-0 flex-1">
          <button
            type="button"
            onClick={onOpen}
            className="max-w-full truncate text-left font-medium after:absolute after:inset-0"
          >
            {document.title}
          </button>
          <p className="flex flex-wrap gap-x-1.5 text-sm text-ink-3">
            {facts.map((fact, n) => (
              <span key={fact} className="whitespace-nowrap">
                {n > 0 && "· "}
                {fact}
              </span>
            ))}
          </p>
        </div>
        <div className="flex shrink-0 flex-wrap justify-end gap-1.5 empty:hidden max-sm:basis-full max-sm:justify-start max-sm:pl-7">
          {document.visibility_mode !== "private" && (
            <Badge>{visibilityWords[document.visibility_mode].label}</Badge>
          )}
          {!isReading(document) && (
            <Badge tone={stageTone(document.stage)} dot>
              {stageText(document)}
            </Badge>
          )}
        </div>
      </div>
      {isReading(document) && <Progress document={document} />}
      {document.stage === "failed" && (
        <div className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-2 pl-7 text-sm">
          <p className="min-w-0 flex-1 basis-60 text-danger">
            {document.error?.sentence ?? "It could not be read."}{" "}
            <span className="font-mono text-xs">{document.error?.code}</span>
          </p>
          {document.may_manage && (
            <Button
              look="quiet"
              className="relative z-10 h-8 px-3 text-sm"
              busy={retry.isPending}
              onClick={() => retry.mutate()}
            >
              Try again
            </Button>
          )}
        </div>
      )}
      {retry.error && <Failure className="relative z-10 mt-2" error={retry.error} />}
    </li>
  );
}

function Progress({ document }: { document: Document }) {
  const part = partDone(document);
  return (
    <div className="mt-2 pl-7">
      <div
        role="progressbar"
        aria-label={`Reading ${document.title}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(part * 100)}
        aria-valuetext={stageText(document)}
        className="h-1.5 overflow-hidden rounded-full bg-sunken"
      >
        <div
          className="h-full rounded-full bg-accent transition-[width] duration-500"
          style={{ width: `${part * 100}%` }}
        />
      </div>
      <p className="mt-1 text-xs text-ink-3">{stageText(document)}</p>
    </div>
  );
}

// The documents that answers may rest on: to bring in, to see through their stages, to share, and to search.
import { Plus } from "lucide-react";
import { type DragEvent, useState } from "react";
import { MemberPage } from "../../app/MemberPage";
import { NotAllowed } from "../../app/NotAllowed";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Tabs } from "../../ui/Tabs";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { AddDialog } from "./AddDialog";
import { DocumentList } from "./DocumentList";
import { SearchPanel } from "./SearchPanel";
import { filesOf, useUploads } from "./uploads";

export default function KnowledgePage() {
  const me = useMe();
  const mayRead = may(me, "memory", "read_own");
  const mayWrite = may(me, "memory", "write");
  const uploads = useUploads();
  const [adding, setAdding] = useState(false);
  const drop = useDrop(mayWrite, uploads.add);
  return (
    <div {...drop.handlers} className="relative h-full">
      <MemberPage
        title="Knowledge"
        about="Documents that answers may rest on. A chat finds in them what its reader may read."
        actions={
          mayRead &&
          mayWrite && (
            <Button onClick={() => setAdding(true)}>
              <Plus aria-hidden className="size-4" /> Add documents
            </Button>
          )
        }
      >
        {mayRead ? (
          <Tabs
            label="Knowledge"
            tabs={[
              { id: "documents", label: "Documents", content: <DocumentList uploads={uploads} /> },
              { id: "search", label: "Search", content: <SearchPanel /> },
            ]}
          />
        ) : (
          <NotAllowed />
        )}
      </MemberPage>
      {drop.over && (
        <div
          className={cx(
            "pointer-events-none absolute inset-3 z-20 flex items-center justify-center rounded-2xl",
            "border-2 border-dashed border-accent bg-accent-soft/90 text-lg font-medium text-accent",
          )}
        >
          Drop files and folders to add them
        </div>
      )}
      {adding && <AddDialog onFiles={uploads.add} onClose={() => setAdding(false)} />}
    </div>
  );
}

/** Files may be dropped anywhere on the page. */
function useDrop(enabled: boolean, onFiles: (files: File[]) => void) {
  const [over, setOver] = useState(false);
  const bringsFiles = (event: DragEvent) => enabled && event.dataTransfer.types.includes("Files");
  const handlers = {
    onDragOver: (event: DragEvent) => {
      if (!bringsFiles(event)) return;
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: (event: DragEvent) => {
      if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false);
    },
    onDrop: (event: DragEvent) => {
      if (!bringsFiles(event)) return;
      event.preventDefault();
      setOver(false);
      void filesOf(event.dataTransfer).then(onFiles);
    },
  };
  return { over, handlers };
}

// One memory: what it says, what kind it is, why it was found, what it said before.
import { useQuery } from "@tanstack/react-query";
import { History, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { IconButton } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { dayText, timeText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { SkeletonRows } from "../../ui/Skeleton";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { MemoryDialog } from "./MemoryDialog";
import { historyQuery, type Memory, useDelete } from "./queries";
import { scopeWords, typeWords, whyFound } from "./words";

export function MemoryRow({ memory }: { memory: Memory }) {
  const me = useMe();
  const [open, setOpen] = useState<"edit" | "delete" | "history" | null>(null);
  const removal = useDelete(memory.id);
  const close = () => setOpen(null);
  const why = whyFound(memory);
  const scope = scopeWords(memory);
  // What others share is theirs to change.
  const own = memory.scope.user_id === me.user.id;
  return (
    <li data-testid="memory" className="flex items-start gap-2 py-3 pr-2 pl-4">
      <div className="min-w-0 flex-1">
        <p className="break-words whitespace-pre-wrap">{memory.content}</p>
        <div className="mt-1.5 flex flex-wrap items-center gap-x-2 gap-y-1 text-xs text-ink-3">
          <Badge>{typeWords[memory.memory_type]}</Badge>
          {memory.visibility !== "private" && <Badge tone="warn">Shared</Badge>}
          {scope && <Badge>{scope}</Badge>}
          <span title={timeText(memory.updated_at)}>{dayText(memory.updated_at)}</span>
        </div>
        {why && <p className="mt-1.5 text-sm text-ink-2">{why}</p>}
      </div>
      {own && (
        <div className="flex shrink-0">
          <IconButton label="What it said before" onClick={() => setOpen("history")}>
            <History aria-hidden className="size-4" />
          </IconButton>
          {may(me, "memory", "write") && (
            <IconButton label="Edit memory" onClick={() => setOpen("edit")}>
              <Pencil aria-hidden className="size-4" />
            </IconButton>
          )}
          {may(me, "memory", "delete") && (
            <IconButton label="Delete memory" onClick={() => setOpen("delete")}>
              <Trash2 aria-hidden className="size-4" />
            </IconButton>
          )}
        </div>
      )}
      {open === "edit" && <MemoryDialog memory={memory} onClose={close} />}
      {open === "history" && <HistoryDialog memory={memory} onClose={close} />}
      {open === "delete" && (
        <Confirm
          title="Delete this memory?"
          action="Delete"
          busy={removal.isPending}
          error={removal.error}
          onConfirm={() => removal.mutate(undefined, { onSuccess: close })}
          onClose={close}
        >
          <p className="line-clamp-3">{memory.content}</p>
          <p className="mt-1">What it said before goes with it.</p>
        </Confirm>
      )}
    </li>
  );
}

const steps = { store: "Kept", update: "Changed", merge: "Merged with others" };

function HistoryDialog({ memory, onClose }: { memory: Memory; onClose: () => void }) {
  const history = useQuery(historyQuery(memory.id));
  return (
    <Modal open onClose={onClose} title="What it said" description="The oldest first.">
      {history.data && (
        <ol className="space-y-3">
          {history.data.history.map((change) => (
            <li key={`${change.at} ${change.op}`} className="border-l-2 border-line pl-3">
              <p className="text-xs text-ink-3">
                {steps[change.op]}, {timeText(change.at)}
              </p>
              <p className="break-words whitespace-pre-wrap">{change.content}</p>
            </li>
          ))}
        </ol>
      )}
      {history.isPending && <SkeletonRows rows={2} />}
      {history.error && <Failure error={history.error} onRetry={() => void history.refetch()} />}
    </Modal>
  );
}

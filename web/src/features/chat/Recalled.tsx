// "2 memories": opens what the model was reminded of, and why each was found.
import { useQuery } from "@tanstack/react-query";
import { Brain } from "lucide-react";
import { useState } from "react";
import { ApiError } from "../../api/errors";
import type { Recalled } from "../../api/types";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { SkeletonRows } from "../../ui/Skeleton";
import { memoryQuery } from "../memory/queries";
import { whyFound } from "../memory/words";

export function RecalledButton({ recalled }: { recalled: Recalled[] }) {
  const [open, setOpen] = useState(false);
  if (recalled.length === 0) return null;
  return (
    <>
      <button
        type="button"
        onClick={() => setOpen(true)}
        className="inline-flex items-center gap-1 rounded-md py-0.5 hover:text-ink"
      >
        <Brain aria-hidden className="size-3.5" />
        {recalled.length === 1 ? "1 memory" : `${recalled.length} memories`}
      </button>
      <Modal
        open={open}
        onClose={() => setOpen(false)}
        shape="sheet"
        title="Why these memories"
        description="The model was reminded of these when it answered."
      >
        <ul className="space-y-3">
          {recalled.map((one) => (
            <RecalledMemory key={one.memory_id} recalled={one} />
          ))}
        </ul>
      </Modal>
    </>
  );
}

/** The memory as it is now, for who may read it now. */
function RecalledMemory({ recalled }: { recalled: Recalled }) {
  const memory = useQuery(memoryQuery(recalled.memory_id));
  const gone = memory.error instanceof ApiError && memory.error.status === 404;
  return (
    <li data-testid="recalled" className="rounded-xl border border-line bg-surface px-4 py-3">
      {memory.isPending && <SkeletonRows rows={1} className="h-6" />}
      {memory.data && <p className="break-words">{memory.data.content}</p>}
      {gone && <p className="text-ink-2">It was deleted, or you may no longer read it.</p>}
      {memory.error && !gone && <Failure error={memory.error} onRetry={() => void memory.refetch()} />}
      <p className="mt-1 text-xs text-ink-3">{whyFound(recalled)}</p>
    </li>
  );
}

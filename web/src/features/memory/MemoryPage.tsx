// What AIBox remembers of the signed-in person: to read, search, correct, take along and erase.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Download, Plus, Search, Trash2 } from "lucide-react";
import { useState } from "react";
import { MemberPage } from "../../app/MemberPage";
import { NotAllowed } from "../../app/NotAllowed";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Failure } from "../../ui/Failure";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Switch } from "../../ui/Switch";
import { useSettled } from "../../ui/useSettled";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { MemoryDialog } from "./MemoryDialog";
import { MemoryRow } from "./MemoryRow";
import {
  foundQuery,
  type Memory,
  memoriesQuery,
  switchQuery,
  useErase,
  useExport,
  useSwitch,
} from "./queries";

export default function MemoryPage() {
  const me = useMe();
  const [adding, setAdding] = useState(false);
  const mayRead = may(me, "memory", "read_own");
  const mayWrite = may(me, "memory", "write");
  return (
    <MemberPage
      title="Memory"
      about="What your chats remember of you. Nobody else sees it unless you share it."
      actions={
        mayRead &&
        mayWrite && (
          <Button onClick={() => setAdding(true)}>
            <Plus aria-hidden className="size-4" /> Add a memory
          </Button>
        )
      }
    >
      {mayRead ? (
        <>
          <Remembering mayWrite={mayWrite} />
          <Memories />
          <Leaving mayDelete={may(me, "memory", "delete")} />
        </>
      ) : (
        <NotAllowed />
      )}
      {adding && <MemoryDialog onClose={() => setAdding(false)} />}
    </MemberPage>
  );
}

function Remembering({ mayWrite }: { mayWrite: boolean }) {
  const state = useQuery(switchQuery);
  const change = useSwitch();
  return (
    <div className="mb-6 min-h-18 rounded-xl border border-line bg-surface px-4 py-3.5">
      {state.data ? (
        <Switch
          label="Remember in chats"
          hint={
            state.data.enabled
              ? "Chats recall what fits and keep what you say about yourself."
              : "Chats neither recall nor keep anything. What is stored stays until you delete it."
          }
          checked={state.data.enabled}
          disabled={!mayWrite}
          onChange={(enabled) => change.mutate(enabled)}
        />
      ) : state.error ? (
        <Failure error={state.error} onRetry={() => void state.refetch()} />
      ) : (
        <SkeletonRows rows={1} className="h-10" />
      )}
      {change.error && <Failure className="mt-3" title="Nothing was changed" error={change.error} />}
    </div>
  );
}

function Memories() {
  const [text, setText] = useState("");
  const query = useSettled(text.trim(), 300);
  const list = useInfiniteQuery(memoriesQuery);
  const found = useQuery(foundQuery(query));
  const shown = query ? found : list;
  const memories: Memory[] | undefined = query
    ? found.data?.memories
    : list.data?.pages.flatMap((page) => page.memories);
  return (
    <>
      <div className="relative mb-4">
        <Search aria-hidden className="pointer-events-none absolute top-3 left-3 size-4 text-ink-3" />
        <input
          type="search"
          aria-label="Search memories"
          placeholder="Search as a chat would"
          value={text}
          onChange={(event) => setText(event.target.value)}
          className="h-10 w-full rounded-lg border border-line-strong bg-surface pr-3 pl-9 text-ink placeholder:text-ink-3"
        />
      </div>
      {memories && memories.length > 0 && (
        <ul aria-label="Memories" className="divide-y divide-line rounded-xl border border-line bg-surface">
          {memories.map((memory) => (
            <MemoryRow key={memory.id} memory={memory} />
          ))}
        </ul>
      )}
      {memories?.length === 0 && (
        <Empty title={query ? "Nothing would be recalled" : "Nothing is remembered yet"}>
          {query
            ? "No memory is near this in meaning or shares its words."
            : "Say something about yourself in a chat, such as “I live in Vienna”, or add a memory here."}
        </Empty>
      )}
      {!memories && !shown.error && <SkeletonRows rows={4} className="h-16" />}
      {!memories && shown.error && (
        <Failure
          title="The memories could not be loaded"
          error={shown.error}
          onRetry={() => void shown.refetch()}
        />
      )}
      {!query && list.hasNextPage && (
        <Button
          look="quiet"
          className="mt-3 h-9"
          busy={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          Show older memories
        </Button>
      )}
    </>
  );
}

function Leaving({ mayDelete }: { mayDelete: boolean }) {
  const copy = useExport();
  const erase = useErase();
  const [asked, setAsked] = useState(false);
  return (
    <section aria-label="Take along or erase" className="mt-10 border-t border-line pt-5">
      <div className="flex flex-wrap gap-2">
        <Button look="quiet" busy={copy.isPending} onClick={() => copy.mutate()}>
          <Download aria-hidden className="size-4" /> Export all
        </Button>
        {mayDelete && (
          <Button look="quiet" onClick={() => setAsked(true)}>
            <Trash2 aria-hidden className="size-4" /> Erase all…
          </Button>
        )}
      </div>
      {copy.error && <Failure className="mt-3" title="Nothing was exported" error={copy.error} />}
      <p role="status" className="mt-2 text-sm text-ink-3">
        {erase.data &&
          (erase.data.erased === 1 ? "1 memory was erased." : `${erase.data.erased} memories were erased.`)}
      </p>
      {asked && (
        <Confirm
          title="Erase everything that is remembered of you?"
          action="Erase all"
          busy={erase.isPending}
          error={erase.error}
          onConfirm={() => erase.mutate(undefined, { onSuccess: () => setAsked(false) })}
          onClose={() => setAsked(false)}
        >
          All your memories and what they said before are removed. This cannot be undone.
        </Confirm>
      )}
    </section>
  );
}

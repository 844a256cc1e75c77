// The history: new chat, search, the chats by age, and who is signed in.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Command as CommandIcon, Search, SquarePen, X } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { useFrame } from "../../app/frame";
import { IconButton } from "../../ui/Button";
import { Wordmark } from "../../ui/Logo";
import { useSettled } from "../../ui/useSettled";
import { may } from "../auth/may";
import { useMe } from "../auth/session";
import { AccountMenu } from "./AccountMenu";
import { groupByAge } from "./groups";
import { places } from "./places";
import { sessionsQuery } from "./queries";
import { SessionRow } from "./SessionRow";

export function Sidebar({ onLeave }: { onLeave?: () => void }) {
  const { openPalette } = useFrame();
  const [search, setSearch] = useState("");
  const settled = useSettled(search.trim(), 200);
  return (
    <nav aria-label="Chats" className="flex h-full flex-col">
      <div className="flex h-14 shrink-0 items-center justify-between pr-3 pl-4">
        <Link to="/" aria-label="AIBox, new chat" className="rounded-md text-[1.05rem]">
          <Wordmark />
        </Link>
        {onLeave ? (
          <IconButton label="Close sidebar" onClick={onLeave}>
            <X aria-hidden className="size-4.5" />
          </IconButton>
        ) : (
          <IconButton label="Command palette (Ctrl+K)" onClick={openPalette}>
            <CommandIcon aria-hidden className="size-4" />
          </IconButton>
        )}
      </div>
      <div className="space-y-2 px-3 pb-2">
        <Link
          to="/"
          onClick={onLeave}
          className="flex h-10 items-center gap-2.5 rounded-lg border border-line bg-surface px-3 font-medium hover:border-line-strong"
        >
          <SquarePen aria-hidden className="size-4 text-accent" />
          New chat
        </Link>
        <Places onLeave={onLeave} />
        <div className="relative">
          <Search aria-hidden className="pointer-events-none absolute top-2.5 left-3 size-4 text-ink-3" />
          <input
            type="search"
            aria-label="Search chats"
            placeholder="Search chats"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
            className="h-9 w-full rounded-lg bg-sunken pr-2 pl-9 text-sm placeholder:text-ink-3"
          />
        </div>
      </div>
      <History search={settled} />
      <AccountMenu />
    </nav>
  );
}

/** What answers may rest on, for who may read it. */
function Places({ onLeave }: { onLeave?: () => void }) {
  const me = useMe();
  if (!may(me, "memory", "read_own")) return null;
  return (
    <ul className="flex gap-1">
      {places.map(({ to, label, icon: Icon }) => (
        <li key={to} className="flex-1">
          <Link
            to={to}
            onClick={onLeave}
            className="flex h-13 flex-col items-center justify-center rounded-lg text-xs text-ink-2 hover:bg-sunken hover:text-ink [&.active]:bg-accent-soft [&.active]:text-ink"
          >
            <Icon aria-hidden className="mb-0.5 size-4 text-ink-3 [.active>&]:text-accent" />
            {label}
          </Link>
        </li>
      ))}
    </ul>
  );
}

function History({ search }: { search: string }) {
  const query = useInfiniteQuery(sessionsQuery(search));
  const sessions = useDeferredValue(query.data?.pages.flatMap((page) => page.sessions) ?? []);
  if (query.isPending) return <div className="flex-1" aria-busy="true" />;
  if (query.isError && !query.data) {
    return (
      <div className="flex-1 px-4 py-3 text-sm text-ink-2">
        <p>The chats could not be loaded.</p>
        <button type="button" className="mt-1 text-accent underline" onClick={() => void query.refetch()}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <div className="min-h-0 flex-1 overflow-y-auto px-3 pb-3">
      {sessions.length === 0 && (
        <p className="px-3 py-2 text-sm text-ink-3">
          {search ? "No chat matches." : "Your chats will be listed here."}
        </p>
      )}
      {groupByAge(sessions, new Date()).map((group) => (
        <section key={group.heading} aria-label={group.heading}>
          <h2 className="px-3 pt-4 pb-1 text-xs font-medium text-ink-3">{group.heading}</h2>
          <ul>
            {group.sessions.map((session) => (
              <SessionRow key={session.sessionId} session={session} />
            ))}
          </ul>
        </section>
      ))}
      {query.hasNextPage && (
        <button
          type="button"
          disabled={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
          className="mt-2 w-full rounded-lg px-3 py-1.5 text-left text-sm text-accent hover:bg-sunken"
        >
          {query.isFetchingNextPage ? "Loading…" : "Show older chats"}
        </button>
      )}
    </div>
  );
}

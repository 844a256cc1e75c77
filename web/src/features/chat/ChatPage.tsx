// The chat: the thread, the box to write in, and what connects them with the runs of the page.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ArrowDown, Menu, SquarePen } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "../../api/errors";
import { useFrame } from "../../app/frame";
import { Button, IconButton } from "../../ui/Button";
import { Notice } from "../../ui/Notice";
import { titleOf } from "../sessions/groups";
import { createSession, useSessionTitle } from "../sessions/queries";
import { Announcer } from "./Announcer";
import { AnswerView } from "./AnswerView";
import { Composer, type ComposerHandle } from "./Composer";
import { EmptyState } from "./EmptyState";
import { ModelNote } from "./ModelNote";
import { QuestionView } from "./QuestionView";
import { defaultModel, itemsQuery, modelsQuery, runsQuery } from "./queries";
import { isLive } from "./run";
import { CONNECTION_LOST, useRun, useRuns } from "./runs";
import { type Answer, buildThread, questionOf, runToResume } from "./thread";
import { newestLeaf } from "./tree";
import { useStickToBottom } from "./useStickToBottom";

export function ChatPage({ sessionId }: { sessionId: string | null }) {
  const { openSidebar } = useFrame();
  const navigate = useNavigate();
  const chat = useChat(sessionId);
  const models = useQuery(modelsQuery);
  const model = defaultModel(models.data ?? []);
  const composer = useRef<ComposerHandle>(null);
  const { viewport, content, away, toBottom } = useStickToBottom<HTMLDivElement>(sessionId !== null);
  const title = useSessionTitle(sessionId);

  useEffect(() => {
    document.title = sessionId && title ? `${title} · AIBox` : "AIBox";
  }, [sessionId, title]);

  useEscape(chat.live, chat.stop);

  const send = async (text: string) => {
    toBottom();
    if (!(await chat.send(text))) composer.current?.fill(text);
  };

  const refusal =
    models.isSuccess && !model
      ? "No model is configured yet"
      : chat.error?.status === 404
        ? "This chat does not exist"
        : null;
  const last = chat.entries.at(-1);
  return (
    <main className="flex h-full flex-col">
      <header className="flex h-14 shrink-0 items-center gap-2 px-3 md:px-5">
        <IconButton label="Open sidebar" className="md:hidden" onClick={openSidebar}>
          <Menu aria-hidden className="size-5" />
        </IconButton>
        {sessionId ? (
          <h1 className="min-w-0 flex-1 truncate font-medium text-ink-2">{titleOf({ title })}</h1>
        ) : (
          <span className="flex-1" />
        )}
        {sessionId && (
          <IconButton label="New chat" className="md:hidden" onClick={() => void navigate({ to: "/" })}>
            <SquarePen aria-hidden className="size-4.5" />
          </IconButton>
        )}
      </header>
      <div ref={viewport} className="relative min-h-0 flex-1 overflow-y-auto">
        <div ref={content} className="mx-auto min-h-full w-full max-w-3xl px-4 pb-6 md:px-6">
          {sessionId === null && chat.error === null && (
            <div className="flex min-h-[60vh] flex-col justify-center">
              <EmptyState onPick={(prompt) => composer.current?.fill(prompt)} />
            </div>
          )}
          {chat.error && (
            <Notice kind="danger" className="mt-4" title={chat.error.message}>
              <p className="font-mono text-xs">{chat.error.code}</p>
              {chat.error.status === 404 ? (
                <Button look="quiet" className="mt-2 h-9" onClick={() => void navigate({ to: "/" })}>
                  Start a new chat
                </Button>
              ) : (
                <Button look="quiet" className="mt-2 h-9" onClick={chat.reload}>
                  Try again
                </Button>
              )}
            </Notice>
          )}
          <div className="space-y-4">
            {chat.entries.map((entry, index) =>
              entry.kind === "question" ? (
                <QuestionView
                  key={entry.key}
                  question={entry}
                  busy={chat.live}
                  onEdit={(text) => void chat.ask(text, entry.parentId)}
                  onSwitch={chat.switchTo}
                />
              ) : (
                <AnswerView
                  key={entry.key}
                  sessionId={sessionId}
                  answer={entry}
                  busy={chat.live}
                  onRetry={() => chat.retry(index)}
                />
              ),
            )}
          </div>
        </div>
        {away && chat.entries.length > 0 && (
          <div className="pointer-events-none sticky bottom-3 flex justify-center">
            <button
              type="button"
              onClick={() => toBottom("smooth")}
              className="pointer-events-auto inline-flex h-9 items-center gap-1.5 rounded-full border border-line bg-surface px-3.5 text-sm shadow-raised hover:border-line-strong"
            >
              <ArrowDown aria-hidden className="size-4" /> Latest
            </button>
          </div>
        )}
      </div>
      <div className="mx-auto w-full max-w-3xl shrink-0 px-4 pb-3 md:px-6 md:pb-5">
        {models.isSuccess && <ModelNote model={model} />}
        <Composer
          ref={composer}
          running={chat.live}
          stopping={chat.stopping}
          refusal={refusal}
          onSend={(text) => void send(text)}
          onStop={chat.stop}
        />
      </div>
      <Announcer answer={last?.kind === "answer" ? (last as Answer) : undefined} />
    </main>
  );
}

/** A chat as the page sees it: stored items and the live run together, and what can be done with them. */
function useChat(sessionId: string | null) {
  const runs = useRuns();
  const run = useRun(sessionId);
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const items = useQuery({ ...itemsQuery(sessionId ?? ""), enabled: sessionId !== null });
  const started = useQuery({ ...runsQuery(sessionId ?? ""), enabled: sessionId !== null });
  const [leafId, setLeafId] = useState<string | null>(null);
  const [sendError, setSendError] = useState<ApiError | null>(null);
  const live = run !== undefined && isLive(run);

  const goingOn = runToResume(started.data ?? []);
  useEffect(() => {
    if (sessionId === null || !goingOn || !items.data) return;
    void runs.resume({ sessionId, runId: goingOn.run_id, ...questionOf(items.data, goingOn.run_id) });
  }, [runs, sessionId, goingOn, items.data]);

  const thread =
    items.data || run
      ? buildThread(items.data ?? [], started.data ?? [], run, leafId, runs.ended)
      : { entries: [], leafId: null };

  /** Resolves to false when the message could not even be begun. */
  const ask = async (text: string, parentId: string | null): Promise<boolean> => {
    if (live) return true;
    setLeafId(null);
    setSendError(null);
    if (sessionId !== null) {
      void runs.send(sessionId, parentId, text);
      return true;
    }
    try {
      const created = await createSession();
      queryClient.setQueryData(itemsQuery(created).queryKey, []);
      queryClient.setQueryData(runsQuery(created).queryKey, []);
      void runs.send(created, null, text);
      void queryClient.invalidateQueries({ queryKey: ["sessions"] });
      await navigate({ to: "/c/$sessionId", params: { sessionId: created } });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setSendError(error);
      return false;
    }
  };

  const reload = () => {
    setSendError(null);
    void items.refetch();
    void started.refetch();
  };

  return {
    entries: thread.entries,
    live,
    stopping: run?.stopping ?? false,
    error: sendError ?? (items.error instanceof ApiError && !items.data ? items.error : null),
    ask,
    send: (text: string) => ask(text, thread.leafId),
    /** The question of the answer at `index` again, beside the first one; what only we lost is read again. */
    retry: (index: number) => {
      const answer = thread.entries[index];
      if (answer?.kind === "answer" && answer.failure?.code === CONNECTION_LOST) {
        reload();
        return;
      }
      const question = thread.entries[index - 1];
      if (question?.kind === "question") void ask(question.text, question.parentId);
    },
    stop: () => {
      if (sessionId !== null) void runs.stop(sessionId);
    },
    switchTo: (itemId: string) => setLeafId(newestLeaf(items.data ?? [], itemId)),
    reload,
  };
}

/** Esc stops a running answer, unless a window above the page wants it for itself. */
function useEscape(active: boolean, stop: () => void): void {
  const latest = useRef(stop);
  latest.current = stop;
  useEffect(() => {
    if (!active) return;
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if (document.querySelector("[role=dialog], [role=alertdialog], [role=menu]")) return;
      latest.current();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [active]);
}

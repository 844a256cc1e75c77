// The runs this page follows, by session: they outlive the screen that started them and a broken connection.
import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { answer, api } from "../../api/client";
import { ApiError } from "../../api/errors";
import { followRun, type OpenStream, startRun } from "../../api/stream";
import { type Failure, isLive, newRun, type RunAction, type RunView, reduceRun } from "./run";

/** Waits between attempts to continue a broken stream; after the last one the reader is asked. */
const RECONNECT_MS = [300, 1000, 2000, 4000, 8000];

/** Tokens can come faster than the screen can be drawn. */
const DRAW_MS = 40;

/** What the page does when a run gets on. */
interface News {
  /** The first word or tool has come: by now the server has named the chat. */
  begun: (run: RunView) => void;
  ended: (run: RunView) => void;
}

/** Our own code for a run that may well go on, but not before our eyes. */
export const CONNECTION_LOST = "connection_lost";

export class Runs {
  readonly #runs = new Map<string, RunView>();
  readonly #ended = new Map<string, RunView>();
  readonly #listeners = new Set<() => void>();
  readonly #news: News;
  #drawing: ReturnType<typeof setTimeout> | null = null;

  constructor(news: News) {
    this.#news = news;
  }

  get(sessionId: string): RunView | undefined {
    return this.#runs.get(sessionId);
  }

  /** A run that ended while this page was open: it knows the steps, which the conversation does not keep. */
  ended = (runId: string): RunView | undefined => this.#ended.get(runId);

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Sends a message. One run of a session is followed at a time. */
  async send(sessionId: string, parentId: string | null, question: string): Promise<void> {
    this.#put(newRun({ sessionId, parentId, question }));
    await this.#follow(sessionId, () => startRun({ sessionId, parentId, text: question }));
  }

  /** Picks up a run that was going on when the page was loaded. */
  async resume(run: Pick<RunView, "sessionId" | "parentId" | "question"> & { runId: string }): Promise<void> {
    const current = this.#runs.get(run.sessionId);
    if (current && isLive(current)) return;
    if (current?.runId === run.runId && current.failure?.code !== CONNECTION_LOST) return;
    this.#put(newRun(run));
    await this.#follow(run.sessionId, () => followRun(run.sessionId, run.runId, ""));
  }

  /** Asks the server to end the run; its stream then says so. */
  async stop(sessionId: string): Promise<void> {
    const run = this.#runs.get(sessionId);
    if (!run || !isLive(run) || run.stopping) return;
    this.#apply(sessionId, { type: "stop", asked: true });
    if (run.runId) await this.#cancel(sessionId, run.runId);
  }

  async #follow(sessionId: string, open: () => Promise<OpenStream>): Promise<void> {
    let attempt = 0;
    let next = open;
    for (;;) {
      try {
        await this.#read(sessionId, await next(), () => {
          attempt = 0;
        });
      } catch (error) {
        const run = this.#runs.get(sessionId);
        const broken = !(error instanceof ApiError) || error.status === 0 || error.status >= 502;
        // A run without an id never reached the server, as far as we know: asking again might send it twice.
        if (!run?.runId || !broken) {
          this.#apply(sessionId, { type: "failed", failure: failureOf(error) });
        }
      }
      const run = this.#runs.get(sessionId);
      if (!run) return;
      if (!isLive(run)) {
        this.#close(run);
        return;
      }
      const { runId, lastEventId } = run;
      const wait = RECONNECT_MS[attempt++];
      if (!runId || wait === undefined) {
        this.#close(this.#apply(sessionId, { type: "failed", failure: connectionLost(runId) }) ?? run);
        return;
      }
      this.#apply(sessionId, { type: "cut" });
      await new Promise((resolve) => setTimeout(resolve, wait));
      next = () => followRun(sessionId, runId, lastEventId);
    }
  }

  async #read(sessionId: string, stream: OpenStream, arrived: () => void): Promise<void> {
    this.#apply(sessionId, { type: "opened", runId: stream.runId });
    const run = this.#runs.get(sessionId);
    // Stop was pressed before the server had named the run.
    if (run?.stopping && run.runId) void this.#cancel(sessionId, run.runId);
    for await (const { id, event } of stream.events) {
      arrived();
      this.#apply(sessionId, { type: "event", id, event });
      const after = this.#runs.get(sessionId);
      if (!after || !isLive(after)) return;
    }
  }

  #close(run: RunView): void {
    if (run.runId) this.#ended.set(run.runId, run);
    this.#news.ended(run);
  }

  async #cancel(sessionId: string, runId: string): Promise<void> {
    const path = { conversation_id: sessionId, run_id: runId };
    try {
      await answer(
        api.POST("/v1/conversations/{conversation_id}/runs/{run_id}/cancel", { params: { path } }),
      );
    } catch (error) {
      // run_ended: it finished first, and its stream tells. Anything else: it goes on, and can be stopped again.
      if (!(error instanceof ApiError)) throw error;
      if (error.code !== "run_ended") this.#apply(sessionId, { type: "stop", asked: false });
    }
  }

  #put(run: RunView): void {
    this.#runs.set(run.sessionId, run);
    this.#draw();
  }

  #apply(sessionId: string, action: RunAction): RunView | undefined {
    const run = this.#runs.get(sessionId);
    if (!run) return undefined;
    const next = reduceRun(run, action);
    this.#runs.set(sessionId, next);
    if (!hasBegun(run) && hasBegun(next)) this.#news.begun(next);
    if (action.type === "event" && action.event.event === "token") this.#drawSoon();
    else this.#draw();
    return next;
  }

  #drawSoon(): void {
    this.#drawing ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw(): void {
    if (this.#drawing !== null) clearTimeout(this.#drawing);
    this.#drawing = null;
    for (const listener of this.#listeners) listener();
  }
}

function hasBegun(run: RunView): boolean {
  return run.text !== "" || run.tools.length > 0;
}

function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) {
    return { message: error.message, code: error.code, turnId: error.turnId, retryAfter: error.retryAfter };
  }
  return { message: "The answer could not be read.", code: "unreadable", turnId: null, retryAfter: null };
}

function connectionLost(turnId: string | null): Failure {
  return {
    message: "The connection to AIBox was lost. The answer may still be written.",
    code: CONNECTION_LOST,
    turnId,
    retryAfter: null,
  };
}

let runs: Runs | null = null;

/** Makes the one store of the page. An ended run is read again from the server, so that what stays is what was kept. */
export function createRuns(queryClient: QueryClient): Runs {
  const reread = (...queryKey: string[]) => void queryClient.invalidateQueries({ queryKey });
  runs = new Runs({
    begun: () => reread("sessions"),
    ended: (run) => {
      reread("items", run.sessionId);
      reread("runs", run.sessionId);
      reread("sessions");
      // A tool may have changed what other pages show.
      if (run.tools.length > 0) for (const shown of ["memory", "knowledge", "wiki"]) reread(shown);
    },
  });
  return runs;
}

export function useRuns(): Runs {
  if (!runs) throw new Error("createRuns has not been called");
  return runs;
}

export function useRun(sessionId: string | null): RunView | undefined {
  const store = useRuns();
  return useSyncExternalStore(store.subscribe, () => (sessionId === null ? undefined : store.get(sessionId)));
}

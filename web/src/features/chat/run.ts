// One run as the page shows it: a pure function from its events to a view.
import type { Citation, Recalled, Receipt, RunEvent, StepState, Usage } from "../../api/types";
import type { NewMemory } from "../memory/queries";

export interface Step {
  step: string;
  label: string;
  state: StepState;
}

/** Something that the turn does only when the person approves: keeping a memory is all there is yet. */
export interface Offer {
  id: string;
  arguments: NewMemory;
}

export interface Failure {
  message: string;
  code: string;
  turnId: string | null;
  /** Seconds the server asks us to wait. */
  retryAfter: number | null;
}

export type Phase =
  | "sending" // the request is on its way, no answer yet
  | "running"
  | "reconnecting" // the connection broke; the run goes on without us
  | "ended"
  | "failed";

export interface RunView {
  sessionId: string;
  /** The item the user's message follows; null at the root. */
  parentId: string | null;
  /** What the user wrote; null while a run found after a reload has not told us. */
  question: string | null;
  runId: string | null;
  itemId: string | null;
  phase: Phase;
  text: string;
  steps: Step[];
  usage: Usage | null;
  blocked: { direction: string; reason: string; scanners: string[] } | null;
  failure: Failure | null;
  finishReason: string | null;
  receipt: Receipt | null;
  citations: Citation[];
  recalled: Recalled[];
  masked: string[];
  offers: Offer[];
  stopping: boolean;
  /** Where to continue from after a broken connection. */
  lastEventId: string;
}

export type RunAction =
  | { type: "opened"; runId: string | null }
  | { type: "event"; id: string; event: RunEvent }
  | { type: "cut" }
  | { type: "stop"; asked: boolean }
  | { type: "failed"; failure: Failure };

export function newRun(
  start: Pick<RunView, "sessionId" | "parentId" | "question"> & { runId?: string },
): RunView {
  return {
    sessionId: start.sessionId,
    parentId: start.parentId,
    question: start.question,
    runId: start.runId ?? null,
    itemId: null,
    phase: "sending",
    text: "",
    steps: [],
    usage: null,
    blocked: null,
    failure: null,
    finishReason: null,
    receipt: null,
    citations: [],
    recalled: [],
    masked: [],
    offers: [],
    stopping: false,
    lastEventId: "",
  };
}

export function isLive(run: RunView): boolean {
  return run.phase === "sending" || run.phase === "running" || run.phase === "reconnecting";
}

export function reduceRun(run: RunView, action: RunAction): RunView {
  switch (action.type) {
    case "opened":
      return { ...run, phase: "running", runId: action.runId ?? run.runId };
    case "cut":
      return isLive(run) ? { ...run, phase: "reconnecting" } : run;
    case "stop":
      return isLive(run) ? { ...run, stopping: action.asked } : run;
    case "failed":
      return { ...run, phase: "failed", failure: action.failure, stopping: false };
    case "event":
      return isLive(run)
        ? { ...readEvent(run, action.event), lastEventId: action.id || run.lastEventId }
        : run;
  }
}

function readEvent(run: RunView, { event, data }: RunEvent): RunView {
  switch (event) {
    case "token":
      return { ...run, itemId: data.item_id, text: run.text + data.text };
    case "trace_update":
      return { ...run, steps: withStep(run.steps, data) };
    case "usage":
      return { ...run, usage: data };
    case "approval_required":
      if (data.tool !== "memory_store") return run;
      return {
        ...run,
        offers: [...run.offers, { id: data.approval_id, arguments: data.arguments as NewMemory }],
      };
    case "blocked":
      return { ...run, blocked: data };
    case "error":
      return {
        ...run,
        phase: "failed",
        stopping: false,
        steps: closed(run.steps, "failed"),
        failure: {
          message: data.error,
          code: data.code,
          turnId: data.turn_id ?? run.runId,
          retryAfter: null,
        },
      };
    case "done":
      return {
        ...run,
        phase: "ended",
        stopping: false,
        steps: closed(run.steps, "done"),
        runId: data.run_id,
        itemId: data.item_id,
        finishReason: data.finish_reason,
        receipt: data.receipt,
        citations: data.citations ?? [],
        recalled: data.recalled ?? [],
        masked: data.masked ?? [],
      };
  }
}

/** A step is told of more than once (running, then done): the newest word stands, in its first place. */
function withStep(steps: Step[], next: Step): Step[] {
  const at = steps.findIndex((step) => step.step === next.step);
  return at === -1 ? [...steps, next] : steps.with(at, next);
}

/** Not every step tells of its end; the end of the run is the end of all. */
function closed(steps: Step[], state: "done" | "failed"): Step[] {
  return steps.map((step) => (step.state === "running" ? { ...step, state } : step));
}

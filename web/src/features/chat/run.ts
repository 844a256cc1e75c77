// One run as the page shows it: a pure function from its events to a view.
import type {
  Citation,
  Decision,
  Recalled,
  Receipt,
  RunEvent,
  StepState,
  ToolState,
  Usage,
} from "../../api/types";
import type { NewMemory } from "../memory/queries";

export interface Step {
  step: string;
  label: string;
  state: StepState;
}

/** A use of a tool in the turn. */
export interface ToolUse {
  callId: string;
  name: string;
  state: ToolState;
  /** What the model wrote, and what came of it. Null after a reload: then only the turn's record has them. */
  words: { given: unknown; gave: string | null } | null;
  /** What its person is asked, or was. */
  approval: Approval | Decided | null;
  /** How many characters of the answer came before it. */
  at: number;
}

/** A use of a tool that waits for its person's word, or did. */
export interface Approval {
  id: string;
  arguments: Record<string, unknown>;
  risk: string;
  expiresAt: string;
  status: "pending" | Decision;
}

/** What became of an approval: all that is kept of it with an answer. */
export interface Decided {
  status: Decision;
}

/** A memory that a flagged turn did not keep. Nothing waits for it: who approves keeps it by their own hand. */
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
  tools: ToolUse[];
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
    tools: [],
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
    case "tool_call":
      return { ...run, tools: [...run.tools, newUse(data, run.text.length)] };
    case "tool_result": {
      const { call_id, state, content } = data;
      return withUse(run, call_id, (use) => ({
        ...use,
        state,
        words: { given: use.words?.given, gave: content },
      }));
    }
    case "approval_required":
      return data.expires_at === null ? withOffer(run, data) : withApproval(run, data, data.expires_at);
    case "approval_decided":
      return withUse(run, data.call_id, ({ approval, ...use }) => ({
        ...use,
        approval: approval && { ...approval, status: data.status },
      }));
    case "blocked":
      return { ...run, blocked: data };
    case "error":
      return {
        ...run,
        phase: "failed",
        stopping: false,
        steps: closed(run.steps, "failed"),
        tools: run.tools.map(cutShort),
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
        tools: run.tools.map(cutShort),
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

type Told<Name extends RunEvent["event"]> = Extract<RunEvent, { event: Name }>["data"];

function newUse({ call_id: callId, name, arguments: given }: Told<"tool_call">, at: number): ToolUse {
  return { callId, name, state: "running", words: { given, gave: null }, approval: null, at };
}

function withUse(run: RunView, callId: string, change: (use: ToolUse) => ToolUse): RunView {
  return { ...run, tools: run.tools.map((use) => (use.callId === callId ? change(use) : use)) };
}

function withApproval(run: RunView, told: Told<"approval_required">, expiresAt: string): RunView {
  const { approval_id: id, arguments: given, risk } = told;
  return withUse(run, told.call_id, (use) => ({
    ...use,
    approval: { id, arguments: given, risk, expiresAt, status: "pending" },
  }));
}

function withOffer(
  run: RunView,
  { approval_id: id, tool, arguments: given }: Told<"approval_required">,
): RunView {
  // Keeping a memory is all that is offered.
  if (tool !== "memory_store") return run;
  return { ...run, offers: [...run.offers, { id, arguments: given as NewMemory }] };
}

/** What the run's end found at work has failed; what it found waiting nobody will answer. */
function cutShort(use: ToolUse): ToolUse {
  if (use.state !== "running") return use;
  const { approval } = use;
  return {
    ...use,
    state: "failed",
    approval: approval?.status === "pending" ? { ...approval, status: "expired" } : approval,
  };
}

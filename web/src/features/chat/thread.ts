// What the page shows of a conversation: the chosen path of stored items, and the run that is being written below it.
import type { Citation, Item, Recalled, Receipt, Run, Usage } from "../../api/types";
import { type Failure, isLive, type Offer, type RunView, type Step, type ToolUse } from "./run";
import { type PathEntry, pathTo } from "./tree";

export interface Question {
  kind: "question";
  key: string;
  /** Null until the server has stored it. */
  itemId: string | null;
  parentId: string | null;
  text: string;
  siblings: Item[];
}

export interface Answer {
  kind: "answer";
  key: string;
  runId: string | null;
  text: string;
  phase: "writing" | "reconnecting" | "ended" | "failed";
  steps: Step[];
  usage: Usage | null;
  receipt: Receipt | null;
  citations: Citation[];
  recalled: Recalled[];
  masked: string[];
  tools: ToolUse[];
  offers: Offer[];
  blocked: RunView["blocked"];
  failure: Failure | null;
  finishReason: string | null;
}

export interface Thread {
  entries: (Question | Answer)[];
  /** The stored item that the next message follows. */
  leafId: string | null;
}

/** Finds a run that ended while the page was open. */
export type EndedRuns = (runId: string) => RunView | undefined;

export function buildThread(
  items: Item[],
  runs: Run[],
  run: RunView | undefined,
  leafId: string | null,
  ended: EndedRuns = () => undefined,
): Thread {
  if (run && !isStored(run, items)) return withRun(items, runs, run, ended);
  const path = pathTo(items, leafId);
  return { entries: stored(path, runs, ended), leafId: path.at(-1)?.item.id ?? null };
}

/** An ended run is shown from the conversation as soon as its whole answer is there. */
function isStored(run: RunView, items: Item[]): boolean {
  if (isLive(run)) return false;
  return items.some((item) => item.run_id === run.runId && item.role === "assistant" && !isOpen(item.status));
}

function isOpen(status: Item["status"]): boolean {
  return status === "queued" || status === "running" || status === "waiting_approval";
}

function withRun(items: Item[], runs: Run[], run: RunView, ended: EndedRuns): Thread {
  const earlier = run.runId === null ? items : items.filter((item) => item.run_id !== run.runId);
  const path = run.parentId === null ? [] : pathTo(earlier, run.parentId);
  const entries = stored(path, runs, ended);
  if (run.question !== null) {
    entries.push({
      kind: "question",
      key: `question-${run.runId ?? "new"}`,
      itemId: null,
      parentId: run.parentId,
      text: run.question,
      siblings: [],
    });
  }
  entries.push(answerOfRun(run));
  const own = items.findLast((item) => run.runId !== null && item.run_id === run.runId);
  return { entries, leafId: own?.id ?? run.parentId };
}

function stored(path: PathEntry[], runs: Run[], ended: EndedRuns): Thread["entries"] {
  const entries: Thread["entries"] = [];
  for (const { item, siblings } of path) {
    if (item.role === "assistant") {
      entries.push(answerOfItem(item, ended(item.run_id), runs));
    } else if (item.content) {
      // A question is empty for the moment in which it is still being judged.
      const { id: itemId, parent_id: parentId, content: text } = item;
      entries.push({ kind: "question", key: `question-${item.run_id}`, itemId, parentId, text, siblings });
    }
  }
  return entries;
}

function answerOfItem(item: Item, run: RunView | undefined, runs: Run[]): Answer {
  const own = runs.find((one) => one.run_id === item.run_id);
  const status = item.status ?? own?.status;
  const failed = status === "failed";
  return {
    kind: "answer",
    key: `answer-${item.run_id}`,
    runId: item.run_id,
    text: item.content,
    phase: failed ? "failed" : isOpen(status) ? "writing" : "ended",
    steps: run?.steps ?? item.trace ?? [],
    usage: item.usage ?? run?.usage ?? null,
    receipt: run?.receipt ?? null,
    citations: item.citations ?? run?.citations ?? [],
    recalled: item.recalled ?? run?.recalled ?? [],
    masked: item.masked ?? run?.masked ?? [],
    tools: usesOf(item, run?.tools ?? []),
    offers: run?.offers ?? [],
    blocked: run?.blocked ?? null,
    failure: failed ? (run?.failure ?? unfinished(item.run_id, own?.code ?? null)) : null,
    finishReason: item.finish_reason ?? run?.finishReason ?? null,
  };
}

/** The uses of tools that are kept with the answer, with what this page saw of them. */
function usesOf({ content, tools: kept = [] }: Item, seen: ToolUse[]): ToolUse[] {
  if (kept.length === 0) return seen;
  const characters = [...content]; // the server counts whole characters, a string of ours the halves of an emoji
  return kept.map(({ call_id: callId, name, state, at, approval }) => {
    const use = seen.find((one) => one.callId === callId);
    if (use?.state === state) return use;
    const decided = approval && approval !== "pending" ? { status: approval } : null;
    return {
      callId,
      name,
      state,
      words: null,
      approval: decided,
      at: characters.slice(0, at).join("").length,
    };
  });
}

function answerOfRun(run: RunView): Answer {
  return {
    kind: "answer",
    key: `answer-${run.runId ?? "new"}`,
    runId: run.runId,
    text: run.text,
    phase: run.phase === "sending" || run.phase === "running" ? "writing" : run.phase,
    steps: run.steps,
    usage: run.usage,
    receipt: run.receipt,
    citations: run.citations,
    recalled: run.recalled,
    masked: run.masked,
    tools: run.tools,
    offers: run.offers,
    blocked: run.blocked,
    failure: run.failure,
    finishReason: run.finishReason,
  };
}

/** The sentence of the error was for the stream; what is kept of it is its code. */
function unfinished(turnId: string, code: string | null): Failure {
  return {
    message: "This turn did not finish. What was written until then is kept.",
    code: code ?? "turn_failed",
    turnId,
    retryAfter: null,
  };
}

/** An answer in the order in which it came: what was written, and which tools were used in between. */
export type Passage =
  | { kind: "text"; key: string; text: string }
  | { kind: "tools"; key: string; uses: ToolUse[] };

/** Where the uses stood in the text is not kept: after a reload they come first. */
export function passagesOf({ text, tools }: Pick<Answer, "text" | "tools">): Passage[] {
  const passages: Passage[] = [];
  let from = 0;
  const write = (to?: number) => {
    const piece = text.slice(from, to);
    if (piece.trim()) passages.push({ kind: "text", key: `text-${from}`, text: piece });
    from = to ?? text.length;
  };
  for (const use of tools) {
    write(use.at);
    const last = passages.at(-1);
    if (last?.kind === "tools") last.uses.push(use);
    else passages.push({ kind: "tools", key: use.callId, uses: [use] });
  }
  write();
  return passages;
}

/** The run that goes on while the page was away, if one does. */
export function runToResume(runs: Run[]): Run | undefined {
  return runs.findLast((run) => isOpen(run.status));
}

/** What a resumed run answers, as far as the stored items tell. */
export function questionOf(
  items: Item[],
  runId: string,
): { question: string | null; parentId: string | null } {
  const asked = items.find((item) => item.run_id === runId && item.role === "user");
  if (asked) return { question: asked.content || null, parentId: asked.parent_id };
  return { question: null, parentId: items.findLast((item) => item.run_id !== runId)?.id ?? null };
}

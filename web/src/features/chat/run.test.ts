// What a stream of events makes of the view of a run.
import { describe, expect, test } from "vitest";
import type { Decision, Receipt, RunEvent } from "../../api/types";
import { isLive, newRun, type RunView, reduceRun } from "./run";

const receipt: Receipt = {
  turn_id: "turn-1",
  state: "sealed",
  outcome: "sealed",
  log: "localhost/audit/l/1/2025",
  idx: 3,
  events: 8,
  root: "ab",
  sealed_at: "2025-11-21T22:00:00Z",
};

const done: RunEvent = {
  event: "done",
  data: {
    turn_id: "turn-1",
    run_id: "turn-1",
    session_id: "s",
    item_id: "item-1",
    finish_reason: "stop",
    receipt,
  },
};

const token = (text: string): RunEvent => ({ event: "token", data: { item_id: "item-1", text } });

const called = {
  event: "tool_call",
  data: { call_id: "c1", name: "memory_delete", arguments: { memory_id: "m1" } },
} as const satisfies RunEvent;

const asked: RunEvent = {
  event: "approval_required",
  data: {
    approval_id: "a1",
    call_id: "c1",
    tool: "memory_delete",
    arguments: { memory_id: "m1" },
    risk: "tool",
    expires_at: "2025-11-21T22:30:00Z",
  },
};

const pending = {
  id: "a1",
  arguments: { memory_id: "m1" },
  risk: "tool",
  expiresAt: "2025-11-21T22:30:00Z",
  status: "pending",
};

const decided = (status: Decision): RunEvent => ({
  event: "approval_decided",
  data: { approval_id: "a1", call_id: "c1", status },
});

const returned = (state: "done" | "failed" | "denied", content: string): RunEvent => ({
  event: "tool_result",
  data: { call_id: "c1", state, content },
});

function play(...events: RunEvent[]): RunView {
  const opened = reduceRun(newRun({ sessionId: "s", parentId: null, question: "Hi" }), {
    type: "opened",
    runId: "turn-1",
  });
  return events.reduce(
    (run, event, index) => reduceRun(run, { type: "event", id: String(index + 1), event }),
    opened,
  );
}

describe("reduceRun", () => {
  test("joins tokens in order and ends with the receipt", () => {
    const run = play(token("Hel"), token("lo"), done);
    expect(run).toMatchObject({
      text: "Hello",
      phase: "ended",
      finishReason: "stop",
      receipt,
      lastEventId: "3",
      itemId: "item-1",
    });
  });

  test("shows a step once, in its first place, with its newest state", () => {
    const run = play(
      { event: "trace_update", data: { step: "guard_in", label: "", state: "running" } },
      { event: "trace_update", data: { step: "recall", label: "1 memory recalled", state: "done" } },
      { event: "trace_update", data: { step: "guard_in", label: "2 items masked", state: "done" } },
    );
    expect(run.steps).toEqual([
      { step: "guard_in", label: "2 items masked", state: "done" },
      { step: "recall", label: "1 memory recalled", state: "done" },
    ]);
  });

  test("what a flagged turn would keep is offered, and a tool that is not known here is not", () => {
    const memory = { content: "I live in Bergen.", memory_type: "user", kind: "fact" };
    const asked = { approval_id: "a1", call_id: "a1", risk: "prompt_injection", expires_at: null };
    const run = play(
      { event: "approval_required", data: { ...asked, tool: "memory_store", arguments: memory } },
      { event: "approval_required", data: { ...asked, tool: "send_mail", arguments: {} } },
    );
    expect(run.offers).toEqual([{ id: "a1", arguments: memory }]);
    expect(run.tools).toEqual([]);
  });

  test("a use of a tool stands where it came in the text, with what it was given and gave", () => {
    const run = play(
      token("I keep that."),
      called,
      token("\n\nKept."),
      returned("done", '{"id":"m1"}'),
      done,
    );
    expect(run.text).toBe("I keep that.\n\nKept.");
    expect(run.tools).toEqual([
      {
        callId: "c1",
        name: "memory_delete",
        state: "done",
        words: { given: { memory_id: "m1" }, gave: '{"id":"m1"}' },
        approval: null,
        at: "I keep that.".length,
      },
    ]);
  });

  test("a tool that asks waits until it is decided, and offers no memory", () => {
    const waiting = play(called, asked);
    expect(waiting.tools).toMatchObject([{ state: "running", approval: pending }]);
    expect(waiting.offers).toEqual([]);
    const denied = play(called, asked, decided("denied"), returned("denied", "The user did not allow this."));
    expect(denied.tools).toMatchObject([{ state: "denied", approval: { ...pending, status: "denied" } }]);
    const edited = play(called, asked, decided("approved_with_edits"));
    expect(edited.tools).toMatchObject([{ state: "running", approval: { status: "approved_with_edits" } }]);
  });

  test("a decision about one use says nothing of another", () => {
    const run = play(
      { ...called, data: { ...called.data, call_id: "c0" } },
      called,
      asked,
      decided("denied"),
    );
    expect(run.tools.map(({ approval }) => approval?.status)).toEqual([undefined, "denied"]);
  });

  test("what the end of a run cuts short has failed, and nothing waits any more", () => {
    const stopped: RunEvent = { ...done, data: { ...done.data, finish_reason: "cancelled" } };
    for (const end of [stopped, { event: "error", data: { error: "", code: "", turn_id: null } } as const]) {
      const run = play(
        called,
        returned("done", "{}"),
        { ...called, data: { ...called.data, call_id: "c2" } },
        end,
      );
      expect(run.tools.map(({ state }) => state)).toEqual(["done", "failed"]);
      expect(play(called, asked, end).tools).toMatchObject([
        { state: "failed", approval: { status: "expired" } },
      ]);
    }
  });

  test("a step that never told of its end ends with the run", () => {
    const asking: RunEvent = {
      event: "trace_update",
      data: { step: "ask", label: "Asking the model", state: "running" },
    };
    expect(play(asking, done).steps).toMatchObject([{ step: "ask", state: "done" }]);
    const broken: RunEvent = { event: "error", data: { error: "Gone.", code: "internal", turn_id: null } };
    expect(play(asking, broken).steps).toMatchObject([{ step: "ask", state: "failed" }]);
  });

  test("an error keeps the partial answer and names its code and turn", () => {
    const run = play(token("Half"), {
      event: "error",
      data: { error: "The model stopped answering.", code: "backend_unavailable", turn_id: null },
    });
    expect(run).toMatchObject({
      phase: "failed",
      text: "Half",
      failure: { code: "backend_unavailable", turnId: "turn-1" },
    });
  });

  test("a blocked turn ends with its reason and its receipt", () => {
    const run = play(
      { event: "blocked", data: { direction: "input", reason: "Injection", scanners: ["prompt_injection"] } },
      { ...done, data: { ...done.data, finish_reason: "blocked" } },
    );
    expect(run).toMatchObject({
      phase: "ended",
      finishReason: "blocked",
      blocked: { scanners: ["prompt_injection"] },
      receipt,
    });
  });

  test("a cut connection remembers where to continue", () => {
    const run = reduceRun(play(token("Hel")), { type: "cut" });
    expect(run).toMatchObject({ phase: "reconnecting", lastEventId: "1", text: "Hel" });
    expect(isLive(run)).toBe(true);
  });

  test("nothing that comes after the end changes an ended run", () => {
    const ended = play(token("Hello"), done);
    for (const late of [
      { type: "event", id: "9", event: token("!") },
      { type: "cut" },
      { type: "stop", asked: true },
    ] as const) {
      expect(reduceRun(ended, late)).toBe(ended);
    }
  });

  test("stopping is over when the run says that it was cancelled", () => {
    const stopping = reduceRun(play(token("Hel")), { type: "stop", asked: true });
    expect(stopping.stopping).toBe(true);
    const run = reduceRun(stopping, {
      type: "event",
      id: "2",
      event: { ...done, data: { ...done.data, finish_reason: "cancelled" } },
    });
    expect(run).toMatchObject({ stopping: false, finishReason: "cancelled", text: "Hel" });
  });

  test("an event without a number does not lose the place", () => {
    const run = reduceRun(play(token("a")), { type: "event", id: "", event: token("b") });
    expect(run.lastEventId).toBe("1");
  });
});

// What a stream of events makes of the view of a run.
import { describe, expect, test } from "vitest";
import type { Receipt, RunEvent } from "../../api/types";
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
    const asked = { approval_id: "a1", risk: "prompt_injection" };
    const run = play(
      { event: "approval_required", data: { ...asked, tool: "memory_store", arguments: memory } },
      { event: "approval_required", data: { ...asked, tool: "send_mail", arguments: {} } },
    );
    expect(run.offers).toEqual([{ id: "a1", arguments: memory }]);
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

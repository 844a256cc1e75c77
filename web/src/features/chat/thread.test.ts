// Stored items and a live run, brought together.
import { describe, expect, test } from "vitest";
import type { Item, Run } from "../../api/types";
import { newRun, type RunView, reduceRun, type ToolUse } from "./run";
import { buildThread, passagesOf, questionOf, runToResume } from "./thread";

function item(id: string, parent: string | null, run: string, content = id): Item {
  return {
    id,
    parent_id: parent,
    type: "message",
    role: id.startsWith("q") ? "user" : "assistant",
    content,
    created_at: "2025-11-21T22:00:00Z",
    run_id: run,
  };
}

function run(runId: string, status: Run["status"]): Run {
  return { run_id: runId, status, started_at: "2025-11-21T22:00:00Z", item_id: `answer-${runId}` };
}

const first = [item("q1", null, "r1"), item("a1", "q1", "r1")];

function writing(text: string): RunView {
  const opened = reduceRun(newRun({ sessionId: "s", parentId: "a1", question: "And now?" }), {
    type: "opened",
    runId: "r2",
  });
  return reduceRun(opened, {
    type: "event",
    id: "1",
    event: { event: "token", data: { item_id: "a2", text } },
  });
}

const shown = (...given: Parameters<typeof buildThread>) =>
  buildThread(...given).entries.map((entry) => `${entry.kind}: ${entry.text}`);

describe("buildThread", () => {
  test("a message is shown before the server has stored it", () => {
    expect(shown(first, [], writing("Wait"), null)).toEqual([
      "question: q1",
      "answer: a1",
      "question: And now?",
      "answer: Wait",
    ]);
  });

  test("a live run is shown once, also when the server has stored its beginning", () => {
    const items = [...first, item("q2", "a1", "r2", "And now?"), item("a2", "q2", "r2", "W")];
    expect(shown(items, [], writing("Wait"), null)).toHaveLength(4);
    expect(shown(items, [], writing("Wait"), null).at(-1)).toBe("answer: Wait");
  });

  test("an edit of an earlier message hides what followed it", () => {
    const edit = reduceRun(newRun({ sessionId: "s", parentId: null, question: "Other" }), {
      type: "opened",
      runId: "r2",
    });
    expect(shown(first, [], edit, null)).toEqual(["question: Other", "answer: "]);
  });

  test("an ended run is shown as the server stored it, and keeps its trace", () => {
    const ended = reduceRun(
      reduceRun(writing("Wait"), {
        type: "event",
        id: "2",
        event: { event: "trace_update", data: { step: "recall", label: "1 memory recalled", state: "done" } },
      }),
      { type: "failed", failure: { message: "m", code: "c", turnId: "r2", retryAfter: null } },
    );
    const stored: Item = { ...item("a2", "q2", "r2", "Stored"), status: "failed" };
    const items = [...first, item("q2", "a1", "r2", "And now?"), stored];
    const thread = buildThread(items, [], ended, null, () => ended);
    expect(thread.leafId).toBe("a2");
    expect(thread.entries.at(-1)).toMatchObject({
      text: "Stored",
      failure: { code: "c" },
      steps: [{ label: "1 memory recalled" }],
    });
  });

  test("after a reload the trace, the memories and what was masked are those that stand with the answer", () => {
    const stored: Item = {
      ...item("a2", "q2", "r2"),
      trace: [{ step: "guard_in", label: "2 items masked", state: "done" }],
      recalled: [{ memory_id: "m1", score: 0.5, matched: ["meaning"] }],
      masked: ["<PERSON_1>"],
    };
    const items = [...first, item("q2", "a1", "r2"), stored];
    expect(buildThread(items, [], undefined, null).entries.at(-1)).toMatchObject({
      steps: [{ label: "2 items masked" }],
      recalled: [{ memory_id: "m1" }],
      masked: ["<PERSON_1>"],
      offers: [],
    });
  });

  test("an ended run is not replaced by what the server had stored before its end", () => {
    const lost = reduceRun(writing("Nearly all"), {
      type: "failed",
      failure: { message: "m", code: "connection_lost", turnId: "r2", retryAfter: null },
    });
    const early: Item = { ...item("a2", "q2", "r2", ""), status: "running" };
    const items = [...first, item("q2", "a1", "r2", "And now?"), early];
    expect(buildThread(items, [], lost, null, () => lost).entries.at(-1)).toMatchObject({
      text: "Nearly all",
      failure: { code: "connection_lost" },
    });
  });

  test("its key stays the same from live to stored, so that nothing flickers", () => {
    const live = buildThread(first, [], writing("x"), null).entries.map((entry) => entry.key);
    const items = [...first, item("q2", "a1", "r2"), item("a2", "q2", "r2")];
    expect(buildThread(items, [], undefined, null).entries.map((entry) => entry.key)).toEqual(live);
  });

  test("after a reload a failed turn still says so, with the code that was kept", () => {
    const items = [...first, item("q2", "a1", "r2"), item("a2", "q2", "r2", "Half")];
    const failed: Run = { ...run("r2", "failed"), code: "backend_unavailable" };
    expect(buildThread(items, [failed], undefined, null).entries.at(-1)).toMatchObject({
      kind: "answer",
      phase: "failed",
      text: "Half",
      failure: { code: "backend_unavailable", turnId: "r2" },
    });
  });

  test("a run that goes on elsewhere is shown as being written, without an empty question", () => {
    const items = [...first, item("q2", "a1", "r2", ""), item("a2", "q2", "r2", "")];
    const entries = buildThread(items, [run("r2", "running")], undefined, null).entries;
    expect(entries.map((entry) => entry.kind)).toEqual(["question", "answer", "answer"]);
    expect(entries.at(-1)).toMatchObject({ phase: "writing" });
  });
});

describe("tools", () => {
  const use: ToolUse = {
    callId: "c1",
    name: "memory_store",
    state: "done",
    words: { given: { content: "Red." }, gave: "{}" },
    approval: null,
    at: 4,
  };
  const kept = { call_id: "c1", name: "memory_store", state: "done", at: 4 } as const;
  const answered: Item = { ...item("a2", "q2", "r2", "One.Two."), tools: [kept] };
  const items = [...first, item("q2", "a1", "r2"), answered];

  test("stand between what was written before and after", () => {
    expect(passagesOf({ text: "One.\n\nTwo.", tools: [use, { ...use, callId: "c2" }] })).toMatchObject([
      { kind: "text", text: "One." },
      { kind: "tools", uses: [{ callId: "c1" }, { callId: "c2" }] },
      { kind: "text", text: "\n\nTwo." },
    ]);
  });

  test("of several rounds stand each in its place, and blank text between them is none", () => {
    const tools = [{ ...use, at: 0 }, use, { ...use, callId: "c2", at: 6 }];
    expect(passagesOf({ text: "One.\n\n", tools }).map(({ kind }) => kind)).toEqual([
      "tools",
      "text",
      "tools",
    ]);
  });

  test("have no place without any, and an empty answer has nothing to show", () => {
    expect(passagesOf({ text: "One.", tools: [] })).toEqual([{ kind: "text", key: "text-0", text: "One." }]);
    expect(passagesOf({ text: "", tools: [] })).toEqual([]);
  });

  test("stand in their place after a reload, without their words but with what their person said", () => {
    const told: Item = { ...answered, content: "😀ne.Two.", tools: [{ ...kept, approval: "approved" }] };
    const answer = buildThread([...items.slice(0, -1), told], [], undefined, null).entries.at(-1);
    expect(answer).toMatchObject({
      tools: [{ ...use, words: null, approval: { status: "approved" }, at: 5 }],
    });
  });

  test("keep their words and their place as long as the page is open", () => {
    const ended: RunView = { ...writing("One.Two."), phase: "ended", tools: [use] };
    expect(buildThread(items, [], ended, null, () => ended).entries.at(-1)).toMatchObject({ tools: [use] });
  });

  test("are in the state that was kept where the page lost sight of them", () => {
    const lost: RunView = { ...writing("One.Two."), phase: "failed", tools: [{ ...use, state: "running" }] };
    expect(buildThread(items, [], lost, null, () => lost).entries.at(-1)).toMatchObject({
      tools: [{ state: "done", words: null, at: 4 }],
    });
  });
});

describe("resuming", () => {
  test("a run that waits for an approval is picked up", () => {
    expect(runToResume([run("r1", "completed"), run("r2", "waiting_approval")])?.run_id).toBe("r2");
  });

  test("the newest run that has not ended is picked up", () => {
    expect(runToResume([run("r1", "completed"), run("r2", "running")])?.run_id).toBe("r2");
    expect(runToResume([run("r1", "completed"), run("r2", "failed")])).toBeUndefined();
  });

  test("its question is found among the stored items", () => {
    expect(questionOf([...first, item("q2", "a1", "r2", "And now?")], "r2")).toEqual({
      question: "And now?",
      parentId: "a1",
    });
  });

  test("a run whose question is not stored yet follows the newest item", () => {
    expect(questionOf(first, "r2")).toEqual({ question: null, parentId: "a1" });
  });
});

// What is said of tools.
import { describe, expect, test } from "vitest";
import type { Approval, ToolUse } from "./run";
import {
  asks,
  decisionWords,
  glimpse,
  parsed,
  pretty,
  toolLine,
  untilWords,
  whyItAsks,
  wishOf,
} from "./toolWords";

describe("a use in one line", () => {
  test.each([
    ["knowledge_search", "running", "Searching the documents…"],
    ["knowledge_search", "done", "Searched the documents"],
    ["knowledge_search", "failed", "Could not search the documents"],
    ["memory_delete", "denied", "Wanted to delete a memory"],
    ["send_mail", "done", "Used send_mail"],
    // A name that every object has is no name of a tool.
    ["constructor", "running", "Using constructor…"],
  ] as const)("%s, %s: %s", (name, state, line) => {
    expect(toolLine({ name, state })).toBe(line);
  });

  test("shows what was looked for, or which page, or what to remember", () => {
    expect(glimpse({ limit: 5, query: "badges" })).toBe("badges");
    expect(glimpse({ content: "# Long", topic: "colours" })).toBe("colours");
    expect(glimpse({ memory_id: "m1" })).toBe("");
    expect(glimpse("{broken")).toBe("");
  });
});

const approval: Approval = {
  id: "a1",
  arguments: {},
  risk: "tool",
  expiresAt: "2025-11-21T22:30:00Z",
  status: "pending",
};
const decided = (status: Approval["status"]): Approval => ({ ...approval, status });

test("only a use that is undecided and still wanted asks", () => {
  const use = { state: "running", approval } as ToolUse;
  expect(asks(use)).toBe(true);
  expect(asks({ ...use, approval: decided("approved") })).toBe(false);
  expect(asks({ ...use, state: "failed" })).toBe(false);
  expect(asks({ ...use, approval: null })).toBe(false);
});

test("nobody's answer in time is not the same as an end before it", () => {
  expect(decisionWords({ state: "denied", approval: decided("expired") })).toBe("nobody answered");
  expect(decisionWords({ state: "failed", approval: decided("expired") })).toBe("not decided");
});

test("after a reload nobody knows any more why a use was denied", () => {
  expect(decisionWords({ state: "denied", approval: null })).toBe("not allowed");
  expect(decisionWords({ state: "done", approval: null })).toBe("");
});

test("a tool says why it asks, and in a suspicious turn that too", () => {
  expect(wishOf("wiki_write")).toBe("AIBox wants to write a wiki page");
  expect(whyItAsks("memory_delete", "tool")).toBe("This cannot be taken back.");
  expect(whyItAsks("wiki_write", "tool")).toBe("Others will see it.");
  expect(whyItAsks("send_mail", "tool")).toBe("This cannot be taken back, or others will see it.");
  expect(whyItAsks("knowledge_search", "prompt_injection")).toMatch(/attempt at misuse.*asks first\.$/);
  expect(whyItAsks("memory_delete", "prompt_injection")).toMatch(/misuse.* This cannot be taken back\.$/);
});

test("a time of today is told without the day", () => {
  const at = new Date(2026, 2, 1, 14, 30);
  const today = untilWords(at.toISOString(), new Date(2026, 2, 1, 9));
  const before = untilWords(at.toISOString(), new Date(2026, 1, 28, 9));
  expect(today).not.toContain("2026");
  expect(before).toContain("2026");
});

test("JSON is laid out, and what is none stays as it is", () => {
  expect(parsed('{"a":1}')).toEqual({ a: 1 });
  expect(parsed({ a: 1 })).toEqual({ a: 1 });
  expect(parsed('{"a":1… (cut: the result is longer)')).toBe('{"a":1… (cut: the result is longer)');
  expect(pretty({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(pretty("As it is")).toBe("As it is");
  expect(pretty(null)).toBe("null");
});

// Speech for screen readers.
import { expect, test } from "vitest";
import { sentenceEnd, spoken, toolNews } from "./announce";
import type { ToolUse } from "./run";

test("only whole sentences are announced", () => {
  const text = "Hello there. How are y";
  expect(text.slice(0, sentenceEnd(text, 0))).toBe("Hello there. ");
  expect(sentenceEnd(text, 13)).toBe(13);
});

test("a number with a decimal point is not the end of a sentence", () => {
  expect(sentenceEnd("It is 3.14159", 0)).toBe(0);
});

test("marks are not read aloud and code is only mentioned", () => {
  expect(spoken("## Use **this**:\n```py\nprint(1)\n```\nsee [docs](https://e.org)")).toBe(
    "Use this : code block see docs",
  );
});

const use: ToolUse = {
  callId: "c1",
  name: "memory_delete",
  state: "running",
  words: { given: {}, gave: null },
  approval: null,
  at: 0,
};
const approval = {
  id: "a1",
  arguments: {},
  risk: "tool",
  expiresAt: "2025-11-21T22:30:00Z",
  status: "pending",
} as const;

test("a tool is announced when it asks and when it has ended, and not while it works", () => {
  expect(toolNews([use])).toEqual([]);
  expect(toolNews([{ ...use, approval }]).map(({ sentence }) => sentence)).toEqual([
    "AIBox wants to delete a memory. Approve or deny it in the answer.",
  ]);
  const ends: ToolUse[] = [
    { ...use, state: "done" },
    { ...use, state: "failed", words: { given: {}, gave: "There is no such memory." } },
    { ...use, state: "denied", approval: { ...approval, status: "denied" } },
  ];
  expect(toolNews(ends).map(({ sentence }) => sentence)).toEqual([
    "Deleted a memory.",
    "Could not delete a memory: There is no such memory.",
    "Wanted to delete a memory, you denied.",
  ]);
});

test("asking and having ended are two pieces of news", () => {
  const keys = [
    { ...use, approval },
    { ...use, state: "done" as const },
  ].flatMap((one) => toolNews([one]).map(({ key }) => key));
  expect(new Set(keys).size).toBe(2);
});

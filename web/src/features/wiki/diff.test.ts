import { expect, test } from "vitest";
import { diffLines } from "./diff";

test("what was added and removed is told apart, also where the text itself begins with a sign", () => {
  const diff = "--- rules 1\n+++ rules 2\n@@ -1,2 +1,2 @@\n # Rules\n--- a rule\n+++ a rule\n";
  expect(diffLines(diff)).toEqual([
    { kind: "place", text: "@@ -1,2 +1,2 @@" },
    { kind: "same", text: "# Rules" },
    { kind: "removed", text: "-- a rule" },
    { kind: "added", text: "++ a rule" },
  ]);
});

test("two versions that say the same have no lines", () => {
  expect(diffLines("")).toEqual([]);
});

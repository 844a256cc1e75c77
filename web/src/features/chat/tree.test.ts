// Branches of a conversation: which path is shown, and where a switch leads.
import { describe, expect, test } from "vitest";
import type { Item } from "../../api/types";
import { newestLeaf, pathTo } from "./tree";

function item(id: string, parent: string | null): Item {
  return {
    id,
    parent_id: parent,
    type: "message",
    role: id.startsWith("q") ? "user" : "assistant",
    content: id,
    created_at: "2025-11-21T22:00:00Z",
    run_id: `run-${id}`,
  };
}

// q1 → a1 → q2 → a2, then q1 was edited: q1b → a1b; then q2 was asked again under a1: q2b.
const items = [
  item("q1", null),
  item("a1", "q1"),
  item("q2", "a1"),
  item("a2", "q2"),
  item("q1b", null),
  item("a1b", "q1b"),
  item("q2b", "a1"),
];

const ids = (leaf: string | null) => pathTo(items, leaf).map((entry) => entry.item.id);

describe("pathTo", () => {
  test("shows the newest branch unless another is chosen", () => {
    expect(ids(null)).toEqual(["q1", "a1", "q2b"]);
    expect(ids("a1b")).toEqual(["q1b", "a1b"]);
  });

  test("falls back to the newest branch when the chosen leaf is gone", () => {
    expect(ids("deleted")).toEqual(["q1", "a1", "q2b"]);
  });

  test("knows the siblings of every message, the roots included", () => {
    const path = pathTo(items, "q2b");
    expect(path[0]?.siblings.map((sibling) => sibling.id)).toEqual(["q1", "q1b"]);
    expect(path[2]?.siblings.map((sibling) => sibling.id)).toEqual(["q2", "q2b"]);
  });

  test("an empty conversation has an empty path", () => {
    expect(pathTo([], null)).toEqual([]);
  });

  test("a parent that is not in the list ends the path instead of the page", () => {
    expect(pathTo([item("a9", "gone")], null).map((entry) => entry.item.id)).toEqual(["a9"]);
  });
});

describe("newestLeaf", () => {
  test("follows a branch to its newest end", () => {
    expect(newestLeaf(items, "q1")).toBe("q2b");
    expect(newestLeaf(items, "q2")).toBe("a2");
    expect(newestLeaf(items, "a2")).toBe("a2");
  });
});

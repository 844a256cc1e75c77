// The headings of the sidebar.
import { expect, test } from "vitest";
import type { Session } from "../../api/types";
import { groupByAge, titleOf } from "./groups";

const now = new Date(2025, 10, 21, 9, 0);

function session(sessionId: string, updated: Date, pinned = false): Session {
  return { sessionId, title: sessionId, updatedAt: updated.toISOString(), pinned, folderId: null };
}

test("chats stand under their age, pinned ones above all", () => {
  const groups = groupByAge(
    [
      session("now", new Date(2025, 10, 21, 8, 59)),
      session("last night", new Date(2025, 10, 20, 23, 59)),
      session("midnight", new Date(2025, 10, 21, 0, 0)),
      session("monday", new Date(2025, 10, 17, 12, 0)),
      session("summer", new Date(2025, 6, 1)),
      session("kept", new Date(2025, 6, 1), true),
    ],
    now,
  );
  expect(groups.map((group) => [group.heading, group.sessions.map((one) => one.sessionId)])).toEqual([
    ["Pinned", ["kept"]],
    ["Today", ["now", "midnight"]],
    ["Yesterday", ["last night"]],
    ["Last 7 days", ["monday"]],
    ["Older", ["summer"]],
  ]);
});

test("a chat without a title has a name all the same", () => {
  expect(titleOf({ title: "" })).toBe("New chat");
});

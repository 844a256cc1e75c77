// How health is told, and what the lines of a mapping mean.
import { expect, test } from "vitest";
import { doubled, groupsOf, healthOf, linesOf } from "./words";

test.each([
  [{ keys: 0, age: null, failure: null }, "Not asked yet"],
  [{ keys: 2, age: 30, failure: null }, "Healthy"],
  [{ keys: 2, age: 7200, failure: "no answer within 5 seconds" }, "Stale keys"],
  [{ keys: 0, age: null, failure: "the address cannot be reached" }, "No keys"],
])("%j is %s", (health, label) => {
  expect(healthOf(health).label).toBe(label);
});

test("the age and the failure are told", () => {
  expect(healthOf({ keys: 1, age: 7200, failure: "the answer is no key set" }).about).toBe(
    "1 key, fetched 2 hours ago. The last fetch failed: the answer is no key set.",
  );
});

test("lines become a mapping and back, empty ones left out", () => {
  const groups = { staff: "member", bosses: "admin" };
  expect(groupsOf([...linesOf(groups), { id: 9, group: " ", role: "owner" }])).toEqual(groups);
});

test("a group that stands twice is noticed", () => {
  const lines = linesOf({ staff: "member" });
  expect(doubled(lines)).toBeNull();
  expect(doubled([...lines, { id: 7, group: " staff ", role: "admin" }])).toBe("staff");
});

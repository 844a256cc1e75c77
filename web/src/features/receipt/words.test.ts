// What the log's events are called in plain words.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { bytesText, eventWords } from "./words";

test("every event that AIBox documents has words of its own", () => {
  const documented = readFileSync(new URL("../../../../docs/events.md", import.meta.url), "utf8");
  const types = [...documented.matchAll(/^\| `([a-z_.]+)` \|/gm)].map(([, type = ""]) => type);
  expect(types.length).toBeGreaterThan(80);
  const spelled = (type: string) => type.replaceAll(/[._]/g, " ");
  expect(types.filter((type) => eventWords(type).toLowerCase() === spelled(type))).toEqual([]);
});

test("another program's event is told by its type", () => {
  expect(eventWords("external.invoice.paid")).toBe("External invoice paid");
});

test("a number and its unit stay on one line", () => {
  expect(bytesText(63)).toBe("63\u00a0B");
  expect(bytesText(4700)).toBe("4.7\u00a0kB");
});

// What the activity page asks for, reads line by line, and believes.
import { describe, expect, test } from "vitest";
import { everything, exportAddress, filterOf, glance, queryOf } from "./filters";
import { LineParser } from "./lineParser";
import { settled } from "./settled";

describe("filters", () => {
  test("nothing set asks for everything", () => {
    expect(queryOf(everything)).toEqual({});
  });

  test("the last day counts to its end", () => {
    const { since, until } = queryOf({ ...everything, since: "2026-11-01", until: "2026-11-01" });
    expect(Date.parse(until ?? "") - Date.parse(since ?? "")).toBe(24 * 3600 * 1000);
  });

  test("the export asks for what the list shows", () => {
    const address = exportAddress({ ...everything, action: "admin.*", user: "u1" }, "csv");
    expect(address).toBe("/v1/admin/audit/export?action=admin.*&user_id=u1&format=csv");
  });

  test("a glance names what tells most, and no object", () => {
    expect(glance({ call: "c", model: "gpt-4o", provider: "openai", usage: { a: 1 } })).toBe(
      "openai · gpt-4o",
    );
    expect(glance({})).toBe("");
    expect(glance({ target: "release-checklist", version: 1 })).toBe("release-checklist");
    expect(glance({ tool: "memory_get", code: "not_found" })).toBe("memory_get · not_found");
  });

  test("a glance spares the reader what only a program can read", () => {
    const body = { target: "p-UPRraB-QXOONZ4fPdfgyXw", result: "wiki", outcome: "sealed" };
    expect(glance(body)).toBe("completed · wiki");
    expect(glance({ target: "01a203be-bf5f-7ce2-a5ea-8688313df50c" })).toBe("");
  });

  test("an address brings its filter, and nothing that is none", () => {
    const filter = { action: "admin.*", user: "u1", since: "2026-11-01", until: "2026-11-30" };
    expect(filterOf(filter)).toEqual(filter);
    expect(filterOf({ ...everything })).toEqual({});
    expect(filterOf({ action: "no such", user: 7, since: "soon", until: "2026-99-99" })).toEqual({});
  });
});

describe("the check of the log", () => {
  test("lines come whole, however they were cut on the way", () => {
    const lines = new LineParser();
    expect(lines.push('{"a":')).toEqual([]);
    expect(lines.push('1}\n{"a":2}\n{"a"')).toEqual(['{"a":1}', '{"a":2}']);
    expect(lines.push(":3}\n")).toEqual(['{"a":3}']);
  });

  test("a check that stopped half way is no success", () => {
    expect(settled({ ok: true, checked: 4, total: 9 }).state).toBe("failed");
    expect(settled(null).state).toBe("failed");
    expect(settled({ ok: true, checked: 9, total: 9 }).state).toBe("done");
  });

  test("a fault is a result, wherever it was found", () => {
    const bad = { ok: false, checked: 4, total: 9, first_bad: { log: "l", idx: 4, reason: "changed" } };
    expect(settled(bad)).toMatchObject({ state: "done", result: bad });
  });
});

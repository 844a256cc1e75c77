// Whose a role is to hand out, and how its rights are told.
import { expect, test } from "vitest";
import { coversRole, listed, narrowing, slugOf, summary } from "./rights";

const me = (tools: object, cost: object = {}) => ({
  permissions: { chat: true, admin: { manage_users: true }, memory: {}, agents: {}, tools, cost },
});
const ALL = { allowed: ["*"], denied: [] };

test("nobody hands out a right that they do not have", () => {
  expect(coversRole(me(ALL), { chat: true, admin: { manage_users: true } })).toBe(true);
  expect(coversRole(me(ALL), { admin: { manage_tenant: true } })).toBe(false);
  expect(coversRole(me(ALL), { memory: { read_own: true } })).toBe(false);
});

test.each([
  [ALL, { allowed: ["*"] }, true],
  [{ allowed: ["*"], denied: ["shell"] }, { allowed: ["*"] }, false],
  [{ allowed: ["*"], denied: ["shell"] }, { allowed: ["*"], denied: ["shell", "web"] }, true],
  [{ allowed: ["*"], denied: ["shell"] }, { allowed: ["shell"] }, false],
  [{ allowed: ["web"], denied: [] }, { allowed: ["web"] }, true],
  [{ allowed: ["web"], denied: [] }, { allowed: ["shell"] }, false],
])("of %j one may hand out %j: %s", (mine, tools, expected) => {
  expect(coversRole(me(mine), { tools })).toBe(expected);
});

test("a limit that binds me binds whom I give a role", () => {
  const bound = me(ALL, { monthly_limit_usd: "50" });
  expect(coversRole(bound, { chat: true })).toBe(false);
  expect(coversRole(bound, { cost: { monthly_limit_usd: "50.00" } })).toBe(true);
  expect(coversRole(bound, { cost: { monthly_limit_usd: "100" } })).toBe(false);
});

test("a role is told by area, and what narrows it beside", () => {
  const role = {
    chat: true,
    memory: { read_own: true, write: true },
    tools: { allowed: ["*"], denied: ["shell"] },
    cost: { monthly_limit_usd: "10" },
  };
  expect(summary(role)).toEqual(["Chat", "Memory: read own, write", "All tools"]);
  expect(narrowing(role)).toEqual(["never shell", "at most $10 a month"]);
});

test.each([
  ["Sales (EMEA)", "sales-emea"],
  ["Prüfung & Aufsicht", "prufung-aufsicht"],
  ["2nd line", "nd-line"],
  ["!!", ""],
])("%j is called %j", (label, slug) => {
  expect(slugOf(label)).toBe(slug);
});

test("tools are read however they are separated", () => {
  expect(listed("shell, web\nshell  mail")).toEqual(["shell", "web", "mail"]);
});

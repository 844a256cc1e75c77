// Who is found, who may change whom, and what rights are called.
import { expect, test } from "vitest";
import type { Role } from "../roles/queries";
import { found, issuerName, mayGive, mayManage, newPassword, rightsOf, WINDOWS } from "./people";
import type { Person } from "./queries";

const person = (name: string, email: string, ...roles: string[]): Person => ({
  id: email,
  pseudonym: "p",
  tenant_id: "t",
  handle: email.split("@")[0] ?? "",
  email,
  name,
  roles,
  status: "active",
  created_at: "2026-01-01T00:00:00Z",
  issuer: "",
});

const role = (name: string, permissions: Role["permissions"]): Role => ({
  name,
  label: name,
  about: "",
  is_shipped: true,
  permissions,
  people: 1,
});

const ROLES = [
  role("owner", { chat: true, admin: { manage_users: true, manage_tenant: true } }),
  role("admin", { chat: true, admin: { manage_users: true } }),
  role("member", { chat: true }),
];

const ADA = person("Ada Lovelace", "ada@example.org", "owner");
const ALAN = person("Alan Turing", "alan@example.org", "member");

test.each([
  ["", [ADA, ALAN]],
  ["lovelace", [ADA]],
  ["ALAN example", [ALAN]],
  ["member", [ALAN]],
  ["ada turing", []],
])("%j finds whom it names", (text, people) => {
  expect(found([ADA, ALAN], text)).toEqual(people);
});

test("an admin neither makes an owner nor changes one", () => {
  const admin = { permissions: { admin: { manage_users: true }, chat: true } };
  const owner = { permissions: { admin: { manage_users: true, manage_tenant: true }, chat: true } };
  expect(mayGive(admin, "owner", ROLES)).toBe(false);
  expect(mayManage(admin, ADA, ROLES)).toBe(false);
  expect(mayManage(admin, ALAN, ROLES)).toBe(true);
  expect(mayManage(owner, ADA, ROLES)).toBe(true);
  expect(mayGive(owner, "platform_admin", ROLES)).toBe(false);
});

test("rights are told by group, denials included", () => {
  const rights = rightsOf({
    chat: true,
    agents: { create: true, delete: false },
    memory: { read_own: true },
    tools: { allowed: ["*"], denied: ["shell"] },
    admin: {},
  });
  expect(rights).toContainEqual({ group: "Agents", granted: ["create"] });
  expect(rights).toContainEqual({ group: "Memory", granted: ["read own"] });
  expect(rights).toContainEqual({ group: "Administration", granted: [] });
  expect(rights).toContainEqual({ group: "Tools", granted: ["all tools", "never shell"] });
});

test("a new password skips bytes that would favour some letters", () => {
  let calls = 0;
  const random = (bytes: Uint8Array) => bytes.fill(calls++ === 0 ? 255 : 0);
  expect(newPassword(random)).toBe("aaaaa-aaaaa-aaaaa-aaaaa");
  expect(calls).toBe(2);
});

test("who vouches for a person is named by its host, and Windows by its name", () => {
  expect(issuerName("https://login.example/tenant/v2.0")).toBe("login.example");
  expect(issuerName(WINDOWS)).toBe("Windows account");
  expect(issuerName("corp")).toBe("corp");
});

// The rights that a role can give, in words and by area; and whether someone has all that a role would give.
import { isRecord } from "../../api/errors";
import type { Me } from "../../api/types";
import type { RoleRights } from "./queries";

export interface Area {
  area: "agents" | "memory" | "admin";
  label: string;
  rights: { name: string; label: string; about: string }[];
}

export const AREAS: Area[] = [
  {
    area: "memory",
    label: "Memory",
    rights: [
      { name: "read_own", label: "Read own", about: "What is remembered of oneself." },
      { name: "read_team", label: "Read the team’s", about: "What others have shared with their team." },
      { name: "read_org", label: "Read everybody’s", about: "What is shared with the whole organisation." },
      { name: "write", label: "Write", about: "Have something remembered." },
      { name: "delete", label: "Delete", about: "Have something forgotten." },
      { name: "share", label: "Share", about: "Show a memory to the team." },
    ],
  },
  {
    area: "agents",
    label: "Agents",
    rights: [
      { name: "create", label: "Create", about: "Make agents of one’s own." },
      { name: "configure", label: "Configure", about: "Change agents of others." },
      { name: "delete", label: "Delete", about: "Delete agents of others." },
    ],
  },
  {
    area: "admin",
    label: "Administration",
    rights: [
      { name: "manage_users", label: "People", about: "Invite, add, suspend, and hand out roles." },
      { name: "manage_roles", label: "Roles", about: "Make and change roles, and map groups to them." },
      { name: "manage_providers", label: "Models", about: "Providers, models, the guardrail, and budgets." },
      { name: "manage_templates", label: "Templates", about: "Agents that others start from." },
      { name: "view_audit_log", label: "Activity", about: "The log, usage, and everybody’s receipts." },
      { name: "manage_tenant", label: "Settings", about: "The settings of the whole tenant." },
    ],
  },
];

type Rights = Record<string, unknown>;

export function granted(permissions: RoleRights, area: Area["area"], name: string): boolean {
  return (permissions[area] as Rights | undefined)?.[name] === true;
}

export function withRight(
  permissions: RoleRights,
  area: Area["area"],
  name: string,
  on: boolean,
): RoleRights {
  return { ...permissions, [area]: { ...permissions[area], [name]: on } };
}

/** `Memory: read own, write` for every area of which something is granted. */
export function summary(permissions: RoleRights): string[] {
  const lines = AREAS.map(({ area, label, rights }) => {
    const names = rights
      .filter(({ name }) => granted(permissions, area, name))
      .map(({ label }) => label.toLowerCase());
    if (names.length === 0) return "";
    return `${label}: ${names.length === rights.length ? "all" : names.join(", ")}`;
  }).filter(Boolean);
  const tools = permissions.tools?.allowed ?? [];
  return [
    ...(permissions.chat ? ["Chat"] : []),
    ...lines,
    ...(tools.length > 0 ? [tools.includes("*") ? "All tools" : `Tools: ${tools.join(", ")}`] : []),
  ];
}

/** What narrows: denied tools and limits. */
export function narrowing(permissions: RoleRights): string[] {
  const { monthly_limit_usd: month, per_request_limit_usd: call } = permissions.cost ?? {};
  return [
    ...(permissions.tools?.denied ?? []).map((tool) => `never ${tool}`),
    ...(month == null ? [] : [`at most $${month} a month`]),
    ...(call == null ? [] : [`at most $${call} a call`]),
  ];
}

/** Whether `me` may do all that a role would give: only then is it theirs to hand out. The server has the last word. */
export function coversRole(me: Pick<Me, "permissions">, permissions: RoleRights): boolean {
  const mine = me.permissions as Rights;
  const hasAreas = AREAS.every(({ area, rights }) =>
    rights.every(({ name }) => !granted(permissions, area, name) || holds(mine, area, name)),
  );
  return (
    hasAreas &&
    (!permissions.chat || mine.chat === true) &&
    coversTools(mine.tools, permissions) &&
    isLower(permissions.cost?.monthly_limit_usd, limitOf(mine, "monthly_limit_usd")) &&
    isLower(permissions.cost?.per_request_limit_usd, limitOf(mine, "per_request_limit_usd"))
  );
}

export function holds(permissions: unknown, area: string, name: string): boolean {
  const part = isRecord(permissions) ? permissions[area] : null;
  return isRecord(part) && part[name] === true;
}

function coversTools(mine: unknown, { tools = {} }: RoleRights): boolean {
  const { allowed = [], denied = [] } = tools;
  const has = { allowed: names(mine, "allowed"), denied: names(mine, "denied") };
  if (allowed.includes("*"))
    return has.allowed.includes("*") && has.denied.every((tool) => denied.includes(tool));
  return allowed
    .filter((tool) => !denied.includes(tool))
    .every((tool) => !has.denied.includes(tool) && (has.allowed.includes("*") || has.allowed.includes(tool)));
}

function names(tools: unknown, key: string): string[] {
  const list = isRecord(tools) ? tools[key] : null;
  return Array.isArray(list) ? list.filter((one) => typeof one === "string") : [];
}

function limitOf(mine: Rights, key: string): string | null {
  const limit = isRecord(mine.cost) ? mine.cost[key] : null;
  return typeof limit === "string" ? limit : null;
}

function isLower(limit: string | null | undefined, than: string | null): boolean {
  return than === null || (limit != null && Number(limit) <= Number(than));
}

/** `sales-emea` from “Sales (EMEA)”: what a role may be called in the API and the log. */
export function slugOf(label: string): string {
  return label
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+|-+$/g, "")
    .slice(0, 40);
}

/** The names in a box of several: by line, comma or space, each once. */
export function listed(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

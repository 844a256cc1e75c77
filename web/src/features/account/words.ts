// How sessions, keys and times are called on the account's pages.
import type { AccountSession, ApiKey, Scope } from "./queries";

/** The scopes that a route asks for. A key may have others, for parts that are not there yet: they open nothing. */
export const SCOPES: { scope: Scope; label: string; about: string }[] = [
  { scope: "chat", label: "Chat", about: "AIBox’s own chat: ask, and read one’s conversations." },
  {
    scope: "models",
    label: "Models",
    about: "For OpenAI’s and Anthropic’s clients: list models and ask them.",
  },
  { scope: "memory", label: "Memory", about: "Read and change what is remembered." },
  { scope: "knowledge", label: "Knowledge", about: "Read and change documents." },
  { scope: "audit:read", label: "Receipts", about: "Read receipts and the audit log." },
  { scope: "audit:write", label: "Reports", about: "Report acts of other programs to the audit log." },
  { scope: "erase", label: "Erase", about: "Erase what people said, for good. Give it to nothing else." },
  { scope: "metrics", label: "Metrics", about: "Read the server’s metrics." },
  { scope: "admin", label: "Administration", about: "Whatever its owner may administer." },
];

/** `Firefox on Linux`: who a user agent says it is; a program says its own name. */
export function agentText(agent: string): string {
  if (!agent) return "Unknown program";
  const browser = [
    ["Edg/", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Version/", "Safari"],
  ].find(([mark]) => mark && agent.includes(mark))?.[1];
  const system = [
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Android", "Android"],
    ["Windows", "Windows"],
    ["Mac OS X", "macOS"],
    ["CrOS", "ChromeOS"],
    ["Linux", "Linux"],
  ].find(([mark]) => mark && agent.includes(mark))?.[1];
  if (browser) return system ? `${browser} on ${system}` : browser;
  return agent.split(/[\s/]/)[0] ?? agent;
}

export function kindText(kind: AccountSession["kind"]): string {
  if (kind === "token") return "Client with tokens";
  return kind === "device" ? "Paired device" : "Browser";
}

export function dateText(iso: string): string {
  return new Date(iso).toLocaleDateString("en-US", { year: "numeric", month: "short", day: "numeric" });
}

/** `just now`, `5 minutes ago`, `yesterday`, then the date. */
export function agoText(iso: string, now: Date): string {
  const minutes = Math.round((now.getTime() - new Date(iso).getTime()) / 60_000);
  if (minutes < 1) return "just now";
  const relative = new Intl.RelativeTimeFormat("en-US", { numeric: "auto" });
  if (minutes < 60) return relative.format(-minutes, "minute");
  const hours = Math.round(minutes / 60);
  if (hours < 24) return relative.format(-hours, "hour");
  const days = Math.round(hours / 24);
  return days < 14 ? relative.format(-days, "day") : dateText(iso);
}

export type KeyState = "active" | "expiring" | "expired" | "revoked";

const SOON_DAYS = 14;

export function keyState(
  { revoked, expires_at }: Pick<ApiKey, "revoked" | "expires_at">,
  now: Date,
): KeyState {
  if (revoked) return "revoked";
  const days = (new Date(expires_at).getTime() - now.getTime()) / 86_400_000;
  if (days <= 0) return "expired";
  return days <= SOON_DAYS ? "expiring" : "active";
}

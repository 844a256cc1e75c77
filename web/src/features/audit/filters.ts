// Which events the activity page shows, as the API takes it and as the address remembers it.
import { addDays } from "../usage/periods";

export interface ActivityFilter {
  /** A beginning of the event's type, "" for all. */
  action: string;
  /** The person's id, "" for everybody. */
  user: string;
  /** Days as people pick them, in their own time zone; "" where the end is open. */
  since: string;
  until: string;
}

export const everything: ActivityFilter = { action: "", user: "", since: "", until: "" };

/** Beginnings of event types that belong together; `*` stands for the rest. */
export const actions: { value: string; label: string }[] = [
  { value: "", label: "All events" },
  { value: "admin.*", label: "Administration" },
  { value: "auth.*", label: "Sign-in and accounts" },
  { value: "model_*", label: "Model calls" },
  { value: "tool_*", label: "Tools" },
  { value: "approval_*", label: "Approvals" },
  { value: "guardrail*", label: "Guardrail" },
  { value: "budget*", label: "Budgets" },
  { value: "memory*", label: "Memory" },
  { value: "knowledge.*", label: "Documents" },
  { value: "audit.*", label: "Audit log" },
  { value: "turn_*", label: "Beginnings and ends of turns" },
  { value: "external.*", label: "Other programs" },
];

/** Only what is set. The last day counts to its end. */
export function queryOf({ action, user, since, until }: ActivityFilter): Record<string, string> {
  return {
    ...(action && { action }),
    ...(user && { user_id: user }),
    ...(since && { since: midnight(since) }),
    ...(until && { until: midnight(addDays(until, 1)) }),
  };
}

function midnight(day: string): string {
  return new Date(`${day}T00:00:00`).toISOString();
}

export function exportAddress(filter: ActivityFilter, format: "ndjson" | "csv" | "ocsf"): string {
  return `/v1/admin/audit/export?${new URLSearchParams({ ...queryOf(filter), format })}`;
}

/** Members of an event's body worth a glance, in the order in which they are looked for. */
const TELLING = [
  "decision",
  "outcome",
  "status",
  "code",
  "method",
  "provider",
  "model",
  "role",
  "tool",
  "op",
  "subject",
  "changes",
  "action",
];

/** One short line about an event. */
export function glance(body: Record<string, unknown>): string {
  return TELLING.map((name) => body[name])
    .filter((value) => (typeof value === "string" && value !== "") || typeof value === "number")
    .slice(0, 3)
    .join(" · ");
}

// Which events the activity page shows, as the API takes it and as the address remembers it.
import { outcomeWords } from "../receipt/words";
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

/** The filter that an address holds; what is none is left out. */
export function filterOf(search: Record<string, unknown>): Partial<ActivityFilter> {
  const { action, user, since, until } = search;
  return {
    ...(actions.some(({ value }) => value === action) && action !== "" && { action: String(action) }),
    ...(typeof user === "string" && user !== "" && { user }),
    ...(isDay(since) && { since }),
    ...(isDay(until) && { until }),
  };
}

function isDay(value: unknown): value is string {
  return typeof value === "string" && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value));
}

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

/** Members of an event's body worth a glance, in the order in which they are told: what it was, then how it went. */
const TELLING = [
  "provider",
  "model",
  "role",
  "tool",
  "target",
  "op",
  "change",
  "direction",
  "decision",
  "outcome",
  "status",
  "result",
  "code",
  "reason",
  "method",
  "subject",
  "action",
  "format",
];

/** One short line about an event, "" where its name says all. */
export function glance(body: Record<string, unknown>): string {
  return TELLING.map((name) => (name === "outcome" ? outcomeOf(body) : body[name]))
    .filter((value): value is string => typeof value === "string" && value !== "" && !isId(value))
    .slice(0, 3)
    .join(" · ");
}

function outcomeOf({ outcome }: Record<string, unknown>): string {
  return typeof outcome === "string" ? outcomeWords(outcome) : "";
}

/** Of a person (a pseudonym), a document or a turn: it tells nobody anything at a glance. */
function isId(value: string): boolean {
  return /^p-[\w-]{22}$|^[0-9a-f]{8}-[0-9a-f]{4}-/.test(value);
}

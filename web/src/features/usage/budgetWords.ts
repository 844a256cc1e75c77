// How a budget is named and judged in words.
import type { Tone } from "../../ui/Badge";
import { dollarsText } from "../../ui/money";
import { dayText } from "./periods";
import type { Balance, Budget } from "./queries";

export function subjectWords(budget: Budget, nameOf: (pseudonym: string) => string): string {
  switch (budget.subject) {
    case "tenant":
      return "Everybody";
    case "user":
      return nameOf(budget.subject_id);
    case "key":
      return `API key ${budget.subject_id}`;
    case "agent":
      return `Agent ${budget.subject_id}`;
  }
}

export function termsWords(budget: Budget): string {
  const limit = `${dollarsText(budget.limit_usd)} a ${budget.period}`;
  return budget.action === "block" ? `${limit}, then calls are refused` : `${limit}, then it is noted`;
}

export function stateOf(budget: Budget): { tone: Tone; label: string } {
  switch (budget.state) {
    case "exceeded":
      return { tone: "danger", label: "Used up" };
    case "soft":
      return { tone: "warn", label: `Above ${budget.soft_pct} %` };
    case "ok":
      return { tone: "good", label: "Within" };
  }
}

/** Where the pace so far leads. */
export function paceWords(budget: Budget, usedUpOn: string | null): string {
  if (budget.state === "exceeded") return `It begins anew on ${resetText(budget)}.`;
  if (usedUpOn && budget.period === "month") return `At this pace it is used up on ${dayText(usedUpOn)}.`;
  if (usedUpOn) return "At this pace it is used up before the day ends.";
  return `At this pace it comes to ${dollarsText(budget.projected_usd)} by ${resetText(budget)}.`;
}

/** Months begin with a day of UTC; the hour at which a day begins there is told in the reader's time. */
function resetText({ period, resets_at }: Budget): string {
  return new Date(resets_at).toLocaleString(
    undefined,
    period === "month"
      ? { day: "numeric", month: "long", timeZone: "UTC" }
      : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  );
}

/** What the books hold, once they agree with the log. */
export function booksWords(books: Pick<Balance, "spent_usd" | "reserved_usd" | "open_reservations">): string {
  const calls = books.open_reservations === 1 ? "1 call" : `${books.open_reservations} calls`;
  const held = books.open_reservations
    ? ` ${dollarsText(books.reserved_usd)} is set aside for ${calls} under way.`
    : "";
  return `The books agree with the log: ${dollarsText(books.spent_usd)} spent in all.${held}`;
}

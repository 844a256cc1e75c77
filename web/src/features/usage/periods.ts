// Spans of days, as the server counts them: in UTC, both ends included.

export interface Span {
  from: string;
  to: string;
}

export const periods = {
  "7": "Last 7 days",
  "30": "Last 30 days",
  "90": "Last 90 days",
  month: "This month",
  before: "Last month",
} as const;

export type Period = keyof typeof periods;

export function spanOf(period: Period, now: Date): Span {
  const today = dayOf(now);
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  switch (period) {
    case "month":
      return { from: dayOf(new Date(Date.UTC(year, month, 1))), to: today };
    case "before":
      return {
        from: dayOf(new Date(Date.UTC(year, month - 1, 1))),
        to: dayOf(new Date(Date.UTC(year, month, 0))),
      };
    default:
      return { from: addDays(today, 1 - Number(period)), to: today };
  }
}

/** `2026-11-22`, in UTC. */
export function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}

export function addDays(day: string, days: number): string {
  const time = new Date(`${day}T00:00:00Z`);
  time.setUTCDate(time.getUTCDate() + days);
  return dayOf(time);
}

/** Every day of a span, in order. */
export function daysOf({ from, to }: Span): string[] {
  const days: string[] = [];
  for (let day = from; day <= to; day = addDays(day, 1)) days.push(day);
  return days;
}

/** `22 Nov`, whatever the reader's time zone. */
export function dayText(day: string): string {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString(undefined, {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
}

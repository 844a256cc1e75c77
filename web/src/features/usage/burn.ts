// The burn-down of a budget: what is left at each day's end, and where the pace so far leads.
import { addDays, dayOf, daysOf } from "./periods";
import type { Budget } from "./queries";

export interface BurnDown {
  /** What was left at each day's end so far, the whole limit before the first. From 0 to 1 in time and in money. */
  left: { x: number; y: number }[];
  /** From now to the period's end at the pace so far; null when nothing is known yet. */
  projected: { x: number; y: number }[] | null;
  /** The day on which it would be used up, null when it lasts. */
  usedUpOn: string | null;
}

export function burnDown(budget: Budget, now: Date): BurnDown {
  const limit = Number(budget.limit_usd);
  const [starts, ends] = [Date.parse(budget.starts_at), Date.parse(budget.resets_at)];
  const length = ends - starts;
  const at = (time: number) => clamp((time - starts) / length);
  const share = (spent: number) => (limit > 0 ? clamp(1 - spent / limit) : 0);
  const spentOn = new Map(budget.days.map(({ day, spent_usd }) => [day, Number(spent_usd)]));
  const left = [{ x: 0, y: 1 }];
  let spent = 0;
  for (const day of daysOf({ from: dayOf(new Date(starts)), to: dayOf(now) })) {
    spent += spentOn.get(day) ?? 0;
    const end = Math.min(Date.parse(`${addDays(day, 1)}T00:00:00Z`), now.getTime(), ends);
    left.push({ x: at(end), y: share(spent) });
  }
  const projected = Number(budget.projected_usd);
  const current = left.at(-1) ?? { x: 0, y: 1 };
  const pace = projected - spent;
  if (current.x >= 1) return { left, projected: null, usedUpOn: null };
  if (projected <= limit || pace <= 0) {
    return { left, projected: [current, { x: 1, y: share(projected) }], usedUpOn: null };
  }
  const part = clamp((limit - spent) / pace);
  const x = current.x + (1 - current.x) * part;
  return {
    left,
    projected: spent >= limit ? null : [current, { x, y: 0 }],
    usedUpOn: spent >= limit ? null : dayOf(new Date(starts + x * length)),
  };
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

// Rows of usage by day and one dimension: added up for the table, stacked for the bars.
import type { Dimension, UsageRow } from "./queries";

export interface Series {
  /** The dimension's value, "" where there was none; null for all that have no series of their own. */
  key: string | null;
  requests: number;
  failed: number;
  input: number;
  output: number;
  unpriced: number;
  usd: number;
}

export interface Measure {
  label: string;
  of: (row: UsageRow) => number;
}

export const measures = {
  cost: { label: "Dollars", of: (row) => Number(row.cost_usd) },
  tokens: { label: "Tokens", of: (row) => row.input_tokens + row.output_tokens },
  requests: { label: "Requests", of: (row) => row.requests },
} satisfies Record<string, Measure>;

export type MeasureName = keyof typeof measures;

export function keyOf(row: UsageRow, by: Dimension): string {
  return by === "model" ? `${row.provider}/${row.model}` : (row[by] ?? "");
}

/** One line for each value, the dearest first. */
export function totals(rows: UsageRow[], by: Dimension): Series[] {
  const found = new Map<string, Series>();
  for (const row of rows) {
    const key = keyOf(row, by);
    const sum = found.get(key) ?? { key, requests: 0, failed: 0, input: 0, output: 0, unpriced: 0, usd: 0 };
    sum.requests += row.requests;
    sum.failed += row.failed_requests;
    sum.input += row.input_tokens;
    sum.output += row.output_tokens;
    sum.unpriced += row.unpriced_requests;
    sum.usd += Number(row.cost_usd);
    found.set(key, sum);
  }
  return [...found.values()].sort(
    (a, b) => b.usd - a.usd || b.requests - a.requests || (a.key ?? "").localeCompare(b.key ?? ""),
  );
}

export interface Stack {
  day: string;
  total: number;
  /** One amount for each of `keys`, the last for all others when there are others. */
  parts: number[];
}

export interface Stacked {
  keys: (string | null)[];
  stacks: Stack[];
  most: number;
}

export const COLOURS = 5;

/** A bar for each day, split into the greatest few values and the rest (null). */
export function stacked(rows: UsageRow[], by: Dimension, measure: Measure, days: string[]): Stacked {
  const sizes = new Map<string, number>();
  for (const row of rows) {
    const key = keyOf(row, by);
    sizes.set(key, (sizes.get(key) ?? 0) + measure.of(row));
  }
  const named = [...sizes].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([key]) => key);
  const keys: (string | null)[] = named.length > COLOURS ? [...named.slice(0, COLOURS - 1), null] : named;
  const place = new Map(named.map((key, at) => [key, Math.min(at, keys.length - 1)]));
  const stacks = new Map(days.map((day) => [day, { day, total: 0, parts: keys.map(() => 0) }]));
  for (const row of rows) {
    const stack = row.day ? stacks.get(row.day) : undefined;
    const at = place.get(keyOf(row, by));
    if (!stack || at === undefined) continue;
    const amount = measure.of(row);
    stack.total += amount;
    stack.parts[at] = (stack.parts[at] ?? 0) + amount;
  }
  const list = [...stacks.values()];
  return { keys, stacks: list, most: Math.max(0, ...list.map((stack) => stack.total)) };
}

/** The round number at or above `most` that the scale ends with: 1, 2, 2.5 or 5 times a power of ten. */
export function scaleEnd(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= most * (1 - 1e-9)) ?? 10;
  return step * power;
}

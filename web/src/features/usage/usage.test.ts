// What the usage pages work out: spans of days, sums and stacks, burn-downs, waterfalls and amounts.
import { describe, expect, test } from "vitest";
import { amountFrom, countText, dollarsText } from "../../ui/money";
import { booksWords, paceWords, termsWords } from "./budgetWords";
import { burnDown } from "./burn";
import { addDays, daysOf, spanOf } from "./periods";
import type { Budget, Trace, TraceSpan, UsageRow } from "./queries";
import { measures, scaleEnd, stacked, totals } from "./spend";
import { barOf, detailOf, durationText } from "./waterfall";

const now = new Date("2026-03-01T10:00:00Z");

function row(part: Partial<UsageRow>): UsageRow {
  return {
    provider: "p",
    model: "m",
    day: "2026-02-28",
    requests: 1,
    failed_requests: 0,
    input_tokens: 10,
    cached_tokens: 0,
    output_tokens: 5,
    reasoning_tokens: 0,
    estimated_requests: 0,
    unpriced_requests: 0,
    cost_usd: "0",
    latency_ms: 1,
    first_byte_ms: 1,
    ...part,
  };
}

describe("spans of days", () => {
  test("the last seven days end today and begin six days before, across a month's end", () => {
    const span = spanOf("7", now);
    expect(span).toEqual({ from: "2026-02-23", to: "2026-03-01" });
    expect(daysOf(span)).toHaveLength(7);
  });

  test("the last month is the whole of it", () => {
    expect(spanOf("before", now)).toEqual({ from: "2026-02-01", to: "2026-02-28" });
    expect(spanOf("before", new Date("2026-01-31T23:00:00Z"))).toEqual({
      from: "2025-12-01",
      to: "2025-12-31",
    });
  });

  test("days are counted where a clock is moved, too", () => {
    expect(addDays("2026-03-28", 2)).toBe("2026-03-30");
  });
});

describe("spend", () => {
  const rows = [
    row({ cost_usd: "0.30" }),
    row({ cost_usd: "0.20", day: "2026-03-01" }),
    row({ model: "free", requests: 9 }),
    row({ model: "dear", cost_usd: "2.5", unpriced_requests: 0 }),
  ];

  test("days are added up for each value, the dearest first", () => {
    const lines = totals(rows, "model");
    expect(lines.map((line) => line.key)).toEqual(["p/dear", "p/m", "p/free"]);
    expect(lines[1]).toMatchObject({ requests: 2, input: 20 });
    expect(lines[1]?.usd).toBeCloseTo(0.5);
  });

  test("the bars hold every day of the span, and as much as the rows", () => {
    const { keys, stacks, most } = stacked(rows, "model", measures.cost, [
      "2026-02-27",
      "2026-02-28",
      "2026-03-01",
    ]);
    expect(keys).toEqual(["p/dear", "p/m", "p/free"]);
    expect(stacks.map((stack) => stack.total)).toEqual([0, 2.8, 0.2]);
    expect(stacks[1]?.parts).toEqual([2.5, 0.3, 0]);
    expect(most).toBe(2.8);
  });

  test("what has no colour of its own is shown together, and nothing is lost", () => {
    const many = Array.from({ length: 9 }, (_, at) => row({ model: `m${at}`, requests: 9 - at }));
    const { keys, stacks } = stacked(many, "model", measures.requests, ["2026-02-28"]);
    expect(keys).toEqual(["p/m0", "p/m1", "p/m2", "p/m3", null]);
    expect(stacks[0]?.parts).toEqual([9, 8, 7, 6, 5 + 4 + 3 + 2 + 1]);
  });

  test("calls without a key are counted under none", () => {
    expect(totals([row({ key: null }), row({ key: "k" })], "key").map((line) => line.key)).toEqual(["", "k"]);
  });

  test("the scale ends with a round number at or above the highest bar", () => {
    expect([0.03, 0.1, 2.8, 21, 4999, 0].map(scaleEnd)).toEqual([0.05, 0.1, 5, 25, 5000, 1]);
  });
});

describe("a budget's burn-down", () => {
  const budget: Budget = {
    id: "1",
    subject: "tenant",
    subject_id: "",
    period: "month",
    limit_usd: "100",
    soft_pct: 80,
    action: "block",
    created_at: "2026-01-01T00:00:00Z",
    starts_at: "2026-03-01T00:00:00Z",
    resets_at: "2026-04-01T00:00:00Z",
    spent_usd: "60",
    reserved_usd: "0",
    remaining_usd: "40",
    projected_usd: "186",
    used_pct: "60",
    state: "ok",
    days: [
      { day: "2026-03-01", spent_usd: "20" },
      { day: "2026-03-10", spent_usd: "40" },
    ],
  };

  test("it falls from the whole limit to what is left now", () => {
    const { left } = burnDown(budget, new Date("2026-03-11T00:00:00Z"));
    expect(left[0]).toEqual({ x: 0, y: 1 });
    expect(left[1]?.y).toBeCloseTo(0.8);
    expect(left.at(-1)?.y).toBeCloseTo(0.4);
    expect(left.at(-1)?.x).toBeCloseTo(10 / 31);
  });

  test("a pace above the limit tells the day on which it is used up", () => {
    const burn = burnDown(budget, new Date("2026-03-11T00:00:00Z"));
    expect(burn.projected?.at(-1)?.y).toBe(0);
    expect(burn.usedUpOn).toBe("2026-03-17");
    expect(paceWords(budget, burn.usedUpOn)).toMatch(/^At this pace it is used up on /);
  });

  test("a pace within the limit reaches the period's end with something left", () => {
    const calm = { ...budget, projected_usd: "90" };
    const burn = burnDown(calm, new Date("2026-03-11T00:00:00Z"));
    expect(burn.usedUpOn).toBeNull();
    expect(burn.projected?.at(-1)).toEqual({ x: 1, y: expect.closeTo(0.1) });
  });

  test("one that is used up has nothing to project, and says when it begins anew", () => {
    const over = { ...budget, state: "exceeded" as const, days: [{ day: "2026-03-01", spent_usd: "120" }] };
    const burn = burnDown(over, new Date("2026-03-11T00:00:00Z"));
    expect(burn.projected).toBeNull();
    expect(burn.left.at(-1)?.y).toBe(0);
    expect(paceWords(over, burn.usedUpOn)).toMatch(/^It begins anew on /);
  });

  test("its terms are one sentence", () => {
    expect(termsWords(budget)).toBe("$100.00 a month, then calls are refused");
    expect(termsWords({ ...budget, action: "warn" })).toBe("$100.00 a month, then it is noted");
  });
});

describe("a waterfall", () => {
  const span: TraceSpan = {
    id: "a",
    parent: null,
    name: "model_invoked",
    kind: "model",
    start_us: 250_000,
    end_us: 750_000,
    status: "ok",
    attributes: { provider: "openai", model: "gpt-4o" },
  };
  const trace: Trace = {
    turn_id: "t",
    started_at: "2026-03-01T00:00:00Z",
    duration_us: 1_000_000,
    is_over: true,
    user: "u",
    spans: [span],
  };

  test("a bar stands where its span ran", () => {
    expect(barOf(span, trace)).toEqual({ left: 25, width: 50, isMoment: false });
    expect(detailOf(span)).toBe("openai/gpt-4o");
  });

  test("a verdict says what was judged", () => {
    const verdict = (attributes: TraceSpan["attributes"]) =>
      detailOf({ ...span, kind: "guardrail", attributes });
    expect(verdict({ direction: "input", texts: 1, untrusted: 0, decision: "allow" })).toBe(
      "1 message, passed",
    );
    expect(verdict({ direction: "input", texts: 3, untrusted: 3, decision: "allow", flagged: true })).toBe(
      "3 texts that were read, passed, flagged",
    );
    expect(verdict({ direction: "input", texts: 3, untrusted: 1, decision: "rewrite", masked: 2 })).toBe(
      "2 messages and 1 text that was read, rewritten, 2 masked",
    );
    expect(verdict({ direction: "output", texts: 1, decision: "block" })).toBe("the answer, blocked");
  });

  test("a moment at the very end is still seen, inside the frame", () => {
    const { left, width, isMoment } = barOf({ ...span, start_us: 1_000_000, end_us: 1_000_000 }, trace);
    expect(isMoment).toBe(true);
    expect(width).toBeGreaterThan(0);
    expect(left + width).toBeLessThanOrEqual(100);
  });

  test("durations are told in the unit that fits", () => {
    expect([840, 132_000, 2_410_000, 200_000_000].map(durationText)).toEqual([
      "840 µs",
      "132 ms",
      "2.41 s",
      "3 min 20 s",
    ]);
  });
});

describe("amounts", () => {
  test("small amounts keep the digits that tell them apart", () => {
    expect(["0", "1234.5", "0.25", "0.0000042"].map(dollarsText)).toEqual([
      "$0.00",
      "$1,234.50",
      "$0.25",
      "$0.0000042",
    ]);
  });

  test("what could be one dollar or a thousand is no amount", () => {
    expect(["2.5", "$ 10", "2,50", "1,000", "1e3", "-1", ""].map(amountFrom)).toEqual([
      "2.5",
      "10",
      "2.50",
      null,
      null,
      null,
      null,
    ]);
  });

  test("large counts are shortened", () => {
    expect([999, 12_345, 12_345_678].map(countText)).toEqual(["999", "12,345", "12.3M"]);
  });
});

describe("the books", () => {
  test("say what is spent, and what calls under way have set aside", () => {
    const books = { spent_usd: "12.5", reserved_usd: "0", open_reservations: 0 };
    expect(booksWords(books)).toBe("The books agree with the log: $12.50 spent in all.");
    expect(booksWords({ ...books, reserved_usd: "0.02", open_reservations: 1 })).toContain(
      "$0.02 is set aside for 1 call under way",
    );
  });
});

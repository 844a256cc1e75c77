// Where the bars of a turn's waterfall stand, and what is said of them.
import type { Trace, TraceSpan } from "./queries";

export interface Bar {
  /** From 0 to 100: where it begins in the turn, and how long it is. */
  left: number;
  width: number;
  /** Something that happened at once. */
  isMoment: boolean;
}

/** A bar is never so thin that it cannot be seen, and never leaves the frame. */
export function barOf(span: TraceSpan, trace: Trace): Bar {
  const whole = Math.max(1, trace.duration_us);
  const width = Math.min(100, Math.max(0.6, ((span.end_us - span.start_us) / whole) * 100));
  const left = Math.min(100 - width, Math.max(0, (span.start_us / whole) * 100));
  return { left, width, isMoment: span.end_us === span.start_us };
}

/** `840 µs`, `132 ms`, `2.41 s`, `3 min 20 s`. */
export function durationText(us: number): string {
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${Math.round(us / 1000)} ms`;
  if (us < 60_000_000) return `${(us / 1_000_000).toFixed(2)} s`;
  const seconds = Math.round(us / 1_000_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** What is known of a span, as short facts: the model and its tokens first. */
export function factsOf(span: TraceSpan): string[] {
  return Object.entries(span.attributes).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`);
}

/** The few words beside a span's name. */
export function detailOf({ attributes }: TraceSpan): string {
  const { provider, model, decision, masked, flagged, outcome, tool, op, code } = attributes;
  if (provider && model) return `${provider}/${model}`;
  const judged = judgedOf(attributes);
  const said = [judged, judged === "" ? decision : DECIDED[String(decision)], tool, op, outcome, code].filter(
    (value) => typeof value === "string" && value !== "",
  );
  if (typeof masked === "number" && masked > 0) said.push(`${masked} masked`);
  if (flagged === true) said.push("flagged");
  return said.join(", ");
}

const DECIDED: Record<string, string> = { allow: "passed", rewrite: "rewritten", block: "blocked" };

/** What the guardrail judged: a person's words, what was read for them, or the answer. */
function judgedOf({ direction, texts, untrusted }: TraceSpan["attributes"]): string {
  if (direction === "output") return "the answer";
  if (direction !== "input") return "";
  const all = Number(texts ?? 1);
  const foreign = Number(untrusted ?? 0);
  const parts = [
    textsOf(all - foreign, "message"),
    textsOf(foreign, "text that was read", "texts that were read"),
  ];
  return parts.filter(Boolean).join(" and ");
}

function textsOf(count: number, one: string, many = `${one}s`): string {
  return count > 0 ? `${count} ${count === 1 ? one : many}` : "";
}

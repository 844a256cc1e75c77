// How the inference page says what it shows.
import type { Tone } from "../../ui/Badge";
import type { Adapter, Model, Price, Provider, ProviderTest } from "./queries";

export const typeWords: Record<Provider["type"], string> = {
  local: "On this machine",
  vllm: "vLLM",
  external: "External",
};

export const adapterWords: Record<Adapter, string> = {
  chat_completions: "Chat Completions",
  responses: "OpenAI Responses",
  anthropic_messages: "Anthropic Messages",
};

export const roleWords: Record<string, string> = {
  default: "Answers in the chat, and whoever names no model",
  title: "Names new chats",
  classifier: "Sorts what is said into kinds",
  memory: "Decides what is worth remembering",
  profile_curation: "Keeps a person’s profile up to date",
  vision: "Reads images",
  guardrail: "Judges questions and answers",
  knowledge: "Works on documents and wiki pages",
  embedding: "Turns texts into vectors for search",
  rerank: "Orders passages by how well they answer",
};

export interface Health {
  tone: Tone;
  label: string;
}

/** What can be said of a provider now: switched off, put off until a time, failing, healthy, or without calls. */
export function healthOf(provider: Provider, now: Date): Health {
  if (!provider.enabled) return { tone: "neutral", label: "Switched off" };
  const until = coolsUntil(provider.models ?? [], now);
  if (until) return { tone: "warn", label: `Cooling until ${clock(until)}` };
  switch (provider.health) {
    case "ok":
      return { tone: "good", label: "Healthy" };
    case "down":
      return { tone: "danger", label: "Failing" };
    default:
      return { tone: "neutral", label: "No calls yet" };
  }
}

function coolsUntil(models: Model[], now: Date): Date | null {
  const times = models
    .map((model) => (model.cools_until ? new Date(model.cools_until) : null))
    .filter((time): time is Date => time !== null && time > now);
  return times.length > 0 ? new Date(Math.max(...times.map(Number))) : null;
}

export function clock(time: Date): string {
  return time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** A test that went well, as one sentence. */
export function testSentence(test: ProviderTest): string {
  const listed = test.models?.length ?? 0;
  const models = listed === 1 ? "1 model" : `${listed} models`;
  return test.latency_ms > 0
    ? `It answered in ${test.latency_ms} ms and lists ${models}.`
    : `It serves ${models}.`;
}

/** What is under way at a provider and in line for it. */
export function loadWords(provider: Provider): string {
  const running = provider.in_flight ?? 0;
  const waiting = provider.waiting ?? 0;
  const cap = provider.max_concurrency;
  const now = cap ? `${running} of ${cap} running` : `${running} running`;
  return waiting > 0 ? `${now}, ${waiting} waiting` : now;
}

/** `$2.50 in, $10.00 out`; what differs from its direction follows. */
export function priceText(price: Price): string {
  const kinds: [string, string | null | undefined][] = [
    ["in", price.input_usd],
    ["out", price.output_usd],
    ["cached", price.cached_input_usd],
    ["cache write", price.cache_write_usd],
    ["reasoning", price.reasoning_usd],
  ];
  return kinds
    .filter(([, usd]) => usd !== null && usd !== undefined)
    .map(([kind, usd]) => `$${atLeastCents(usd as string)} ${kind}`)
    .join(", ");
}

/** A price is shown to its last digit: `2.5` as `2.50`, `0.0375` as it is. */
function atLeastCents(amount: string): string {
  const [whole = "0", part = ""] = amount.split(".");
  return `${whole}.${part.padEnd(2, "0")}`;
}

/** `128k`, `4,096`: tokens of a context. */
export function contextText(tokens: number): string {
  return tokens >= 10_000 ? `${Math.round(tokens / 1000)}k` : tokens.toLocaleString("en-US");
}

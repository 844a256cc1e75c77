// Plain words for the kinds of memories and for why one was found.
import type { Memory } from "./queries";

export const typeWords: Record<Memory["memory_type"], string> = {
  user: "About you",
  feedback: "How to answer you",
  project: "Your work",
  reference: "Reference",
};

const reasons = {
  meaning: "it is near in meaning",
  words: "it shares words with the question",
  recent: "it is recent, and the search by meaning did not answer",
};

/** Why a memory was found, as a sentence; empty where the search does not say. */
export function whyFound({ matched = [], score }: Pick<Memory, "matched" | "score">): string {
  const parts = matched.map((match) => reasons[match]);
  if (parts.length === 0) return "";
  const near = typeof score === "number" ? ` (similarity ${score.toFixed(2)} of 1)` : "";
  return `Found because ${parts.join(" and ")}${near}.`;
}

/** Where a memory is recalled, when that is not everywhere. */
export function scopeWords({ scope }: Pick<Memory, "scope">): string {
  if (scope.session_id) return "One chat only";
  return scope.agent_id ? `Agent ${scope.agent_id} only` : "";
}

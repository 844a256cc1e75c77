// Plain words for the stages, the rights and the scores of documents.
import type { Tone } from "../../ui/Badge";
import type { Document, Result, Rights, Stage, Visibility } from "./queries";

const stages: Record<Stage, { label: string; part: number }> = {
  uploaded: { label: "Waiting to be read", part: 0.05 },
  parsed: { label: "Read", part: 0.25 },
  chunked: { label: "Cut into passages", part: 0.4 },
  embedded: { label: "Being indexed", part: 0.5 },
  indexed: { label: "Ready", part: 1 },
  failed: { label: "Failed", part: 0 },
};

export function isReading({ stage }: Pick<Document, "stage">): boolean {
  return stage !== "indexed" && stage !== "failed";
}

export function stageTone(stage: Stage): Tone {
  if (stage === "indexed") return "good";
  return stage === "failed" ? "danger" : "warn";
}

export function stageText({ stage, progress }: Pick<Document, "stage" | "progress">): string {
  const { label } = stages[stage];
  return isReading({ stage }) && progress && progress.total > 0
    ? `${label}, ${progress.done} of ${progress.total} passages`
    : label;
}

/** How far a document is, from 0 to 1. Passages take the second half of the way. */
export function partDone({ stage, progress }: Pick<Document, "stage" | "progress">): number {
  const { part } = stages[stage];
  if (!isReading({ stage }) || !progress || progress.total === 0) return part;
  return Math.max(part, 0.4 + (0.6 * progress.done) / progress.total);
}

export const visibilityWords: Record<Visibility, { label: string; about: string }> = {
  private: { label: "Private", about: "Only the owner and administrators read it." },
  shared: { label: "Shared", about: "Everyone reads it, or with tags everyone who has one of them." },
  restricted: { label: "Restricted", about: "Only the people and tags named below read it." },
};

/** Sharing with nobody in particular is sharing with everyone. */
export function isForEveryone({ visibility_mode, audience_tags }: Rights): boolean {
  return visibility_mode === "shared" && audience_tags.length === 0;
}

/** Tags are words or a few, parted by commas; the server takes no colons. */
export function tagsOf(text: string): string[] {
  return [...new Set(text.split(",").map((tag) => tag.trim()))].filter(Boolean);
}

export function passageCount(count: number): string {
  return count === 1 ? "1 passage" : `${count} passages`;
}

interface Place {
  section: string;
  page: number | null;
  /** The document's, where it stands above already: a section of the same name says nothing more. */
  title?: string;
}

export function placeText({ section, page, title }: Place): string {
  return [section === title ? "" : section, page === null ? "" : `page ${page}`].filter(Boolean).join(" · ");
}

/** How good a passage is in short: what the reranker says, on its own scale, else the joined ranks. */
export function scoreText(scores: Result["scores"]): string {
  return typeof scores.rerank !== "number"
    ? `${Math.round((scores.fused ?? 0) * 100)} of 100`
    : `relevance ${scores.rerank.toFixed(2)}`;
}

export function scoreLines(scores: Result["scores"]): { label: string; value: string }[] {
  const lines: { label: string; value: string | null }[] = [
    // What the reranker says is the score where there is one: then the ranks stand beside it.
    { label: typeof scores.rerank === "number" ? "Joined ranks" : "Score", value: decimals(scores.fused) },
    { label: "Near in meaning", value: decimals(scores.meaning) },
    { label: "Rank by meaning", value: rank(scores.meaning_rank) },
    { label: "Rank by words", value: rank(scores.words_rank) },
    { label: "Reranker", value: decimals(scores.rerank) },
  ];
  return lines.flatMap(({ label, value }) => (value === null ? [] : [{ label, value }]));
}

function decimals(value: number | null | undefined): string | null {
  return typeof value === "number" ? value.toFixed(2) : null;
}

function rank(value: number | null | undefined): string | null {
  return typeof value === "number" ? `${value}` : null;
}

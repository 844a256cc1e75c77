// What a screen reader is told while an answer is written: whole sentences, not single tokens; and what tools do.
import type { ToolUse } from "./run";
import { asks, decisionWords, toolLine, wishOf } from "./toolWords";

/** The end of the last complete sentence or line of `text` after `from`, or `from` if there is none yet. */
export function sentenceEnd(text: string, from: number): number {
  let end = from;
  for (const match of text.slice(from).matchAll(/[.!?:]["')\]]*\s|\n/g))
    end = from + match.index + match[0].length;
  return end;
}

/** Markdown read aloud is noise: marks are left out, code is only mentioned. */
export function spoken(markdown: string): string {
  return markdown
    .replace(/```[\s\S]*?(?:```|$)/g, " code block ")
    .replace(/[*_`#>|~]+/g, " ")
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
}

export interface ToolNews {
  /** The same as long as the sentence is. */
  key: string;
  sentence: string;
}

/** What there is to tell of the tools so far: that one asks, and how each ended. */
export function toolNews(tools: ToolUse[]): ToolNews[] {
  return tools.flatMap((use) => {
    if (asks(use)) {
      return [
        { key: `${use.callId} asks`, sentence: `${wishOf(use.name)}. Approve or deny it in the answer.` },
      ];
    }
    if (use.state === "running") return [];
    const decision = decisionWords(use);
    const problem = use.state === "failed" && use.words?.gave ? `: ${use.words.gave}` : ".";
    const sentence = decision ? `${toolLine(use)}, ${decision}.` : `${toolLine(use)}${problem}`;
    return [{ key: `${use.callId} ended`, sentence }];
  });
}

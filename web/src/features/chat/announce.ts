// What a screen reader is told while an answer is written: whole sentences, not single tokens.

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

// Makes half-written Markdown safe to show: what a streaming answer has begun but not finished does not flicker.

/** Lines that mean something else once the next characters arrive: a list mark, a heading's, a fence's first ticks. */
const UNDECIDED_LINE = /^[ \t]*(?:[-=]+|[*+]{1,3}|\d{1,9}[.)]?|#{1,6}|>+|`{1,2}|~{1,2})[ \t]*$/;

/** A table's delimiter row, which makes the line above it a header. */
const DELIMITER_ROW = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

export function heal(text: string): string {
  if (isInsideFence(text)) return text;
  const cut = text.lastIndexOf("\n\n") + 2;
  const start = cut === 1 ? 0 : cut;
  return text.slice(0, start) + healBlock(text.slice(start));
}

function healBlock(block: string): string {
  const lines = block.split("\n");
  const last = lines.length - 1;
  if (UNDECIDED_LINE.test(lines[last] ?? "")) lines.pop();
  if (isUnfinishedTable(lines)) return "";
  return closeInline(lines.join("\n"));
}

export function isInsideFence(text: string): boolean {
  let fence: string | null = null;
  for (const line of text.split("\n")) {
    const mark = /^\s*(`{3,}|~{3,})(.*)$/.exec(line);
    if (!mark) continue;
    const [, ticks = "", rest = ""] = mark;
    if (fence === null) fence = ticks;
    else if (ticks.startsWith(fence) && rest.trim() === "") fence = null;
  }
  return fence !== null;
}

function isUnfinishedTable(lines: string[]): boolean {
  if (lines.length === 0 || !lines.every((line) => line.trimStart().startsWith("|"))) return false;
  const delimiter = lines[1];
  const columns = (row: string) => row.split("|").length;
  return !delimiter || !DELIMITER_ROW.test(delimiter) || columns(delimiter) < columns(lines[0] ?? "");
}

/** Closes code, emphasis and links that are still open; a mark with nothing behind it yet is left out. */
function closeInline(block: string): string {
  const text = block.replace(/!?\[([^\]\n]*)\]\([^()\s]*$/, "$1");
  const open: string[] = [];
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const mark = /^(?:`+|\*\*\*|\*\*|\*|~~|__|_)/.exec(rest)?.[0];
    if (text[at] === "\\") at += 2;
    else if (!mark) at += 1;
    else if (mark.startsWith("`")) {
      const end = closingTicks(text, at + mark.length, mark.length);
      if (end === -1) return finish(text, at, mark, open);
      at = end;
    } else {
      toggle(open, mark, text, at);
      at += mark.length;
    }
  }
  return endsWithMark(text, open) ?? text + open.toReversed().join("");
}

/** Where the code span that began before `from` ends, or -1. */
function closingTicks(text: string, from: number, length: number): number {
  for (const run of text.slice(from).matchAll(/`+/g)) {
    if (run[0].length === length) return from + run.index + length;
  }
  return -1;
}

function finish(text: string, at: number, ticks: string, open: string[]): string {
  const inside = text.slice(at + ticks.length);
  const closers = open.toReversed().join("");
  return inside.trim() === "" ? text.slice(0, at) + closers : text.replace(/`+$/, "") + ticks + closers;
}

function toggle(open: string[], mark: string, text: string, at: number): void {
  const before = text[at - 1] ?? " ";
  const after = text[at + mark.length] ?? "";
  const inWord = mark.startsWith("_") && /\w/.test(before) && /\w/.test(after);
  if (inWord) return;
  if (open.at(-1) === mark) open.pop();
  else if (/\S/.test(after) || after === "") open.push(mark);
}

function endsWithMark(text: string, open: string[]): string | null {
  const last = open.at(-1);
  if (!last || !text.endsWith(last)) return null;
  return text.slice(0, -last.length) + open.slice(0, -1).toReversed().join("");
}

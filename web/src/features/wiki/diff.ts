// A unified diff as lines to show.

export interface DiffLine {
  kind: "added" | "removed" | "same" | "place";
  text: string;
}

/** Without the two lines that name the versions. */
export function diffLines(diff: string): DiffLine[] {
  const lines = diff.replace(/\n$/, "").split("\n");
  const begin = lines.findIndex((line) => line.startsWith("@@"));
  return begin === -1 ? [] : lines.slice(begin).map(read);
}

function read(line: string): DiffLine {
  if (line.startsWith("@@")) return { kind: "place", text: line };
  if (line.startsWith("+")) return { kind: "added", text: line.slice(1) };
  if (line.startsWith("-")) return { kind: "removed", text: line.slice(1) };
  return { kind: "same", text: line.slice(1) };
}

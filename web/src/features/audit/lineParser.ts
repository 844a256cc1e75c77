// Cuts what arrives in pieces into lines.

/** Text in pieces, out as whole lines; what is left without an end is no line. */
export class LineParser {
  private rest = "";

  push(text: string): string[] {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    return lines.filter((line) => line !== "");
  }
}

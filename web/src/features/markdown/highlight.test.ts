// Colouring code that grows gives the same as colouring it whole.
import { expect, test } from "vitest";
import { loadHighlighter } from "./highlight";

const code =
  'def greet(name):\n    """A doc\n    string."""\n    return f"Hi {name}"  # done\n\nprint(greet(1))\n';

const shape = (lines: { content: string; color?: string }[][]) =>
  lines.map((line) => line.map(({ content, color }) => [content, color]));

test("every growing prefix is coloured as if it were coloured whole", async () => {
  const growing = await loadHighlighter("py");
  expect(growing).not.toBeNull();
  for (let end = 0; end <= code.length; end += 3) {
    const prefix = code.slice(0, end);
    const fresh = await loadHighlighter("python");
    expect(shape(growing?.lines(prefix) ?? []), JSON.stringify(prefix)).toEqual(
      shape(fresh?.lines(prefix) ?? []),
    );
  }
});

test("no character is lost or added", async () => {
  const highlighter = await loadHighlighter("python");
  const text = highlighter
    ?.lines(code)
    .map((line) => line.map((token) => token.content).join(""))
    .join("\n");
  expect(text).toBe(code);
});

test("keywords get a colour of our theme", async () => {
  const highlighter = await loadHighlighter("python");
  expect(highlighter?.lines("return 1")[0]?.[0]).toMatchObject({
    content: "return",
    color: "var(--shiki-token-keyword)",
  });
});

test("an unknown language is left plain", async () => {
  expect(await loadHighlighter("klingon")).toBeNull();
});

// Which brackets become sources.
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { CitationContext, type CitationMark } from "./citations";
import { Markdown } from "./Markdown";

const two: CitationMark = (n) => (n === 1 || n === 2 ? <b>{n}</b> : null);

const html = (text: string, mark: CitationMark | null = two) =>
  renderToStaticMarkup(
    <CitationContext value={mark}>
      <Markdown text={text} />
    </CitationContext>,
  );

test("a number with a source becomes its mark, also several in one bracket", () => {
  expect(html("Thirty days [1]. Unpaid leave too [1, 2].")).toContain(
    "Thirty days <b>1</b>. Unpaid leave too <b>1</b><b>2</b>.",
  );
});

test("a number without a source stays as it was written", () => {
  expect(html("See [7] and [1, 7].")).toContain("See [7] and [1, 7].");
});

test("code and links are no citations", () => {
  expect(html("`a[1]` and [1](https://example.org)")).not.toContain("<b>");
});

test("an answer without sources is untouched", () => {
  expect(html("Thirty days [1].", null)).toContain("Thirty days [1].");
});

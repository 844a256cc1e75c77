// Half-written Markdown, as a stream shows it from one moment to the next.
import { describe, expect, test } from "vitest";
import { heal, isInsideFence } from "./heal";

describe("heal", () => {
  test.each([
    ["a **bold", "a **bold**"],
    ["a **", "a "],
    ["a *b **c", "a *b **c***"],
    ["run `make u", "run `make u`"],
    ["run `", "run "],
    ["see [the docs](https://exa", "see the docs"],
    ["~~gone", "~~gone~~"],
    ["2 * 3 * 4", "2 * 3 * 4"],
    ["snake_case_name", "snake_case_name"],
    ["`**` is bold", "`**` is bold"],
    ["escaped \\*star", "escaped \\*star"],
    ["done **bold** and `code`.", "done **bold** and `code`."],
  ])("%j becomes %j", (half, whole) => {
    expect(heal(half)).toBe(whole);
  });

  test("a list mark under a sentence does not make it a heading for a moment", () => {
    expect(heal("Three things:\n-")).toBe("Three things:");
    expect(heal("Three things:\n- one")).toBe("Three things:\n- one");
  });

  test("a table is held back until its delimiter row is whole", () => {
    expect(heal("Look:\n\n| a | b |")).toBe("Look:\n\n");
    expect(heal("Look:\n\n| a | b |\n|---|")).toBe("Look:\n\n");
    expect(heal("Look:\n\n| a | b |\n|---|---|")).toBe("Look:\n\n| a | b |\n|---|---|");
  });

  test("nothing is touched inside an open code block", () => {
    const code = "```python\ndef f(**kw):\n    return a_[0] *";
    expect(heal(code)).toBe(code);
  });

  test("finished paragraphs are left alone", () => {
    expect(heal("An **odd paragraph.\n\nnext **b")).toBe("An **odd paragraph.\n\nnext **b**");
  });

  test("every prefix of an answer heals to something without a dangling mark", () => {
    const answer = "Use **bold**, `code` and *more* at [home](https://example.org/a).";
    for (let end = 1; end <= answer.length; end++) {
      const healed = heal(answer.slice(0, end));
      for (const mark of ["**", "`"]) {
        expect(healed.split(mark).length % 2, `${mark} in ${healed}`).toBe(1);
      }
    }
  });
});

describe("isInsideFence", () => {
  test("a longer fence is not closed by a shorter one", () => {
    expect(isInsideFence("````\n```\n")).toBe(true);
    expect(isInsideFence("````\n```\n````")).toBe(false);
  });

  test("a fence with a language does not close one", () => {
    expect(isInsideFence("```\na\n```js")).toBe(true);
  });
});

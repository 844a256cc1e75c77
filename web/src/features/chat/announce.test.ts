// Speech for screen readers.
import { expect, test } from "vitest";
import { sentenceEnd, spoken } from "./announce";

test("only whole sentences are announced", () => {
  const text = "Hello there. How are y";
  expect(text.slice(0, sentenceEnd(text, 0))).toBe("Hello there. ");
  expect(sentenceEnd(text, 13)).toBe(13);
});

test("a number with a decimal point is not the end of a sentence", () => {
  expect(sentenceEnd("It is 3.14159", 0)).toBe(0);
});

test("marks are not read aloud and code is only mentioned", () => {
  expect(spoken("## Use **this**:\n```py\nprint(1)\n```\nsee [docs](https://e.org)")).toBe(
    "Use this : code block see docs",
  );
});

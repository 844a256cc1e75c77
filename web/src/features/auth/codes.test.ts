// Codes in the forms in which people have them.
import { expect, test } from "vitest";
import { digitsOf, grouped } from "./codes";

test.each([
  ["123456", "123456"],
  ["123 456", "123456"],
  ["123-4567", "123456"],
  ["12a3", "123"],
  ["", ""],
])("of %j the digits %j are taken", (typed, digits) => {
  expect(digitsOf(typed)).toBe(digits);
});

test("a secret is shown in groups of four", () => {
  expect(grouped("ABCDEFGHIJ")).toBe("ABCD EFGH IJ");
});

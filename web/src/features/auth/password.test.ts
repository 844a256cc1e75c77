// The feedback on a new password at its borders.
import { expect, test } from "vitest";
import { judgePassword } from "./password";

test.each([
  ["", false],
  ["1234567", false],
  ["12345678", true],
  ["x".repeat(128), true],
  ["x".repeat(129), false],
  ["🔐".repeat(7), false],
  ["🔐".repeat(8), true],
])("%j is acceptable: %s", (password, acceptable) => {
  expect(judgePassword(password).acceptable).toBe(acceptable);
});

test("it says how many characters are missing", () => {
  expect(judgePassword("1234567").message).toBe("1 more character.");
});

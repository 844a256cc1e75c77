import { expect, test } from "vitest";
import { scopeWords, whyFound } from "./words";

test("a found memory says by what and how near", () => {
  expect(whyFound({ matched: ["meaning", "words"], score: 0.618 })).toBe(
    "Found because it is near in meaning and it shares words with the question (similarity 0.62 of 1).",
  );
});

test("a listed memory was not searched for and gives no reason", () => {
  expect(whyFound({ matched: [], score: null })).toBe("");
});

test("a memory of one agent says where it is recalled", () => {
  const scope = { tenant_id: "t", user_id: "u", agent_id: "kiosk", session_id: null };
  expect(scopeWords({ scope })).toBe("Agent kiosk only");
});

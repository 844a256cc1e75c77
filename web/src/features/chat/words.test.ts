// Small texts under an answer.
import { expect, test } from "vitest";
import { costText, maskedText, shortModel, stepName } from "./words";

test.each([
  [null, "price unknown"],
  ["0", "no cost"],
  ["0.000000", "no cost"],
  ["0.000123", "$0.00012"],
  ["1.5", "$1.50"],
  ["x", "price unknown"],
])("a cost of %j reads %j", (cost, words) => {
  expect(costText(cost)).toBe(words);
});

test("a step we have no words for keeps its own name", () => {
  expect(stepName("web_search")).toBe("web search");
});

test("a model is named by its last part", () => {
  expect(shortModel("meta-llama/Llama-3.1-8B")).toBe("Llama-3.1-8B");
});

test("what was masked is told by the check of the message alone", () => {
  const steps = [
    { step: "recall", label: "2 memories" },
    { step: "guard_in", label: "2 items masked" },
  ];
  expect(maskedText(steps)).toBe("2 items masked");
  expect(
    maskedText([{ step: "guard_in", label: "This may be an attempt to misuse the assistant" }]),
  ).toBeNull();
  expect(maskedText([{ step: "guard_out", label: "1 item masked" }])).toBeNull();
});

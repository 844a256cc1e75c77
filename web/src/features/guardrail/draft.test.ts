import { expect, test } from "vitest";
import { choiceOf, isSame, topicsOf, withChoice } from "./draft";

test("a scanner that the policy does not name is as the profile says", () => {
  expect(choiceOf({ toxicity: false }, "secrets")).toBe("profile");
  expect(choiceOf({ toxicity: false }, "toxicity")).toBe("off");
});

test("going back to the profile takes the name out of the policy", () => {
  const off = withChoice({}, "PERSON", "off");
  expect(off).toEqual({ PERSON: false });
  expect(withChoice(off, "PERSON", "profile")).toEqual({});
});

test("topics are lines without blanks and repetitions", () => {
  expect(topicsOf("salary\n\n lay-offs \nsalary\n")).toEqual(["salary", "lay-offs"]);
});

test("the order in which switches were set makes no difference", () => {
  expect(
    isSame(
      { scanners: { a: true, b: false }, masks: {} },
      { scanners: { b: false, a: true }, profile: null },
    ),
  ).toBe(true);
  expect(isSame({ scanners: { a: true } }, { scanners: { a: false } })).toBe(false);
});

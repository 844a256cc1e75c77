import { expect, test } from "vitest";
import { slugOf, topicOf, withoutTitle, withPageLinks } from "./links";

test("a topic in brackets becomes a link to its page, with the words that it shall show", () => {
  expect(withPageLinks("See [[Vacation rules]] and [[Vacation rules|the rules]].")).toBe(
    "See [Vacation rules](wiki:vacation-rules) and [the rules](wiki:vacation-rules).",
  );
});

test("brackets in code are code", () => {
  expect(withPageLinks("`[[x]]`\n```\n[[y]]\n```")).toBe("`[[x]]`\n```\n[[y]]\n```");
});

test("brackets around nothing that could be a page stay as they are", () => {
  expect(withPageLinks("[[ - ]]")).toBe("[[ - ]]");
});

test("a topic keeps the letters of its script", () => {
  expect(slugOf("  Über uns & Co. ")).toBe("über-uns-co");
});

test("only addresses of pages name a topic", () => {
  expect(topicOf("wiki:vacation-rules")).toBe("vacation-rules");
  expect(topicOf("/wiki/Vacation_rules")).toBe("vacation-rules");
  expect(topicOf("/v1/auth/logout")).toBeNull();
  expect(topicOf("https://example.org/wiki/x")).toBeNull();
  expect(topicOf("wiki:%")).toBeNull();
});

test("a heading that says the title again is left out, another one stays", () => {
  expect(withoutTitle("# Travel\n\nTrains first.", "Travel")).toBe("\nTrains first.");
  expect(withoutTitle("# Travel by train\nx", "Travel")).toBe("# Travel by train\nx");
  expect(withoutTitle("#hashtag", "hashtag")).toBe("#hashtag");
});

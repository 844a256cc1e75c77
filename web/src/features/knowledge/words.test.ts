import { expect, test } from "vitest";
import { isForEveryone, partDone, placeText, scoreLines, scoreText, stageText, tagsOf } from "./words";

test("a document that is being indexed says how many passages are done", () => {
  expect(stageText({ stage: "embedded", progress: { done: 3, total: 12 } })).toBe(
    "Being indexed, 3 of 12 passages",
  );
  expect(stageText({ stage: "indexed", progress: { done: 12, total: 12 } })).toBe("Ready");
});

test("the bar only grows while a document goes through its stages", () => {
  const way = [
    partDone({ stage: "uploaded", progress: null }),
    partDone({ stage: "parsed", progress: null }),
    partDone({ stage: "chunked", progress: { done: 0, total: 4 } }),
    partDone({ stage: "embedded", progress: { done: 2, total: 4 } }),
    partDone({ stage: "indexed", progress: null }),
  ];
  expect(way).toEqual(way.toSorted((a, b) => a - b));
});

test("sharing without a tag is sharing with everyone", () => {
  expect(isForEveryone({ visibility_mode: "shared", audience_tags: [], user_grants: [] })).toBe(true);
  expect(isForEveryone({ visibility_mode: "shared", audience_tags: ["legal"], user_grants: [] })).toBe(false);
  expect(isForEveryone({ visibility_mode: "restricted", audience_tags: [], user_grants: [] })).toBe(false);
});

test("tags are parted by commas and named once", () => {
  expect(tagsOf(" legal, board of directors ,, legal")).toEqual(["legal", "board of directors"]);
});

test("a passage without a page says its section alone", () => {
  expect(placeText({ section: "Vacation", page: null })).toBe("Vacation");
  expect(placeText({ section: "", page: 4 })).toBe("page 4");
  expect(placeText({ section: "Handbook", page: 4, title: "Handbook" })).toBe("page 4");
});

test("only the scores that exist are shown", () => {
  expect(scoreLines({ meaning: 0.5, meaning_rank: 1, words_rank: null, fused: 0.914 })).toEqual([
    { label: "Score", value: "0.91" },
    { label: "Near in meaning", value: "0.50" },
    { label: "Rank by meaning", value: "1" },
  ]);
});

test("a passage has the reranker's relevance where there is one, on its own scale", () => {
  const scores = { meaning: 0.5, meaning_rank: 1, words_rank: null, fused: 0.984, rerank: null };
  expect(scoreText(scores)).toBe("98 of 100");
  expect(scoreText({ ...scores, rerank: -3.456 })).toBe("relevance -3.46");
  expect(scoreLines({ ...scores, rerank: -3.456 }).map(({ label }) => label)).toEqual([
    "Joined ranks",
    "Near in meaning",
    "Rank by meaning",
    "Reranker",
  ]);
});

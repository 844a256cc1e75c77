// The stream parser gives the same messages wherever the network cuts the bytes.
import { describe, expect, test } from "vitest";
import { type SseMessage, SseParser } from "./sse";

const encoder = new TextEncoder();

function parse(...chunks: Uint8Array[]): SseMessage[] {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
}

const stream = encoder.encode(
  [
    ": heartbeat\n\n",
    'event: token\nid: 1\ndata: {"text":"Grüße 🌍"}\n\n',
    'event: token\r\nid: 2\r\ndata: {"text":"line"}\r\n\r\n',
    "event: done\rid: 3\rdata: two\rdata: lines\r\r",
    "data:no space\n\n",
  ].join(""),
);

const messages: SseMessage[] = [
  { event: "token", id: "1", data: '{"text":"Grüße 🌍"}' },
  { event: "token", id: "2", data: '{"text":"line"}' },
  { event: "done", id: "3", data: "two\nlines" },
  { event: "message", id: "3", data: "no space" },
];

describe("SseParser", () => {
  test("reads LF, CRLF and CR streams in one piece", () => {
    expect(parse(stream)).toEqual(messages);
  });

  test("gives the same messages when cut at any byte", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(parse(stream.subarray(0, cut), stream.subarray(cut)), `cut at byte ${cut}`).toEqual(messages);
    }
  });

  test("gives the same messages one byte at a time", () => {
    expect(parse(...Array.from(stream, (byte) => Uint8Array.of(byte)))).toEqual(messages);
  });

  test("keeps an unfinished message to itself", () => {
    expect(parse(encoder.encode("event: token\ndata: 1\n"))).toEqual([]);
  });

  test("delivers a CR-ended message without waiting for the next byte", () => {
    expect(parse(encoder.encode("data: now\r\r"))).toEqual([{ event: "message", id: "", data: "now" }]);
  });

  test("ignores comments, unknown fields and events without data", () => {
    expect(parse(encoder.encode(": hello\nretry: 10\n\nevent: empty\n\n"))).toEqual([]);
  });
});

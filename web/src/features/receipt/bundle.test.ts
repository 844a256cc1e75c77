// Reading a receipt for the eye.
import { expect, test } from "vitest";
import { readBundle, readKey } from "./bundle";

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test("events are listed with their artifacts; withheld ones by their hash", () => {
  const event = {
    type: "model_response",
    src: "router",
    ts_us: 5,
    arts: [{ c: "ab", mt: "text/plain", n: 3 }],
    body: { model: "m" },
  };
  const bundle = readBundle(
    encode({
      envelope: JSON.stringify({
        log: "h/audit/l/1/2025",
        sealed_us: 9,
        idx: 4,
        outcome: "sealed",
        turn: "t",
      }),
      events: [{ event: JSON.stringify(event) }, { leaf: "cd" }],
      vkeys: [],
    }),
  );
  expect(bundle).toMatchObject({
    log: "h/audit/l/1/2025",
    sealedAt: 9,
    index: 4,
    outcome: "sealed",
    turn: "t",
  });
  expect(bundle?.events).toMatchObject([
    {
      seq: 0,
      type: "model_response",
      about: ["m"],
      artifacts: [{ mediaType: "text/plain", bytes: 3, commitment: "ab" }],
    },
    { seq: 1, type: null, leaf: "cd" },
  ]);
});

test.each([["no json"], [{}], [[]], [{ envelope: "{", events: [], vkeys: [] }]])(
  "%j is no receipt",
  (value) => {
    expect(readBundle(encode(value))).toBeNull();
  },
);

test("a verifier key is taken apart from its end, for names may hold a plus", () => {
  expect(readKey("a+b.example/l+0a1b2c3d+AQID")).toMatchObject({
    name: "a+b.example/l",
    id: "0a1b2c3d",
    algorithm: "Ed25519",
  });
  expect(readKey("h+0a1b2c3d+BgID").algorithm).toBe("ML-DSA-44");
});

test("a receipt nested too deeply to be shown is left to the verifier", () => {
  const body = "[".repeat(200_000) + "]".repeat(200_000);
  const event = `{"type":"x","body":${body}}`;
  const receipt = `{"envelope":${JSON.stringify('{"log":"h"}')},"events":[{"event":${JSON.stringify(event)}}],"vkeys":[]}`;
  expect(() => readBundle(new TextEncoder().encode(receipt))).not.toThrow();
});

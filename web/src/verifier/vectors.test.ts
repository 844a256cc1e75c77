// The frozen receipts of tests/vectors: each accepted, or refused at the steps its index names.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Policy, type Trusted, verifyReceipt } from ".";

interface Case {
  receipt: string;
  policy?: string;
  pin?: string;
  refused: string[];
  why: string;
}

const FOLDER = new URL("../../../tests/vectors/", import.meta.url);
const read = (path: string): Uint8Array => new Uint8Array(readFileSync(new URL(path, FOLDER)));
const text = (path: string): string => new TextDecoder().decode(read(path));
const index: Case[] = JSON.parse(text("index.json"));
// Here a policy comes parsed: what is wrong with its bytes alone cannot be seen.
const BYTES_ONLY = [
  "policies/policy-no-json.json",
  "policies/policy-duplicate-key.json",
  "pins/pin-not-utf-8.txt",
];
const cases = index.filter(({ policy, pin }) => !BYTES_ONLY.includes(policy ?? pin ?? ""));
const STEPS = [
  "form",
  "events",
  "signature",
  "key",
  "chain",
  "inclusion",
  "checkpoint",
  "addenda",
  "openings",
  "trust",
];

describe("a frozen receipt", () => {
  it.each(cases)("$receipt $policy $pin: $why", async ({ receipt, policy, pin, refused }) => {
    const trusted: Trusted = {};
    if (policy !== undefined) trusted.policy = JSON.parse(text(policy)) as Policy;
    if (pin !== undefined) trusted.pin = text(pin);

    const verdict = await verifyReceipt(read(receipt), trusted);

    expect(verdict.steps.filter((step) => !step.ok).map((step) => step.name)).toEqual(refused);
    expect(verdict.ok).toBe(refused.length === 0);
    expect(verdict.summary).toMatch(
      refused.length > 0 ? new RegExp(`^Refused at ${refused[0]}: `) : /^Verified: turn /,
    );
  });
});

it("names its ten steps in order", async () => {
  const verdict = await verifyReceipt(read("valid/small.json"));

  expect(verdict.steps.map((step) => step.name)).toEqual(STEPS);
});

it("gives a verdict for what is no receipt at all", async () => {
  for (const nonsense of ["", "null", "[]", "{}", '"', "[".repeat(200_000), "\ufeff{}", '{"__proto__":{}}']) {
    const verdict = await verifyReceipt(new TextEncoder().encode(nonsense));

    expect(verdict.ok).toBe(false);
    expect(verdict.steps.map((step) => step.name)).toEqual(["form"]);
  }
});

it("refuses to judge where the browser has no cryptography, and says so", async () => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  try {
    const verdict = await verifyReceipt(read("valid/small.json"));

    expect(verdict).toMatchObject({ ok: false, steps: [] });
    expect(verdict.summary).toContain("no Ed25519");
  } finally {
    if (own) Object.defineProperty(globalThis, "crypto", own);
  }
});

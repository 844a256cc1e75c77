// Checking receipts of tests/vectors as a server hands them out: which keys are believed, and for which turn.
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { readBundle } from "./bundle";
import type { Checked } from "./check";
import { type PinStore, pin, pinOf } from "./pins";

const receipt = new Uint8Array(
  readFileSync(new URL("../../../../tests/vectors/valid/chat.json", import.meta.url)),
);
const { turn, log, keys } = readBundle(receipt) ?? { turn: "", log: "", keys: [] };
const vkeys = keys.map((key) => key.vkey);

let server: Server;
let proof: Uint8Array;
let policy: unknown;
let store: PinStore;
let checkReceipt: (turnId: string, store: PinStore) => Promise<Checked>;

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url?.endsWith("/proof")) response.end(proof);
    else if (policy === null) response.writeHead(503).end();
    else response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(policy));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  vi.stubGlobal("location", { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  ({ checkReceipt } = await import("./check"));
});

afterAll(() => {
  server.close();
  vi.unstubAllGlobals();
});

beforeEach(() => {
  proof = receipt;
  policy = { logs: [{ origin: log, vkeys }] };
  const kept = new Map<string, string>();
  store = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) };
});

test("the first sound receipt of a log makes this browser remember its keys", async () => {
  const first = await checkReceipt(turn, store);
  expect(first).toMatchObject({ verdict: { ok: true }, trust: { state: "first-seen" }, policyAgrees: true });
  expect(first.bytes).toEqual(receipt);
  expect((await checkReceipt(turn, store)).trust.state).toBe("known");
});

test("other keys than the remembered ones are refused, also when the server's policy names them", async () => {
  pin(store, log, [vkeys[0] ?? "", "someone.else+00000000+BgID"], new Date(0));
  const checked = await checkReceipt(turn, store);
  expect(checked).toMatchObject({ verdict: { ok: false }, trust: { state: "changed" }, policyAgrees: true });
  expect(pinOf(store, log)?.since).toBe("1970-01-01T00:00:00.000Z");
});

test("a changed byte is refused and its keys are not remembered", async () => {
  proof = receipt.slice();
  proof[proof.length >> 1] = (proof[proof.length >> 1] ?? 0) ^ 1;
  expect((await checkReceipt(turn, store)).verdict.ok).toBe(false);
  expect(pinOf(store, log)).toBeNull();
});

test("a sound receipt of another turn is refused", async () => {
  const checked = await checkReceipt("00000000-0000-7000-8000-000000000000", store);
  expect(checked.verdict).toMatchObject({
    ok: false,
    summary: "Refused: this is the receipt of another turn.",
  });
  expect(checked.verdict.steps.filter((step) => !step.ok).map((step) => step.name)).toEqual(["turn"]);
  expect(pinOf(store, log)).toBeNull();
});

test("without the server's policy the receipt is still checked", async () => {
  policy = null;
  expect(await checkReceipt(turn, store)).toMatchObject({ verdict: { ok: true }, policyAgrees: null });
});

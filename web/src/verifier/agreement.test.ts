// Both verifiers say the same of the same bytes, word for word. tests/unit/audit/test_agreement.py makes the list of
// receipts with Python's verdicts and runs this file with its path in AIBOX_VERDICTS; without one there is nothing to compare.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { type Verdict, verifyReceipt } from ".";

const path = process.env.AIBOX_VERDICTS;

it.skipIf(path === undefined)(
  "agrees with the Python verifier on every receipt of the list",
  { timeout: 600_000 },
  async () => {
    let compared = 0;
    for await (const line of createInterface({ input: createReadStream(path ?? "") })) {
      const { data, verdict }: { data: string; verdict: Verdict } = JSON.parse(line);
      expect(await verifyReceipt(new Uint8Array(Buffer.from(data, "base64")))).toEqual(verdict);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(0);
  },
);

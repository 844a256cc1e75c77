// Judges receipts for another program: each on standard input as four bytes of length and its bytes, each answered by its
// verdict as a line of JSON. `make fuzz-receipts` compares the answers with the Python verifier's.
import { readSync, writeSync } from "node:fs";
import { verifyReceipt } from ".";

/** The next `length` bytes of standard input; null at its end. */
function take(length: number): Uint8Array | null {
  const data = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const got = readSync(0, data, at, length - at, null);
    if (got === 0) return null;
    at += got;
  }
  return data;
}

for (let size = take(4); size !== null; size = take(4)) {
  const receipt = take(new DataView(size.buffer).getUint32(0));
  if (receipt === null) break;
  writeSync(1, `${JSON.stringify(await verifyReceipt(receipt))}\n`);
}

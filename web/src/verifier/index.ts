// Verifies an AIBox receipt in the browser, in nine named steps, from its bytes and the keys you pin. The same checks in
// the same words as the stand-alone Python verifier (aibox/audit/verifier); tests/vectors holds both to one verdict.
import {
  type Bytes,
  base64,
  bigEndian,
  canVerify,
  climb,
  concat,
  equal,
  hex,
  hexBytes,
  isEd25519,
  isMlDsa44,
  leafHash,
  nodeHash,
  sha256,
  utf8,
} from "./bytes";
import { isPolicy, type Policy, type Receipt, Refused, read, splitVkey } from "./form";

export type { Policy } from "./form";

/** One check: its name, whether it held, and what it found. */
export interface Step {
  name: string;
  ok: boolean;
  detail: string;
}

/** What the checks say together: `ok` only if every one of them held. */
export interface Verdict {
  ok: boolean;
  steps: Step[];
  summary: string;
}

const MAX_SECONDS = 253_402_300_799n; // the last second of the year 9999
const PAYLOAD_TYPE = "application/vnd.aibox.turn+json";

/** Judge the bytes of a receipt.json, by the keys that a policy pins if it is given. Never rejects. */
export async function verifyReceipt(bytes: Uint8Array, options: { policy?: Policy } = {}): Promise<Verdict> {
  try {
    if (!(await canVerify())) {
      const summary =
        "Refused: this browser has no Ed25519 here; open the page over https, or verify with the command line.";
      return { ok: false, steps: [], summary };
    }
    return await judge(bytes, options.policy);
  } catch (why) {
    // Callers rely on a verdict for any bytes at all.
    const name = why instanceof Error ? why.name : "error";
    return { ok: false, steps: [], summary: `Refused: the verifier failed on it (${name}).` };
  }
}

async function judge(data: Uint8Array, policy: Policy | undefined): Promise<Verdict> {
  const steps: Step[] = [];
  const run = async <T>(name: string, check: () => T | Promise<T>, detail: (found: T) => string) => {
    try {
      const found = await check();
      steps.push({ name, ok: true, detail: detail(found) });
      return found;
    } catch (why) {
      if (!(why instanceof Refused)) throw why;
      steps.push({ name, ok: false, detail: why.message });
      return undefined;
    }
  };
  const receipt = await run(
    "form",
    () => read(data),
    () => `a canonical receipt of ${data.length} bytes`,
  );
  if (receipt !== undefined) {
    for (const [name, check] of CHECKS)
      await run(
        name,
        () => check(receipt, policy),
        (detail) => detail,
      );
  }
  const refused = steps.find((step) => !step.ok);
  if (receipt === undefined || refused !== undefined) {
    return { ok: false, steps, summary: `Refused at ${refused?.name}: ${refused?.detail}.` };
  }
  const { envelope, head } = receipt;
  const summary =
    `Verified: turn ${envelope.turn} (${envelope.outcome}, ${envelope.events} events) ` +
    `is entry ${envelope.idx} of ${head.origin}, ` +
    `under its head of ${head.size} entries signed ${signedAt(receipt)}.`;
  return { ok: true, steps, summary };
}

/** The events are this turn's, complete and in order, and hash to the envelope's root. */
async function checkEvents({ envelope, events }: Receipt): Promise<string> {
  const count = events.length;
  if (count !== envelope.events || count < 2) {
    throw new Refused(
      `there are ${count} events; the envelope states ${envelope.events}, and a turn has at least 2`,
    );
  }
  for (const [place, { event }] of events.entries()) {
    if (event === null) continue;
    if (event.seq !== place) throw new Refused(`event ${place} says that it is number ${event.seq}`);
    if (event.tenant !== envelope.tenant || event.turn !== envelope.turn) {
      throw new Refused(`event ${place} belongs to another turn or tenant`);
    }
    if (
      (event.type === "turn_started") !== (place === 0) ||
      (event.type === "turn_sealed") !== (place === count - 1)
    ) {
      throw new Refused(`event ${place} is out of place: a turn runs from turn_started to turn_sealed`);
    }
  }
  let level = await Promise.all(events.map(({ event, held }) => (event === null ? held : leafHash(held))));
  while (level.length > 1) {
    const above: Bytes[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = level.slice(at, at + 2) as [Bytes, Bytes?];
      // A last hash without a partner moves up as it is (RFC 9162); it is never doubled.
      above.push(right === undefined ? left : await nodeHash(left, right));
    }
    level = above;
  }
  if (level[0] === undefined || hex(level[0]) !== envelope.root) {
    throw new Refused("the events do not hash to the envelope's root");
  }
  const withheld = events.filter(({ event }) => event === null).length;
  return `${count} events hash to the envelope's root, ${withheld} of them withheld`;
}

/** The envelope is signed, as a DSSE payload, by the key of the key leaf. */
async function checkSignature({ bundle, envelopeBytes, key }: Receipt): Promise<string> {
  const prefix = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${envelopeBytes.length} `;
  const message = concat(utf8(prefix), envelopeBytes);
  if (!(await isEd25519(base64(key.pub), base64(bundle.signature), message))) {
    throw new Refused("the envelope's signature does not verify");
  }
  return `the envelope is signed by key ${key.kid}`;
}

/** The key leaf is an entry of the same log and authorises the envelope's index. */
async function checkKey(receipt: Receipt): Promise<string> {
  const { bundle, envelope, key, keyBytes } = receipt;
  if (key.log !== envelope.log || key.kid !== envelope.kid) {
    throw new Refused("the key leaf is of another log, or of another key");
  }
  if (!(key.idx < envelope.idx && envelope.idx <= key.idx + key.span)) {
    throw new Refused(`the key of entry ${key.idx} may not sign entry ${envelope.idx}`);
  }
  await requireIncluded(receipt, keyBytes, key.idx, bundle.key.inclusion, "the key leaf");
  return `key ${key.kid} is entry ${key.idx} and may sign up to entry ${key.idx + key.span}`;
}

/** Link by link from the key leaf to the envelope, nothing left out between them. */
async function checkChain({ bundle, envelope, key, keyBytes }: Receipt): Promise<string> {
  const origin = utf8(envelope.log);
  if (key.idx === 0 && key.prev !== hex(await sha256(utf8("aibox.chain-genesis/1\n"), origin))) {
    throw new Refused("entry 0 does not begin the chain of this log");
  }
  const leaves = [await leafHash(keyBytes), ...bundle.chain.map(hexBytes)];
  if (leaves.length !== envelope.idx - key.idx) {
    throw new Refused(`${leaves.length} links cannot lead from entry ${key.idx} to entry ${envelope.idx}`);
  }
  const prefix = concat(utf8("aibox.chain/1\n"), await sha256(origin));
  let link = hexBytes(key.prev);
  for (const [at, leaf] of leaves.entries())
    link = await sha256(prefix, bigEndian(key.idx + at, 8), link, leaf);
  if (hex(link) !== envelope.prev) throw new Refused("the chain does not lead to the envelope");
  return `${leaves.length} links lead from entry ${key.idx} to entry ${envelope.idx}`;
}

/** The envelope is an entry of the tree whose root the checkpoint states. */
async function checkInclusion(receipt: Receipt): Promise<string> {
  const { bundle, envelope, envelopeBytes, head } = receipt;
  await requireIncluded(receipt, envelopeBytes, envelope.idx, bundle.inclusion, "the envelope");
  return `the envelope is entry ${envelope.idx} in the tree of ${head.size} entries`;
}

/** The log signed the head twice: the note with Ed25519, C2SP's cosigned message with ML-DSA-44. */
async function checkHead(receipt: Receipt): Promise<string> {
  const { bundle, envelope, head } = receipt;
  if (head.origin !== envelope.log) throw new Refused("the checkpoint is of another log");
  const origin = utf8(envelope.log);
  const keys: Bytes[] = [];
  for (const [at, { name: signer, line }] of head.signatures.entries()) {
    const { name, id, encoded } = splitVkey(bundle.vkeys[at] ?? "");
    const key = base64(encoded);
    const ownId = hex(await sha256(origin, utf8("\n"), key)).slice(0, 8);
    if (name !== head.origin || id !== ownId || key[0] !== (at === 0 ? 1 : 6)) {
      throw new Refused("a verifier key is not a key of this log");
    }
    if (signer !== head.origin || hex(line.slice(0, 4)) !== id) {
      throw new Refused("a signature line of the checkpoint is not by a key of this log");
    }
    keys.push(key.slice(1));
  }
  const [ed25519, mlDsa44] = keys as [Bytes, Bytes];
  const [first, second] = head.signatures.map(({ line }) => line) as [Bytes, Bytes];
  const named = concat(bigEndian(origin.length, 1), origin);
  const range = concat(new Uint8Array(8), bigEndian(head.size, 8), head.root);
  const message = concat(utf8("subtree/v1\n\0"), named, second.slice(4, 12), named, range);
  if (!(await isEd25519(ed25519, first.slice(4), head.text))) {
    throw new Refused("the head's Ed25519 signature does not verify");
  }
  if (!isMlDsa44(mlDsa44, second.slice(12), message)) {
    throw new Refused("the head's ML-DSA-44 signature does not verify");
  }
  return `the head of ${head.size} entries was signed ${signedAt(receipt)} with Ed25519 and ML-DSA-44`;
}

/** Every opened artifact is the one its event committed to. */
async function checkOpenings({ bundle, events }: Receipt): Promise<string> {
  let before = { event: -1, art: -1 };
  for (const opening of bundle.openings) {
    const artifact = events[opening.event]?.event?.arts[opening.art];
    const later =
      opening.event > before.event || (opening.event === before.event && opening.art > before.art);
    if (artifact === undefined || !later) {
      const where = `${opening.event}/${opening.art}`;
      throw new Refused(`no shown event has an artifact ${where}, or the openings are out of order`);
    }
    before = opening;
    const [media, data] = [utf8(opening.mt), base64(opening.data)];
    const sized = concat(bigEndian(media.length, 4), media, bigEndian(data.length, 8), data);
    const commitment = hex(await sha256(utf8("aibox.artifact/1\n"), base64(opening.salt), sized));
    if (artifact.c !== commitment || artifact.mt !== opening.mt || artifact.n !== data.length) {
      throw new Refused(`artifact ${opening.event}/${opening.art} is not the one that was committed to`);
    }
  }
  const count = bundle.openings.length;
  return count > 0
    ? `${count} opened, each as it was committed to`
    : "none opened: contents stay with their owner";
}

/** The log's keys are the pinned ones; without a policy, say which keys all of the above rests on. */
async function checkTrust({ bundle, envelope }: Receipt, policy: Policy | undefined): Promise<string> {
  if (policy === undefined) {
    const fingerprint = hex(await sha256(utf8(bundle.vkeys.map((vkey) => `${vkey}\n`).join(""))));
    return (
      `no policy given: the keys are those that the receipt itself states, fingerprint ${fingerprint}; ` +
      "compare it with one obtained from the log's owner"
    );
  }
  if (!isPolicy(policy)) throw new Refused("the policy has a missing, unknown or malformed field");
  const pinned = policy.logs.filter(({ origin }) => origin === envelope.log);
  if (pinned.length === 0) throw new Refused("the policy does not name this log");
  if (!pinned.some(({ vkeys }) => vkeys.every((vkey, at) => vkey === bundle.vkeys[at]))) {
    throw new Refused("the keys are not those the policy pins for this log");
  }
  return "the keys are those the policy pins for this log";
}

const CHECKS: [string, (receipt: Receipt, policy: Policy | undefined) => Promise<string>][] = [
  ["events", checkEvents],
  ["signature", checkSignature],
  ["key", checkKey],
  ["chain", checkChain],
  ["inclusion", checkInclusion],
  ["checkpoint", checkHead],
  ["openings", checkOpenings],
  ["trust", checkTrust],
];

async function requireIncluded(
  { head }: Receipt,
  entry: Bytes,
  index: number,
  path: string[],
  what: string,
): Promise<void> {
  const root =
    index < head.size ? await climb(await leafHash(entry), index, head.size, path.map(hexBytes)) : null;
  if (root === null || !equal(root, head.root)) {
    throw new Refused(`${what} is not entry ${index} in the tree of ${head.size} entries`);
  }
}

function signedAt({ head }: Receipt): string {
  const line = head.signatures[1]?.line ?? new Uint8Array(12);
  const seconds = new DataView(line.buffer, line.byteOffset).getBigUint64(4);
  if (seconds === 0n || seconds > MAX_SECONDS) throw new Refused("the head states no time of signing");
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}

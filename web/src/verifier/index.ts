// Verifies an AIBox receipt in the browser, in ten named steps, from its bytes and the keys you pin. The same checks in
// the same words as the stand-alone Python verifier (aibox/audit/verifier); tests/vectors holds both to one verdict.
import {
  base64,
  bigEndian,
  canVerify,
  concat,
  hex,
  hexBytes,
  isEd25519,
  leafHash,
  sha256,
  utf8,
} from "./bytes";
import { artifacts, checkAddenda, checkErased, checkPrevious, requireEvents } from "./entries";
import { type Policy, type Receipt, Refused, read } from "./form";
import { checkContinued, requireHead, requireIncluded, signedAt } from "./heads";
import { checkTrust, names } from "./trust";

export { type Head, type Policy, readHead } from "./form";

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

const PAYLOAD_TYPE = "application/vnd.aibox.turn+json";

/** What a receipt is judged by, beside itself: the keys somebody pins, and a head they saw before (a checkpoint's text). */
export interface Trusted {
  policy?: Policy;
  pin?: string;
}

/** Judge the bytes of a receipt.json. Never rejects. */
export async function verifyReceipt(bytes: Uint8Array, trusted: Trusted = {}): Promise<Verdict> {
  try {
    if (!(await canVerify())) {
      const summary =
        "Refused: this browser has no Ed25519 here; open the page over https, or verify with the command line.";
      return { ok: false, steps: [], summary };
    }
    return await judge(bytes, trusted);
  } catch (why) {
    // Callers rely on a verdict for any bytes at all.
    const name = why instanceof Error ? why.name : "error";
    return { ok: false, steps: [], summary: `Refused: the verifier failed on it (${name}).` };
  }
}

async function judge(data: Uint8Array, { policy, pin }: Trusted): Promise<Verdict> {
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
    const trust = (): Promise<string> => checkTrust(receipt, policy, pin);
    for (const [name, check] of [...CHECKS, ["trust", trust] as const])
      await run(
        name,
        () => check(receipt),
        (detail) => detail,
      );
  }
  const refused = steps.find((step) => !step.ok);
  if (receipt === undefined || refused !== undefined) {
    return { ok: false, steps, summary: `Refused at ${refused?.name}: ${refused?.detail}.` };
  }
  const { entry, head } = receipt.turn;
  const summary =
    `Verified: turn ${entry.turn} (${entry.outcome}, ${entry.events} events) is entry ${entry.idx} of ` +
    `${head.origin}, under its head of ${head.size} entries signed ${signedAt(head.lines[1])}.`;
  return { ok: true, steps, summary };
}

/** The events are this turn's, complete and in order, and hash to the envelope's root. */
async function checkEvents({ turn }: Receipt): Promise<string> {
  const { events } = turn;
  if (events.length < 2) throw new Refused("a turn has at least two events");
  await requireEvents(turn.entry, turn, 0, "the envelope");
  const withheld = events.filter(({ event }) => event === null).length;
  return `${events.length} events hash to the envelope's root, ${withheld} of them withheld`;
}

/** The envelope is signed, as a DSSE payload, by the key of the key leaf. */
async function checkSignature({ turn, key }: Receipt): Promise<string> {
  const prefix = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${turn.data.length} `;
  const message = concat(utf8(prefix), turn.data);
  if (!(await isEd25519(base64(key.entry.pub), base64(turn.item.signature), message))) {
    throw new Refused("the envelope's signature does not verify");
  }
  return `the envelope is signed by key ${key.entry.kid}`;
}

/** The key leaf is an entry of the same log and authorises the envelope's index. */
async function checkKey(receipt: Receipt): Promise<string> {
  const [key, turn] = [receipt.key.entry, receipt.turn.entry];
  const last = key.idx + key.span;
  if (key.log !== turn.log || key.kid !== turn.kid) {
    throw new Refused("the key leaf is of another log, or of another key");
  }
  if (!(key.idx < turn.idx && turn.idx <= last)) {
    throw new Refused(`the key of entry ${key.idx} may not sign entry ${turn.idx}`);
  }
  await requireIncluded(receipt.key, "the key leaf");
  return `key ${key.kid} is entry ${key.idx} and may sign up to entry ${last}`;
}

/** Link by link from the key leaf to the envelope, nothing left out between them. */
async function checkChain(receipt: Receipt): Promise<string> {
  const [key, turn] = [receipt.key.entry, receipt.turn.entry];
  const origin = utf8(turn.log);
  if (key.idx === 0 && key.prev !== hex(await sha256(utf8("aibox.chain-genesis/1\n"), origin))) {
    throw new Refused("entry 0 does not begin the chain of this log");
  }
  const leaves = [await leafHash(receipt.key.data), ...receipt.turn.item.chain.map(hexBytes)];
  if (leaves.length !== turn.idx - key.idx) {
    throw new Refused(`${leaves.length} links cannot lead from entry ${key.idx} to entry ${turn.idx}`);
  }
  const prefix = concat(utf8("aibox.chain/1\n"), await sha256(origin));
  let link = hexBytes(key.prev);
  for (const [at, leaf] of leaves.entries())
    link = await sha256(prefix, bigEndian(key.idx + at, 8), link, leaf);
  if (hex(link) !== turn.prev) throw new Refused("the chain does not lead to the envelope");
  return `${leaves.length} links lead from entry ${key.idx} to entry ${turn.idx}`;
}

/** The envelope is an entry of the tree whose root the checkpoint states. */
async function checkInclusion({ turn }: Receipt): Promise<string> {
  await requireIncluded(turn, "the envelope");
  return `the envelope is entry ${turn.entry.idx} in the tree of ${turn.head.size} entries`;
}

/** The log signed the head twice, each named witness cosigned it, and it continues what it says that it continues. */
async function checkHead(receipt: Receipt): Promise<string> {
  const { turn } = receipt;
  const { size, lines } = turn.head;
  const { witnesses = [] } = turn.item;
  await requireHead(turn, "the head");
  const signed = `the head of ${size} entries was signed ${signedAt(lines[1])} with Ed25519 and ML-DSA-44`;
  const found = witnesses.length > 0 ? `${signed}, and cosigned by ${names(witnesses).join(", ")}` : signed;
  return [found, ...(await checkContinued(turn)), ...(await checkPrevious(receipt))].join("; ");
}

/** Every opened artifact is the one its event committed to, and every erased one is covered by a tombstone. */
async function checkOpenings(receipt: Receipt): Promise<string> {
  const { openings } = receipt.turn.item;
  for (const [opening, stated] of artifacts(receipt, openings)) {
    const [media, data] = [utf8(opening.mt), base64(opening.data)];
    const sized = concat(bigEndian(media.length, 4), media, bigEndian(data.length, 8), data);
    const commitment = hex(await sha256(utf8("aibox.artifact/1\n"), base64(opening.salt), sized));
    if (stated.c !== commitment || stated.mt !== opening.mt || stated.n !== data.length) {
      throw new Refused(`artifact ${opening.event}/${opening.art} is not the one that was committed to`);
    }
  }
  const opened =
    openings.length > 0
      ? `${openings.length} opened, each as it was committed to`
      : "none opened: contents stay with their owner";
  return [opened, ...(await checkErased(receipt))].join("; ");
}

const CHECKS: [string, (receipt: Receipt) => Promise<string>][] = [
  ["events", checkEvents],
  ["signature", checkSignature],
  ["key", checkKey],
  ["chain", checkChain],
  ["inclusion", checkInclusion],
  ["checkpoint", checkHead],
  ["addenda", checkAddenda],
  ["openings", checkOpenings],
];

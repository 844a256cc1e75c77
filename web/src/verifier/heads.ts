// The signatures of a head: the log's own two, and those of witnesses who saw it continue what they had seen before.
import { type Bytes, base64, bigEndian, concat, hex, isEd25519, isMlDsa44, sha256, utf8 } from "./bytes";
import { ED25519, type Head, type Line, ML_DSA_44, Refused, SIGNATURE_SIZES, splitVkey } from "./form";

const MAX_SECONDS = 253_402_300_799n; // the last second of the year 9999
const ALGORITHMS = ["Ed25519", "ML-DSA-44"];

/** The log `origin` signed the head twice: the note with Ed25519, C2SP's cosigned message with ML-DSA-44. */
export async function requireHead(head: Head, origin: string, vkeys: string[], what: string): Promise<void> {
  if (head.origin !== origin) throw new Refused("the checkpoint is of another log");
  for (const [at, vkey] of vkeys.entries()) {
    await requireSignature(head, vkey, head.lines[at], origin, `${what}'s ${ALGORITHMS[at]} signature`);
  }
  signedAt(head.lines[1]);
}

/** Each of the witnesses' verifier keys made the cosignature in its place. */
export async function requireCosignatures(head: Head, witnesses: string[]): Promise<void> {
  const cosignatures = head.lines.slice(2);
  const inOrder = witnesses.every((vkey, at) => at === 0 || (witnesses[at - 1] ?? "") < vkey);
  if (witnesses.length !== cosignatures.length || !inOrder) {
    throw new Refused("the witnesses' keys are not those of the cosignatures, each once and in order");
  }
  for (const [at, vkey] of witnesses.entries()) {
    const { name } = splitVkey(vkey);
    await requireSignature(head, vkey, cosignatures[at], name, `the cosignature of ${name}`);
    signedAt(cosignatures[at]);
  }
}

/** The line is by this verifier key, which is named `name`, and signs the head. */
async function requireSignature(
  head: Head,
  vkey: string,
  line: Line | undefined,
  name: string,
  what: string,
): Promise<void> {
  const own = splitVkey(vkey);
  const key = base64(own.encoded);
  const id = hex(await sha256(utf8(`${name}\n`), key)).slice(0, 8);
  if (own.name !== name || own.id !== id) {
    throw new Refused(`${what} comes with a verifier key of another name or id`);
  }
  const [type = 0] = key;
  const data = line?.data.slice(4) ?? new Uint8Array();
  if (line?.name !== name || hex(line.data.slice(0, 4)) !== id || data.length !== SIGNATURE_SIZES[type]) {
    throw new Refused(`${what} is on a line that is not by its key`);
  }
  if (!(await isSigned(head, type, key.slice(1), data, name))) throw new Refused(`${what} does not verify`);
}

async function isSigned(head: Head, type: number, key: Bytes, data: Bytes, name: string): Promise<boolean> {
  if (type === ED25519) return isEd25519(key, data, head.text);
  const [time, signature] = [data.slice(0, 8), data.slice(8)];
  if (type === ML_DSA_44) {
    const [signer, log] = [named(name), named(head.origin)];
    const range = concat(new Uint8Array(8), bigEndian(head.size, 8), head.root);
    return isMlDsa44(key, signature, concat(utf8("subtree/v1\n\0"), signer, time, log, range));
  }
  const seconds = new DataView(time.buffer).getBigUint64(0);
  return isEd25519(key, signature, concat(utf8(`cosignature/v1\ntime ${seconds}\n`), head.text));
}

function named(name: string): Bytes {
  return concat(bigEndian(name.length, 1), utf8(name));
}

/** The time that a signature with a time states. */
export function signedAt(line: Line | undefined): string {
  const data = line?.data ?? new Uint8Array(12);
  const seconds = new DataView(data.buffer, data.byteOffset).getBigUint64(4);
  if (seconds === 0n || seconds > MAX_SECONDS) {
    throw new Refused("a signature of the head states no time of signing");
  }
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}

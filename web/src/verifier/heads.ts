// A head: who signed it, which entries are in its tree, which older head it continues.
import {
  type Bytes,
  base64,
  bigEndian,
  climb,
  concat,
  equal,
  extend,
  hex,
  hexBytes,
  isEd25519,
  isMlDsa44,
  leafHash,
  sha256,
  utf8,
} from "./bytes";
import { ED25519, type Head, type Line, ML_DSA_44, type Proof, Refused, splitVkey } from "./form";

const MAX_SECONDS = 253_402_300_799n; // the last second of the year 9999

/** The entry is in a log's tree, under a head that the log signed. */
export async function requireProof(proof: Proof, what: string): Promise<void> {
  await requireHead(proof, `${what}'s head`);
  await requireIncluded(proof, what);
}

/** The entry's log signed the head with Ed25519 and with ML-DSA-44, and each witness that is named cosigned it. */
export async function requireHead({ item, entry, head }: Proof, what: string): Promise<void> {
  const { witnesses = [] } = item;
  if (head.origin !== entry.log) throw new Refused("the checkpoint is of another log");
  const inOrder = witnesses.every((vkey, at) => at === 0 || (witnesses[at - 1] ?? "") < vkey);
  if (witnesses.length !== head.lines.length - 2 || !inOrder) {
    throw new Refused("the witnesses' keys are not those of the cosignatures, each once and in order");
  }
  const [log = "", second = ""] = item.vkeys;
  await requireSignature(head, log, head.lines[0], entry.log, `${what}'s Ed25519 signature`);
  await requireSignature(head, second, head.lines[1], entry.log, `${what}'s ML-DSA-44 signature`);
  for (const [at, vkey] of witnesses.entries()) {
    const { name } = splitVkey(vkey);
    await requireSignature(head, vkey, head.lines[2 + at], name, `the cosignature of ${name}`);
  }
  for (const line of head.lines.slice(1)) signedAt(line);
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
  if (line?.name !== name || hex(line.data.slice(0, 4)) !== id) {
    throw new Refused(`${what} is on a line that is not by its key`);
  }
  const [type = 0] = key;
  if (!(await isSigned(head, type, key.slice(1), line.data.slice(4), name))) {
    throw new Refused(`${what} does not verify`);
  }
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

/** The entry is in the tree that the head signs, at the place that the entry states. */
export async function requireIncluded(
  { item, entry, data, head }: Pick<Proof, "entry" | "data" | "head"> & { item: { inclusion: string[] } },
  what: string,
): Promise<void> {
  const path = item.inclusion.map(hexBytes);
  const isWithin = entry.idx < head.size;
  const root = isWithin ? await climb(await leafHash(data), entry.idx, head.size, path) : null;
  if (root === null || !equal(root, head.root)) {
    throw new Refused(`${what} is not entry ${entry.idx} in the tree of ${head.size} entries`);
  }
}

/** The head continues the older one that is named, if there is one. */
export async function checkContinued({ item, head }: Proof): Promise<string[]> {
  const old = item.consistency;
  if (old === undefined) return [];
  const root = hexBytes(old.root);
  const roots = old.from < head.size ? await extend(root, old.from, head.size, old.path.map(hexBytes)) : null;
  if (roots === null || !equal(roots[0], root) || !equal(roots[1], head.root)) {
    throw new Refused(`the head does not continue the head of ${old.from} entries that it names`);
  }
  return [`it continues the head of ${old.from} entries`];
}

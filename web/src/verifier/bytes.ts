// Bytes in and out of text, and the hashes and signatures of a receipt, from the browser's own cryptography.
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";

export type Bytes = Uint8Array<ArrayBuffer>;

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

export function hex(data: Bytes): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function hexBytes(text: string): Bytes {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function base64(text: string): Bytes {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export function concat(...parts: Bytes[]): Bytes {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** A whole number as `size` bytes, the highest first. */
export function bigEndian(value: number, size: 1 | 4 | 8): Bytes {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, BigInt(value));
  return data.slice(8 - size);
}

export function equal(one: Bytes, other: Bytes): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

export async function sha256(...parts: Bytes[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}

/** RFC 9162: a leaf and a node never share a hash. */
export async function leafHash(data: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(0), data);
}

/** RFC 9162: the parent of two subtrees. */
export async function nodeHash(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(1), left, right);
}

/** The root that `path` leads to from leaf `index` of `size` (RFC 9162 §2.1.3); null if it is no path. */
export async function climb(leaf: Bytes, index: number, size: number, path: Bytes[]): Promise<Bytes | null> {
  const last = path.at(-1);
  if (size === 1 || last === undefined) return size === 1 && last === undefined ? leaf : null;
  const split = splitOf(size);
  const right = index >= split;
  const rest = path.slice(0, -1);
  const below = await climb(leaf, right ? index - split : index, right ? size - split : split, rest);
  if (below === null) return null;
  return right ? nodeHash(last, below) : nodeHash(below, last);
}

/**
 * The roots of the first `old` and of all `size` leaves that a consistency path states (RFC 9162 §2.1.4); null if it is none.
 * `root` is the root of the `old` leaves, which is not in the path as long as they are one whole subtree.
 */
export async function extend(
  root: Bytes | null,
  old: number,
  size: number,
  path: Bytes[],
): Promise<[Bytes, Bytes] | null> {
  if (old === size) {
    const [whole, more] = root === null ? path : [root, ...path];
    return whole !== undefined && more === undefined ? [whole, whole] : null;
  }
  const last = path.at(-1);
  if (last === undefined) return null;
  const split = splitOf(size);
  const rest = path.slice(0, -1);
  if (old <= split) {
    const below = await extend(root, old, split, rest);
    return below && [below[0], await nodeHash(below[1], last)];
  }
  const below = await extend(null, old - split, size - split, rest);
  return below && [await nodeHash(last, below[0]), await nodeHash(last, below[1])];
}

/** The largest power of two below `size`. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** Whether WebCrypto is here at all, and has Ed25519. Pages that are not on https or localhost have none. */
export async function canVerify(): Promise<boolean> {
  if (globalThis.crypto?.subtle === undefined) return false;
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
    return true;
  } catch (why) {
    return !(why instanceof DOMException && why.name === "NotSupportedError");
  }
}

export async function isEd25519(key: Bytes, signature: Bytes, message: Bytes): Promise<boolean> {
  try {
    const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, signature, message);
  } catch (why) {
    if (why instanceof DOMException) return false; // bytes that are no point of the curve
    throw why;
  }
}

export function isMlDsa44(key: Bytes, signature: Bytes, message: Bytes): boolean {
  return signature.length === ml_dsa44.lengths.signature && ml_dsa44.verify(signature, message, key);
}

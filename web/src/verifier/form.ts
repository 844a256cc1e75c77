// Reads a receipt strictly: one accepted spelling of every value, every field known, every type checked.
// Nothing here decides whether a receipt is true, only that there is one way to read it (aibox/audit/verifier/form.py).
import { type Bytes, base64, hexBytes, utf8 } from "./bytes";

const MAX_BYTES = 64 * 1024 * 1024;
const MAX_DEPTH = 32;

/** A check failed; the message says which, in words fit to show. */
export class Refused extends Error {}

export interface Artifact {
  c: string;
  mt: string;
  n: number;
}

export interface Event {
  arts: Artifact[];
  seq: number;
  tenant: string;
  turn: string;
  type: string;
}

/** What every entry of a log states. */
interface Entry {
  idx: number;
  log: string;
}

export interface Envelope extends Entry {
  events: number;
  kid: string;
  outcome: string;
  prev: string;
  root: string;
  tenant: string;
  turn: string;
}

export interface KeyLeaf extends Entry {
  kid: string;
  prev: string;
  pub: string;
  span: number;
}

export interface Addendum extends Entry {
  entry: string;
  events: number;
  first: number;
  root: string;
  tenant: string;
  turn: string;
}

export interface Tombstone extends Entry {
  count: number;
  root: string;
  tenant: string;
}

export interface OpeningLeaf extends Entry {
  last: string;
  root: string;
  size: number;
}

export interface ClosingLeaf extends Entry {
  next: string;
}

/** An older head, and the proof that a tree begins with it. */
interface Consistency {
  from: number;
  path: string[];
  root: string;
}

type EventItem = { event?: string; leaf?: string };

/** What proves an entry: its text and its path, and the head that the path leads to. */
interface Proven {
  leaf: string;
  inclusion: string[];
}

interface UnderHead extends Proven {
  checkpoint: string;
  consistency?: Consistency;
  vkeys: string[];
  witnesses?: string[];
}

export interface Opened {
  art: number;
  data: string;
  event: number;
  mt: string;
  salt: string;
}

export interface Erased extends UnderHead {
  arts: { art: number; event: number; path: string[]; place: number }[];
}

export interface Bundle extends UnderHead {
  addenda?: (UnderHead & { events: EventItem[] })[];
  chain: string[];
  envelope: string;
  erased?: Erased[];
  events: EventItem[];
  key: Proven;
  openings: Opened[];
  previous?: UnderHead & { closing: Proven };
  signature: string;
}

/** The keys somebody pins: what `GET /v1/audit/policy` returns. */
export interface Policy {
  logs: { origin: string; vkeys: string[] }[];
  quorum?: number;
  witnesses?: string[];
}

/** A signature line: the key's name, and key id || signature. */
export interface Line {
  name: string;
  data: Bytes;
}

/** A checkpoint: its signed text, what it states, its signature lines: the log's two, then those of witnesses. */
export interface Head {
  text: Bytes;
  origin: string;
  size: number;
  root: Bytes;
  lines: Line[];
}

/** Events with their bytes; in the place of one that is withheld, null and its leaf hash. */
export type Events = { event: Event | null; held: Bytes }[];

/** An entry of a log and its exact bytes, the item that proves it under a head, and the events that it commits to. */
export interface Proof<E extends Entry = Entry, I extends Proven = UnderHead> {
  item: I;
  entry: E;
  data: Bytes;
  head: Head;
  events: Events;
}

/** All that a receipt proves: the turn, the key that signed it, what came after the seal, was erased, went before. */
export interface Receipt {
  turn: Proof<Envelope, Bundle>;
  key: Proof<KeyLeaf, Proven>;
  addenda: Proof<Addendum>[];
  tombstones: Proof<Tombstone, Erased>[];
  previous: { opening: Proof<OpeningLeaf>; closing: Proof<ClosingLeaf> } | null;
}

/** Parse receipt.json and every document inside it. */
export function read(data: Uint8Array): Receipt {
  if (data.length > MAX_BYTES) throw new Refused("the receipt is larger than 64 MiB");
  const bundle = parse<Bundle>(data, BUNDLE, "the receipt");
  const { addenda = [], erased = [], previous } = bundle;
  const item = { ...bundle, leaf: bundle.envelope };
  const envelope = entryOf<Envelope>(item, ENVELOPE, "the envelope");
  const events = readEvents(bundle.events, 0);
  const turn = { item, ...envelope, events, head: readHead(bundle.checkpoint) };
  const key = {
    item: bundle.key,
    ...entryOf<KeyLeaf>(bundle.key, KEY, "the key leaf"),
    head: turn.head,
    events: [],
  };
  return {
    turn,
    key,
    addenda: addenda.map((item) => {
      const read = entryOf<Addendum>(item, ADDENDUM, "an addendum");
      const events = readEvents(item.events, read.entry.first);
      return { item, ...read, events, head: readHead(item.checkpoint) };
    }),
    tombstones: erased.map((item) => {
      const read = entryOf<Tombstone>(item, TOMBSTONE, "a tombstone");
      return { item, ...read, events: [], head: readHead(item.checkpoint) };
    }),
    previous: previous === undefined ? null : readPrevious(previous, turn.head),
  };
}

function entryOf<E>({ leaf }: Proven, shape: string, what: string): { entry: E; data: Bytes } {
  const data = utf8(leaf);
  return { entry: parse<E>(data, shape, what), data };
}

function readEvents(items: EventItem[], first: number): Events {
  return items.map(({ event, leaf }, at) => {
    if ((event === undefined) === (leaf === undefined)) {
      throw new Refused(`event ${first + at} must be either shown or withheld`);
    }
    if (leaf !== undefined) return { event: null, held: hexBytes(leaf) };
    const held = utf8(event ?? "");
    return { event: parse<Event>(held, EVENT, `event ${first + at}`), held };
  });
}

function readPrevious(item: UnderHead & { closing: Proven }, head: Head): Receipt["previous"] {
  const opening = entryOf<OpeningLeaf>(item, OPENING, "the opening leaf");
  const last = { ...item, ...item.closing };
  const closing = entryOf<ClosingLeaf>(last, CLOSING, "the closing leaf");
  return {
    opening: { item, ...opening, head, events: [] },
    closing: { item: last, ...closing, head: readHead(item.checkpoint), events: [] },
  };
}

/** Whether this is an object of the form of a policy. */
export function isPolicy(value: unknown): value is Policy {
  return fits(value, "logs:logs quorum?:positive witnesses?:witnesses");
}

/** Parse JSON of a known shape, if its bytes are the one canonical encoding of its value: so no two readers see two things. */
function parse<T>(data: Uint8Array, shape: string, what: string): T {
  const value = parseCanonical(data);
  if (value === undefined) throw new Refused(`${what} is not canonical JSON`);
  if (!fits(value, shape)) throw new Refused(`${what} has a missing, unknown or malformed field`);
  return value as T;
}

function parseCanonical(data: Uint8Array): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    const value: unknown = JSON.parse(text);
    return canonical(value, MAX_DEPTH) === text ? value : undefined;
  } catch (why) {
    if (why instanceof SyntaxError || why instanceof TypeError || why instanceof RangeError) return undefined;
    throw why;
  }
}

/**
 * The canonical JSON of a parsed value; throws RangeError if it has none. JSON.parse has kept the last of duplicate keys, and
 * has rounded numbers: then this text differs from what was read, which is what tells.
 */
function canonical(value: unknown, depth: number): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return text(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new RangeError("a fraction, or beyond 2^53-1");
    return String(value);
  }
  if (depth === 0) throw new RangeError("too deep");
  if (Array.isArray(value)) return `[${value.map((member) => canonical(member, depth - 1)).join(",")}]`;
  const members = Object.entries(value as object).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${key(name)}:${canonical(member, depth - 1)}`).join(",")}}`;
}

function text(value: string): string {
  if (/\p{Surrogate}/u.test(value)) throw new RangeError("half a character");
  return JSON.stringify(value);
}

function key(name: string): string {
  if (utf8(name).length !== name.length) throw new RangeError("a key outside ASCII");
  return JSON.stringify(name);
}

/** Whether a value is an object with just the fields of `shape`, each keeping its rule (`@`: its type). With `?` it may be left out. */
function fits(value: unknown, shape: string): boolean {
  if (!isObject(value)) return false;
  const rules = new Map(
    shape
      .replaceAll("?", "")
      .split(" ")
      .map((field) => field.split(":") as [string, string]),
  );
  const needed = shape.split(" ").filter((field) => !field.includes("?"));
  return (
    needed.every((field) => Object.hasOwn(value, field.slice(0, field.indexOf(":")))) &&
    Object.keys(value).every((name) => {
      const rule = rules.get(name);
      if (rule === undefined) return false;
      return name === "@" ? value[name] === rule : RULES[rule]?.(value[name]) === true;
    })
  );
}

/** A C2SP checkpoint (signed note) without extension lines: the log's two signature lines, then cosignatures. */
export function readHead(note: string): Head {
  const line = "\u2014 ([!-*,-~]{1,255}) ([0-9A-Za-z+/=]+)\n";
  const body = "(([!-*,-~]{1,255})\n(0|[1-9][0-9]{0,15})\n([0-9A-Za-z+/=]{44})\n)";
  const match = new RegExp(`^${body}\n((?:${line}){2,})$`).exec(note);
  const [, signed = "", origin = "", size = "", root = "", tail = ""] = match ?? [];
  const found = [...tail.matchAll(new RegExp(line, "g"))].map(([, name = "", data = ""]) => ({ name, data }));
  const isSized = found.every(({ data }, at) => isBase64(LINE_SIZES[at] ?? COSIGNATURE_SIZES)(data));
  if (match === null || !isSized || !Number.isSafeInteger(Number(size)) || !isBase64([32])(root)) {
    throw new Refused(
      "the checkpoint is not a note of origin, size, root, and signature lines of a known length",
    );
  }
  const lines = found.map(({ name, data }) => ({ name, data: base64(data) }));
  return { text: utf8(signed), origin, size: Number(size), root: base64(root), lines };
}

type Rule = (value: unknown) => boolean;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Padded standard base64 that re-encodes to itself, of one of these lengths. */
function isBase64(lengths: number[] | null): Rule {
  return (value) => {
    if (typeof value !== "string") return false;
    try {
      const binary = atob(value);
      return btoa(binary) === value && (lengths === null || lengths.includes(binary.length));
    } catch {
      return false; // atob throws on a character that is not base64's
    }
  };
}

function like(pattern: string): Rule {
  const whole = new RegExp(`^(?:${pattern})$`);
  return (value) => typeof value === "string" && whole.test(value);
}

function whole(low: number, high: number): Rule {
  return (value) => typeof value === "number" && Number.isSafeInteger(value) && low <= value && value <= high;
}

function list(rule: Rule, least = 0): Rule {
  return (value) => Array.isArray(value) && value.length >= least && value.every((member) => rule(member));
}

/** A C2SP verifier key of one of these types: name + key id + base64(type byte || public key). */
function isVkey(...types: number[]): Rule {
  return (value) => {
    if (!like("[!-*,-~]{1,255}\\+[0-9a-f]{8}\\+[0-9A-Za-z+/=]+")(value)) return false;
    const { encoded } = splitVkey(value as string);
    return types.some(
      (type) => isBase64([1 + (KEY_SIZES[type] ?? 0)])(encoded) && base64(encoded)[0] === type,
    );
  };
}

/** The two verifier keys of a log. */
function isPair(value: unknown): boolean {
  const rules = [isVkey(ED25519), isVkey(ML_DSA_44)];
  return Array.isArray(value) && value.length === 2 && rules.every((rule, at) => rule(value[at]));
}

/** The three parts of a verifier key of the right form. */
export function splitVkey(vkey: string): { name: string; id: string; encoded: string } {
  const [name = "", id = ""] = vkey.split("+", 2);
  return { name, id, encoded: vkey.slice(name.length + id.length + 2) };
}

/** C2SP's signature types: the first is a log's, the second a witness's, the third serves both. */
export const ED25519 = 1;
export const ED25519_COSIGNATURE = 4;
export const ML_DSA_44 = 6;
const KEY_SIZES: Record<number, number> = { [ED25519]: 32, [ED25519_COSIGNATURE]: 32, [ML_DSA_44]: 1312 };
const LINE_SIZES = [[4 + 64], [4 + 8 + 2420]];
const COSIGNATURE_SIZES = [4 + 8 + 64, 4 + 8 + 2420];
const RULES: Record<string, Rule> = {
  text: (value) => typeof value === "string",
  object: isObject,
  hash: like("[0-9a-f]{64}"),
  hashes: list(like("[0-9a-f]{64}")),
  uuid: like("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
  kid: like("[0-9a-f]{16}"),
  origin: like("[!-*,-~]{1,255}"),
  outcome: like("sealed|failed|abandoned|denied"),
  alg: like("ed25519"),
  count: whole(0, Number.MAX_SAFE_INTEGER),
  positive: whole(1, Number.MAX_SAFE_INTEGER),
  span: whole(1, 512),
  base64: isBase64(null),
  bytes32: isBase64([32]),
  bytes64: isBase64([64]),
  artifacts: list((value) => fits(value, "c:hash mt:text n:count")),
  events: list((value) => fits(value, "event?:text leaf?:hash")),
  key: (value) => fits(value, "inclusion:hashes leaf:text"),
  openings: list((value) => fits(value, "art:count data:base64 event:count mt:text salt:bytes32")),
  vkeys: isPair,
  witnesses: list(isVkey(ED25519_COSIGNATURE, ML_DSA_44), 1),
  old: (value) => fits(value, "from:positive path:hashes root:hash"),
  erased: list(
    (value) => fits(value, "arts:erasedarts checkpoint:text inclusion:hashes leaf:text vkeys:vkeys"),
    1,
  ),
  erasedarts: list((value) => fits(value, "art:count event:count path:hashes place:count"), 1),
  addenda: list(
    (value) => fits(value, "checkpoint:text events:events inclusion:hashes leaf:text vkeys:vkeys"),
    1,
  ),
  previous: (value) =>
    fits(value, "checkpoint:text closing:key consistency?:old inclusion:hashes leaf:text vkeys:vkeys"),
  reason: like("request|retention"),
  logs: list((value) => fits(value, "origin:origin vkeys:vkeys")),
};
const BUNDLE =
  "@:aibox.receipt/1 addenda?:addenda chain:hashes checkpoint:text consistency?:old envelope:text erased?:erased " +
  "events:events inclusion:hashes key:key openings:openings previous?:previous signature:bytes64 vkeys:vkeys " +
  "witnesses?:witnesses";
const ENVELOPE =
  "@:aibox.turn/1 build:text events:positive idx:positive kid:kid log:origin outcome:outcome policy:text " +
  "prev:hash principal:text root:hash sealed_us:count started_us:count tenant:uuid turn:uuid";
const EVENT =
  "@:aibox.event/1 arts:artifacts body:object ev:uuid mono_ns:count seq:count src:text tenant:uuid " +
  "ts_us:count turn:uuid type:text";
const KEY = "@:aibox.key/1 alg:alg idx:count kid:kid log:origin prev:hash pub:bytes32 span:span";
const TOMBSTONE =
  "@:aibox.tombstone/1 count:positive erased_us:count idx:count log:origin prev:hash reason:reason root:hash " +
  "tenant:uuid turn:uuid";
const ADDENDUM =
  "@:aibox.addendum/1 entry:hash events:positive first:positive idx:count log:origin prev:hash root:hash " +
  "tenant:uuid turn:uuid";
const OPENING = "@:aibox.shard/1 idx:count last:origin log:origin prev:hash root:hash size:positive";
const CLOSING = "@:aibox.shard/1 idx:count log:origin next:origin prev:hash";

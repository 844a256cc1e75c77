// Reads a receipt.json to show it. It judges nothing: that is the verifier's part.
import { isRecord } from "../../api/errors";

export interface ShownEvent {
  seq: number;
  /** Null where the receipt holds only the event's hash. */
  type: string | null;
  source: string;
  /** Microseconds since the epoch. */
  at: number;
  artifacts: { mediaType: string; bytes: number; commitment: string }[];
  /** What tells it from others of its type, e.g. which model was called. */
  about: string[];
  body: string;
  leaf: string | null;
  /** Whether it came after the turn was sealed. */
  isLate: boolean;
}

export interface ShownKey {
  name: string;
  id: string;
  algorithm: string;
  vkey: string;
}

export interface Bundle {
  turn: string;
  log: string;
  index: number | null;
  outcome: string;
  /** Microseconds since the epoch. */
  sealedAt: number | null;
  events: ShownEvent[];
  keys: ShownKey[];
}

/** Null when the bytes are no receipt at all, or one that was made to choke its reader. */
export function readBundle(bytes: Uint8Array): Bundle | null {
  try {
    return read(bytes);
  } catch (error) {
    if (error instanceof RangeError) return null; // nested too deeply to be shown; the verifier says what is wrong
    throw error;
  }
}

function read(bytes: Uint8Array): Bundle | null {
  const bundle = parse(new TextDecoder().decode(bytes));
  const envelope = parse(textOf(bundle.envelope));
  if (!Array.isArray(bundle.events) || !Array.isArray(bundle.vkeys) || !envelope.log) return null;
  return {
    turn: textOf(envelope.turn),
    log: textOf(envelope.log),
    index: numberOf(envelope.idx),
    outcome: textOf(envelope.outcome),
    sealedAt: numberOf(envelope.sealed_us),
    events: [...shownEvents(bundle.events, 0, false), ...lateEvents(bundle.addenda)],
    keys: bundle.vkeys.filter((key): key is string => typeof key === "string").map(readKey),
  };
}

function shownEvents(entries: unknown[], first: number, isLate: boolean): ShownEvent[] {
  return entries.map((entry, at) => shownEvent(isRecord(entry) ? entry : {}, first + at, isLate));
}

/** The events of every addendum, each numbered as its entry says. */
function lateEvents(addenda: unknown): ShownEvent[] {
  if (!Array.isArray(addenda)) return [];
  return addenda.filter(isRecord).flatMap((item) => {
    const first = numberOf(parse(textOf(item.leaf)).first) ?? 0;
    return Array.isArray(item.events) ? shownEvents(item.events, first, true) : [];
  });
}

function shownEvent(entry: Record<string, unknown>, seq: number, isLate: boolean): ShownEvent {
  if (typeof entry.event !== "string") {
    return {
      seq,
      type: null,
      source: "",
      at: 0,
      artifacts: [],
      about: [],
      body: "",
      leaf: textOf(entry.leaf),
      isLate,
    };
  }
  const event = parse(entry.event);
  const artifacts = Array.isArray(event.arts) ? event.arts.filter(isRecord) : [];
  const body = isRecord(event.body) ? event.body : {};
  return {
    seq,
    type: textOf(event.type),
    source: textOf(event.src),
    at: numberOf(event.ts_us) ?? 0,
    artifacts: artifacts.map((one) => ({
      mediaType: textOf(one.mt),
      bytes: numberOf(one.n) ?? 0,
      commitment: textOf(one.c),
    })),
    about: ["model", "tool", "direction", "decision", "status", "op", "outcome", "code"]
      .map((name) => textOf(body[name]))
      .filter(Boolean),
    body: Object.keys(body).length > 0 ? JSON.stringify(body, null, 2) : "",
    leaf: null,
    isLate,
  };
}

/** A C2SP verifier key: name + key id + base64 of type and public key. A name may itself hold "+". */
export function readKey(vkey: string): ShownKey {
  const [, name = vkey, id = "?", encoded = ""] = /^(.+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey) ?? [];
  return { name, id, algorithm: algorithmOf(encoded), vkey };
}

function algorithmOf(encoded: string): string {
  let type: number;
  try {
    type = atob(encoded).charCodeAt(0);
  } catch {
    // No base64: the verifier says so; here it only has no name.
    return "unknown";
  }
  if (type === 0x01) return "Ed25519";
  return type === 0x06 ? "ML-DSA-44" : "unknown";
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    // Not JSON: shown as nothing; the verifier names the fault.
    return {};
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

// The head that somebody keeps: read from a file or pasted, and what a receipt says about it, in plain words.
import { type Head, readHead, type Verdict } from "../verifier";

export interface Kept {
  name: string;
  note: string;
  head: Head;
}

/** What was kept, if the text is a checkpoint; a paste may have lost its last line end, or gained others. */
export function keptHead(name: string, text: string): Kept | null {
  const note = `${text.replaceAll("\r\n", "\n").trim()}\n`;
  try {
    return { name, note, head: readHead(note) };
  } catch {
    // Refused: it is no checkpoint.
    return null;
  }
}

/** The heads of a receipt of the right form: its own, and the last one of the log before, if it names one. */
export function headsOf(bytes: Uint8Array): { note: string; own: Head; previous: Head | null } {
  const bundle: { checkpoint: string; previous?: { checkpoint: string } } = JSON.parse(
    new TextDecoder().decode(bytes),
  );
  const previous = bundle.previous ? readHead(bundle.previous.checkpoint) : null;
  return { note: bundle.checkpoint, own: readHead(bundle.checkpoint), previous };
}

export interface Told {
  look: "good" | "warn" | "bad";
  title: string;
  why: string;
  /** What to ask the server for instead, if that would help. */
  ask?: string;
}

/** What the receipt says about the head that is kept. The verdict is the verifier's; these are only words for it. */
export function tellOf({ head: kept }: Kept, bytes: Uint8Array, verdict: Verdict, turn: string): Told {
  const { own, previous } = headsOf(bytes);
  const trust = verdict.steps.find(({ name }) => name === "trust");
  const ask = `/v1/receipts/${turn}/proof?pin=${kept.size}&pin_log=${kept.origin.split("/").at(-2)}`;
  if (kept.origin !== own.origin && kept.origin !== previous?.origin) {
    return {
      look: "warn",
      title: "The head you keep is of another log",
      why: `It is of ${kept.origin}, and this receipt is of ${own.origin}. Each year begins a new log, which can prove that it goes on from the one before: fetch the receipt again with the head you keep.`,
      ask,
    };
  }
  if (trust?.detail.includes("it was rewritten")) {
    return {
      look: "bad",
      title: "The log was rewritten, or this receipt is forged",
      why: `Its first ${kept.size} entries are not those that you saw signed. Keep both files: where the log's own keys signed both heads, they show to anyone that it was rewritten.`,
    };
  }
  if (trust?.ok) {
    return {
      look: "good",
      title: "The log continues the head you keep",
      why: `The ${kept.size} entries that you saw signed are still its first ones.`,
    };
  }
  if (kept.origin === own.origin && own.size < kept.size) {
    return {
      look: "warn",
      title: "This receipt's head is older than the one you keep",
      why: `It covers ${own.size} entries, and yours ${kept.size}. A receipt that was made earlier looks like this, and so does one from a log that was cut. Fetch it again with the head you keep: a log that was cut cannot answer.`,
      ask,
    };
  }
  return {
    look: "warn",
    title: "Nothing here leads from the head you keep to this one",
    why: `Yours covers ${kept.size} entries, and this one ${own.size}. Fetch the receipt again with the head you keep: a log that was rewritten cannot answer.`,
    ask,
  };
}

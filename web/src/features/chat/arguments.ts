// The arguments of a tool as a form: text as text, everything else as JSON.
import { ApiError } from "../../api/errors";

type Arguments = Record<string, unknown>;

/** What stands in the fields, by the arguments' names. */
export type Draft = Record<string, string>;

export function draftOf(given: Arguments): Draft {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value, null, 2),
    ]),
  );
}

export interface ReadDraft {
  /** Null as long as there are problems. */
  arguments: Arguments | null;
  problems: Record<string, string>;
}

/** A member stays what it was: text, or JSON of any kind. */
export function readDraft(draft: Draft, given: Arguments): ReadDraft {
  const read: Arguments = {};
  const problems: Record<string, string> = {};
  for (const [name, text] of Object.entries(draft)) {
    if (typeof given[name] === "string") {
      read[name] = text;
      continue;
    }
    try {
      read[name] = JSON.parse(text);
    } catch {
      problems[name] = "It is no JSON: a number, true, false, null, or text in quotes.";
    }
  }
  return { arguments: Object.keys(problems).length > 0 ? null : read, problems };
}

/** What a refusal says of one argument: the server names its place, such as `arguments.content`. */
export function argumentError(error: Error | null, name: string): string | null {
  if (!(error instanceof ApiError)) return null;
  for (const { field, error: problem } of error.fields) {
    if (/^arguments\.([^.[]+)/.exec(field)?.[1] === name) return plain(problem);
  }
  return null;
}

/** The refusal, unless each part of it stands at one of the arguments. */
export function beyondArguments(error: Error | null, names: string[]): Error | null {
  if (!(error instanceof ApiError) || error.fields.length === 0) return error;
  const told = names.filter((name) => argumentError(error, name) !== null);
  return told.length === error.fields.length ? null : error;
}

function plain(words: string): string {
  return words === "Expected `str` of length >= 1" ? "It may not be empty." : `${words}.`;
}

export function labelOf(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Whether a text needs more than one line. */
export function isLong(text: string): boolean {
  return text.length > 80 || text.includes("\n");
}

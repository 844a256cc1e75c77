// What a model does with tools, in plain words.
import { isRecord } from "../../api/errors";
import type { Approval, ToolUse } from "./run";

interface Words {
  doing: string;
  done: string;
  /** After "wants to" and "could not". */
  wish: string;
  /** Why it asks although nothing is suspicious. */
  why?: string;
}

const tools: Record<string, Words> = {
  memory_store: { doing: "Remembering", done: "Remembered", wish: "remember something" },
  memory_recall: { doing: "Looking into memory", done: "Looked into memory", wish: "look into memory" },
  memory_list: { doing: "Listing memories", done: "Listed memories", wish: "list what is remembered" },
  memory_get: { doing: "Reading a memory", done: "Read a memory", wish: "read a memory" },
  memory_update: { doing: "Correcting a memory", done: "Corrected a memory", wish: "correct a memory" },
  memory_delete: {
    doing: "Deleting a memory",
    done: "Deleted a memory",
    wish: "delete a memory",
    why: "This cannot be taken back.",
  },
  knowledge_search: {
    doing: "Searching the documents",
    done: "Searched the documents",
    wish: "search the documents",
  },
  wiki_read: { doing: "Reading a wiki page", done: "Read a wiki page", wish: "read a wiki page" },
  wiki_write: {
    doing: "Writing a wiki page",
    done: "Wrote a wiki page",
    wish: "write a wiki page",
    why: "Others will see it.",
  },
};

/** The tools that come with AIBox. */
export const TOOL_NAMES: readonly string[] = Object.keys(tools);

function wordsOf(name: string): Words {
  const known = Object.hasOwn(tools, name) ? tools[name] : undefined;
  return known ?? { doing: `Using ${name}`, done: `Used ${name}`, wish: `use ${name}` };
}

export function wishOf(name: string): string {
  return `AIBox wants to ${wordsOf(name).wish}`;
}

/** One line about a use. */
export function toolLine({ name, state }: Pick<ToolUse, "name" | "state">): string {
  const { doing, done, wish } = wordsOf(name);
  return { running: `${doing}…`, done, failed: `Could not ${wish}`, denied: `Wanted to ${wish}` }[state];
}

/** How a person's word bears on a use; empty where nobody was asked, or it is not known any more. */
export function decisionWords({ state, approval }: Pick<ToolUse, "state" | "approval">): string {
  switch (approval?.status) {
    case "approved":
      return "you approved";
    case "approved_with_edits":
      return "you changed and approved";
    case "denied":
      return "you denied";
    case "expired":
      // A run that ended first has failed; one that went on was told that nobody answered in time.
      return state === "failed" ? "not decided" : "nobody answered";
    default:
      return state === "denied" ? "not allowed" : "";
  }
}

/** The member that says most about a use: what was looked for, which page, what to remember. */
export function glimpse(given: unknown): string {
  if (!isRecord(given)) return "";
  const telling = ["query", "topic", "content"].map((name) => given[name]);
  return telling.find((value): value is string => typeof value === "string" && value !== "") ?? "";
}

/** Why a tool asks. */
export function whyItAsks(tool: string, risk: string): string {
  const own = wordsOf(tool).why;
  if (risk === "prompt_injection") {
    const misuse =
      "Something in your message, or in what was read for it, may be an attempt at misuse. So every tool asks first.";
    return own ? `${misuse} ${own}` : misuse;
  }
  return own ?? "This cannot be taken back, or others will see it.";
}

/** `Until 14:30` today, and with the day on any other. */
export function untilWords(expiresAt: string, now: Date): string {
  const until = new Date(expiresAt);
  const isToday = until.toDateString() === now.toDateString();
  const time = until.toLocaleString(undefined, {
    ...(!isToday && { dateStyle: "medium" }),
    timeStyle: "short",
  });
  return `It waits until ${time}, and is not done if nobody answers.`;
}

/** The value of a text that is JSON; any other text, such as a sentence or a result that was cut, is its own. */
export function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** A text as it is, everything else as JSON that is laid out. */
export function pretty(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** Whether the use waits for its person's word. */
export function asks<Use extends Pick<ToolUse, "state" | "approval">>(
  use: Use,
): use is Use & { approval: Approval } {
  return use.state === "running" && use.approval?.status === "pending";
}

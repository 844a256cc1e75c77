// A policy while it is edited: what differs from the stored one, and what a switch says.
import type { Policy } from "./queries";

/** On, off, or as the profile says. */
export type Choice = "profile" | "on" | "off";

export function choiceOf(switches: Record<string, boolean>, id: string): Choice {
  const set = switches[id];
  return set === undefined ? "profile" : set ? "on" : "off";
}

export function withChoice(
  switches: Record<string, boolean>,
  id: string,
  choice: Choice,
): Record<string, boolean> {
  const { [id]: _, ...others } = switches;
  return choice === "profile" ? others : { ...others, [id]: choice === "on" };
}

/** One topic a line; blank lines and repetitions say nothing. */
export function topicsOf(text: string): string[] {
  return [...new Set(text.split("\n").map((line) => line.trim()))].filter(Boolean);
}

export function isSame(one: Policy, other: Policy): boolean {
  return canonical(one) === canonical(other);
}

function canonical({ profile, scanners, masks, topics, scan_images }: Policy): string {
  const sorted = (switches?: Record<string, boolean>) => Object.entries(switches ?? {}).toSorted();
  return JSON.stringify([
    profile ?? null,
    sorted(scanners),
    sorted(masks),
    topics ?? [],
    scan_images ?? null,
  ]);
}

// The health of an issuer's keys in words, and a mapping as it is edited.
import type { Tone } from "../../ui/Badge";
import type { Service } from "./queries";

export function healthOf({ keys, age, failure }: Service["health"]): {
  tone: Tone;
  label: string;
  about: string;
} {
  const known = age === null ? "" : `${keys} ${keys === 1 ? "key" : "keys"}, fetched ${ageText(age)}`;
  if (failure) {
    return known
      ? { tone: "warn", label: "Stale keys", about: `${known}. The last fetch failed: ${failure}.` }
      : { tone: "danger", label: "No keys", about: `The last fetch failed: ${failure}.` };
  }
  return known
    ? { tone: "good", label: "Healthy", about: `${known}.` }
    : { tone: "neutral", label: "Not asked yet", about: "Keys are fetched when the first token comes." };
}

function ageText(seconds: number): string {
  if (seconds < 90) return "just now";
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} minutes ago` : `${Math.round(minutes / 60)} hours ago`;
}

export interface Line {
  /** Stays while the line is edited, so that the cursor does too. */
  id: number;
  group: string;
  role: string;
}

export function linesOf(groups: Record<string, string>): Line[] {
  return Object.entries(groups).map(([group, role], id) => ({ id, group, role }));
}

/** The mapping that the lines say; lines without a group are left out. */
export function groupsOf(lines: Line[]): Record<string, string> {
  return Object.fromEntries(lines.map(({ group, role }) => [group.trim(), role]).filter(([group]) => group));
}

/** A group that two lines name: only one of them would count. */
export function doubled(lines: Line[]): string | null {
  const names = lines.map(({ group }) => group.trim()).filter(Boolean);
  return names.find((name, at) => names.indexOf(name) !== at) ?? null;
}

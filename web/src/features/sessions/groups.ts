// Sorts chats into the headings of the sidebar.
import type { Session } from "../../api/types";

export interface Group {
  heading: string;
  sessions: Session[];
}

const DAY_MS = 86_400_000;

/** Pinned first, then by age in calendar days of the reader; the server's order is kept within a heading. */
export function groupByAge(sessions: Session[], now: Date): Group[] {
  const today = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const groups = new Map<string, Session[]>(
    ["Pinned", "Today", "Yesterday", "Last 7 days", "Older"].map((heading) => [heading, []]),
  );
  for (const session of sessions) {
    const heading = session.pinned ? "Pinned" : age(new Date(session.updatedAt).getTime(), today);
    groups.get(heading)?.push(session);
  }
  return [...groups]
    .filter(([, members]) => members.length > 0)
    .map(([heading, members]) => ({ heading, sessions: members }));
}

function age(updated: number, today: number): string {
  if (updated >= today) return "Today";
  if (updated >= today - DAY_MS) return "Yesterday";
  if (updated >= today - 7 * DAY_MS) return "Last 7 days";
  return "Older";
}

export function titleOf(session: Pick<Session, "title">): string {
  return session.title || "New chat";
}

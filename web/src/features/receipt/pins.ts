// The keys of a log, remembered in this browser the first time it sees them: a later change is then noticed.

export interface Pin {
  vkeys: string[];
  /** When they were first seen, ISO 8601. */
  since: string;
}

const KEY = "aibox.log-keys";

export type PinStore = Pick<Storage, "getItem" | "setItem">;

export function pinOf(store: PinStore, log: string): Pin | null {
  return all(store)[log] ?? null;
}

export function pin(store: PinStore, log: string, vkeys: string[], now: Date): void {
  store.setItem(KEY, JSON.stringify({ ...all(store), [log]: { vkeys, since: now.toISOString() } }));
}

export function sameKeys(a: string[], b: string[]): boolean {
  return a.length === b.length && a.toSorted().every((key, index) => key === b.toSorted()[index]);
}

function all(store: PinStore): Record<string, Pin> {
  try {
    const pins: unknown = JSON.parse(store.getItem(KEY) ?? "{}");
    return typeof pins === "object" && pins !== null ? (pins as Record<string, Pin>) : {};
  } catch {
    // Damaged by hand: as good as never seen.
    return {};
  }
}

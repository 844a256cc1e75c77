// A conversation is a tree of items; the page shows one path through it and lets the reader switch branches.
import type { Item } from "../../api/types";

export interface PathEntry {
  item: Item;
  /** All messages that follow the same one, oldest first; the item is one of them. */
  siblings: Item[];
}

/** The path from the root to `leafId`; without one (or with one that is gone) to the newest item. */
export function pathTo(items: Item[], leafId: string | null): PathEntry[] {
  const byId = new Map(items.map((item) => [item.id, item]));
  let item = (leafId !== null && byId.get(leafId)) || items.at(-1);
  const path: PathEntry[] = [];
  const seen = new Set<string>();
  while (item && !seen.has(item.id)) {
    seen.add(item.id);
    path.unshift({ item, siblings: childrenOf(items, item.parent_id) });
    item = item.parent_id === null ? undefined : byId.get(item.parent_id);
  }
  return path;
}

/** The newest end of the branch that begins with `itemId`: where a reader who switches to it wants to be. */
export function newestLeaf(items: Item[], itemId: string): string {
  const inside = new Set([itemId]);
  let leaf = itemId;
  for (const item of items) {
    if (item.parent_id !== null && inside.has(item.parent_id)) {
      inside.add(item.id);
      leaf = item.id;
    }
  }
  return leaf;
}

export function childrenOf(items: Item[], parentId: string | null): Item[] {
  return items.filter((item) => item.parent_id === parentId);
}

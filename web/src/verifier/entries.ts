// What other entries of the tenant's logs say: what came after the seal, what was erased, which log came before.
import { type Bytes, climb, equal, extend, hex, hexBytes, leafHash, nodeHash } from "./bytes";
import { type Artifact, type Consistency, type Events, type Head, type Receipt, Refused } from "./form";
import { requireCosignatures, requireHead } from "./heads";

/** Each addendum is an entry of a log, commits to the envelope, and its events are numbered on from the turn's. */
export async function checkAddenda(receipt: Receipt): Promise<string> {
  const { envelope } = receipt;
  const sealed = hex(await leafHash(receipt.envelopeBytes));
  const found: string[] = [];
  let free = envelope.events;
  for (const { item, entry, data, head, events } of receipt.addenda) {
    const what = `the addendum, entry ${entry.idx}`;
    if (entry.tenant !== envelope.tenant || entry.turn !== envelope.turn || entry.entry !== sealed) {
      throw new Refused(`${what}, is of another envelope`);
    }
    if (entry.first < free)
      throw new Refused(`${what}, numbers an event ${entry.first} that was there before`);
    if (events.length !== entry.events) {
      throw new Refused(`${what}, states ${entry.events} events, and there are ${events.length}`);
    }
    requireEvents(receipt, events, entry.first);
    if (events.some(({ event }) => event?.type === "turn_started" || event?.type === "turn_sealed")) {
      throw new Refused(`${what}, has an event that only a turn has`);
    }
    if ((await eventsRoot(events)) !== entry.root) {
      throw new Refused(`the events of ${what}, do not hash to its root`);
    }
    await requireEntry(head, item, entry, data, what);
    free = entry.first + events.length;
    found.push(`${events.length} came after the seal, by entry ${entry.idx}`);
  }
  return found.length > 0 ? found.join("; ") : "no event after the seal is shown";
}

/** What tombstones say of artifacts of this turn: each is an entry of a log of the tenant, under a signed head. */
export async function checkErased(receipt: Receipt): Promise<string[]> {
  const found: string[] = [];
  for (const { item, entry, data, head } of receipt.tombstones) {
    const what = `the tombstone, entry ${entry.idx}`;
    if (entry.tenant !== receipt.envelope.tenant) throw new Refused(`${what}, is of another tenant`);
    await requireEntry(head, item, entry, data, what);
    let before: Place = { event: -1, art: -1 };
    for (const art of item.arts) {
      const leaf = await leafHash(hexBytes(artifactOf(receipt, art).c));
      before = inOrder(before, art);
      const covered = art.place < entry.count;
      const root = covered ? await climb(leaf, art.place, entry.count, art.path.map(hexBytes)) : null;
      if (root === null || hex(root) !== entry.root) {
        throw new Refused(`${what}, does not cover artifact ${art.event}/${art.art}`);
      }
    }
    found.push(`${item.arts.length} erased by entry ${entry.idx}`);
  }
  return found;
}

/** The log of the year before: this one's entry 1 names the head that it ended with, and its last entry this one. */
export async function checkPrevious({ envelope, head: own, previous }: Receipt): Promise<string[]> {
  if (previous === null) return [];
  const { item, opening, openingBytes, closing, closingBytes, head } = previous;
  if (opening.log !== envelope.log || opening.idx !== 1) {
    throw new Refused("the opening leaf is not entry 1 of this log");
  }
  await requireIncluded(own, openingBytes, 1, item.inclusion, "the opening leaf");
  await requireHead(head, opening.last, item.vkeys, "the last head of the log before");
  await requireCosignatures(head, []);
  if (head.size !== opening.size || hex(head.root) !== opening.root) {
    throw new Refused("the opening leaf names another last head of the log before");
  }
  if (closing.log !== head.origin || closing.next !== envelope.log || closing.idx !== head.size - 1) {
    throw new Refused("the last entry of the log before does not name this log");
  }
  await requireIncluded(head, closingBytes, closing.idx, item.closing.inclusion, "the closing leaf");
  const goesOn = `the log goes on from ${head.origin}, which ended with ${head.size} entries`;
  return [goesOn, ...(await checkContinued(head, item.consistency))];
}

/** The head continues the older one that is named, if there is one. */
export async function checkContinued(head: Head, old: Consistency | undefined): Promise<string[]> {
  if (old === undefined) return [];
  const root = hexBytes(old.root);
  const roots = old.from < head.size ? await extend(root, old.from, head.size, old.path.map(hexBytes)) : null;
  if (roots === null || !equal(roots[0], root) || !equal(roots[1], head.root)) {
    throw new Refused(`the head does not continue the head of ${old.from} entries that it names`);
  }
  return [`it continues the head of ${old.from} entries`];
}

/** The shown events belong to the turn and are numbered from `first` on. */
export function requireEvents({ envelope }: Receipt, events: Events, first: number): void {
  for (const [at, { event }] of events.entries()) {
    const place = first + at;
    if (event === null) continue;
    if (event.seq !== place) throw new Refused(`event ${place} says that it is number ${event.seq}`);
    if (event.tenant !== envelope.tenant || event.turn !== envelope.turn) {
      throw new Refused(`event ${place} belongs to another turn or tenant`);
    }
  }
}

/** What the events hash to, whether they are shown or withheld; undefined for none. */
export async function eventsRoot(events: Events): Promise<string | undefined> {
  let level = await Promise.all(events.map(({ event, held }) => (event === null ? held : leafHash(held))));
  while (level.length > 1) {
    const above: Bytes[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = level.slice(at, at + 2) as [Bytes, Bytes?];
      // A last hash without a partner moves up as it is (RFC 9162); it is never doubled.
      above.push(right === undefined ? left : await nodeHash(left, right));
    }
    level = above;
  }
  return level[0] && hex(level[0]);
}

export interface Place {
  event: number;
  art: number;
}

/** The artifact of a shown event that an opening or an erasure names. */
export function artifactOf({ numbered }: Receipt, { event, art }: Place): Artifact {
  const artifact = numbered.get(event)?.arts[art];
  if (artifact === undefined) throw new Refused(`no shown event has an artifact ${event}/${art}`);
  return artifact;
}

/** Where an artifact stands, which is after the one before it. */
export function inOrder(before: Place, here: Place): Place {
  if (here.event < before.event || (here.event === before.event && here.art <= before.art)) {
    throw new Refused(`artifact ${here.event}/${here.art} is out of order`);
  }
  return here;
}

/** The entry stands at `index` of the tree that the head signs. */
export async function requireIncluded(
  head: Head,
  entry: Bytes,
  index: number,
  path: string[],
  what: string,
): Promise<void> {
  const root =
    index < head.size ? await climb(await leafHash(entry), index, head.size, path.map(hexBytes)) : null;
  if (root === null || !equal(root, head.root)) {
    throw new Refused(`${what} is not entry ${index} in the tree of ${head.size} entries`);
  }
}

/** An entry with a head of its own, which its log signed and nobody cosigned. */
async function requireEntry(
  head: Head,
  item: { inclusion: string[]; vkeys: [string, string] },
  entry: { idx: number; log: string },
  data: Bytes,
  what: string,
): Promise<void> {
  await requireHead(head, entry.log, item.vkeys, `${what}'s head`);
  await requireCosignatures(head, []);
  await requireIncluded(head, data, entry.idx, item.inclusion, what);
}

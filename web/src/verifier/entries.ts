// What other entries of the tenant's logs say: what came after the seal, what was erased, which log came before.
import { type Bytes, climb, hex, hexBytes, leafHash, nodeHash } from "./bytes";
import { type Artifact, type Envelope, type Events, type Receipt, Refused } from "./form";
import { checkContinued, requireIncluded, requireProof } from "./heads";

/** Each addendum is an entry of a log, commits to the envelope, and its events are numbered on from the turn's. */
export async function checkAddenda({ turn, addenda }: Receipt): Promise<string> {
  const sealed = hex(await leafHash(turn.data));
  const found: string[] = [];
  let free = turn.entry.events;
  for (const late of addenda) {
    const { entry } = late;
    const what = `the addendum at entry ${entry.idx}`;
    if (entry.tenant !== turn.entry.tenant || entry.turn !== turn.entry.turn || entry.entry !== sealed) {
      throw new Refused(`${what} is of another envelope`);
    }
    if (entry.first < free) {
      throw new Refused(`${what} numbers an event ${entry.first} that was there before`);
    }
    await requireEvents(turn.entry, late, entry.first, what);
    await requireProof(late, what);
    free = entry.first + entry.events;
    found.push(`${entry.events} came after the seal, by entry ${entry.idx}`);
  }
  return found.length > 0 ? found.join("; ") : "no event after the seal is shown";
}

/** The events are as many as the entry states, numbered, the turn's, and hash to the entry's root. */
export async function requireEvents(
  turn: Envelope,
  { entry, events }: { entry: { events: number; root: string }; events: Events },
  first: number,
  what: string,
): Promise<void> {
  if (events.length !== entry.events) {
    throw new Refused(`there are ${events.length} events; ${what} states ${entry.events}`);
  }
  for (const [at, { event }] of events.entries()) {
    const place = first + at;
    if (event === null) continue;
    if (event.seq !== place) throw new Refused(`event ${place} says that it is number ${event.seq}`);
    if (event.tenant !== turn.tenant || event.turn !== turn.turn) {
      throw new Refused(`event ${place} belongs to another turn or tenant`);
    }
    const [begins, ends] = [event.type === "turn_started", event.type === "turn_sealed"];
    if (begins !== (place === 0) || ends !== (place === turn.events - 1)) {
      throw new Refused(`event ${place} is out of place: a turn runs from turn_started to turn_sealed`);
    }
  }
  if ((await rootOf(events)) !== entry.root) {
    throw new Refused(`the events do not hash to ${what}'s root`);
  }
}

/** What the events hash to, whether they are shown or withheld; undefined for none. */
async function rootOf(events: Events): Promise<string | undefined> {
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

/** Each tombstone is an entry of a log of the tenant, and covers the artifacts that it is said to have erased. */
export async function checkErased(receipt: Receipt): Promise<string[]> {
  const found: string[] = [];
  for (const stone of receipt.tombstones) {
    const { item, entry } = stone;
    const what = `the tombstone at entry ${entry.idx}`;
    if (entry.tenant !== receipt.turn.entry.tenant) throw new Refused(`${what} is of another tenant`);
    await requireProof(stone, what);
    for (const [art, stated] of artifacts(receipt, item.arts)) {
      const leaf = await leafHash(hexBytes(stated.c));
      const isWithin = art.place < entry.count;
      const root = isWithin ? await climb(leaf, art.place, entry.count, art.path.map(hexBytes)) : null;
      if (root === null || hex(root) !== entry.root) {
        throw new Refused(`${what} does not cover artifact ${art.event}/${art.art}`);
      }
    }
    found.push(`${item.arts.length} erased by entry ${entry.idx}`);
  }
  return found;
}

/** Each of the items, which name artifacts in their order, with what its shown event states of it. */
export function* artifacts<I extends { event: number; art: number }>(
  { turn, addenda }: Receipt,
  items: I[],
): Generator<[I, Artifact]> {
  const shown = new Map<number, Artifact[]>();
  for (const { event } of [turn, ...addenda].flatMap(({ events }) => events)) {
    if (event !== null) shown.set(event.seq, event.arts);
  }
  let before = { event: -1, art: -1 };
  for (const item of items) {
    const stated = shown.get(item.event)?.[item.art];
    if (stated === undefined) throw new Refused(`no shown event has an artifact ${item.event}/${item.art}`);
    if (item.event < before.event || (item.event === before.event && item.art <= before.art)) {
      throw new Refused(`artifact ${item.event}/${item.art} is out of order`);
    }
    yield [item, stated];
    before = item;
  }
}

/** The log of the year before: this one's entry 1 names the head that it ended with, and its last entry this one. */
export async function checkPrevious({ turn, previous }: Receipt): Promise<string[]> {
  if (previous === null) return [];
  const { opening, closing } = previous;
  const { head } = closing;
  if (opening.entry.log !== turn.entry.log || opening.entry.idx !== 1) {
    throw new Refused("the opening leaf is not entry 1 of this log");
  }
  await requireIncluded(opening, "the opening leaf");
  await requireProof(closing, "the closing leaf");
  const { last, size, root } = opening.entry;
  if (last !== head.origin || size !== head.size || root !== hex(head.root)) {
    throw new Refused("the opening leaf names another last head");
  }
  if (closing.entry.next !== turn.entry.log || closing.entry.idx !== head.size - 1) {
    throw new Refused("the last entry of the log before does not name this log");
  }
  const goesOn = `the log goes on from ${head.origin}, which ended with ${head.size} entries`;
  return [goesOn, ...(await checkContinued(closing))];
}

"""What other entries of the tenant's logs say: what came after the seal, what was erased, which log came before."""

from .form import Fields, Head, Logged, Receipt, Refused
from .heads import require_cosignatures, require_head
from .tree import climb, extend, leaf_hash, tree_root


def addenda(receipt: Receipt) -> str:
    """Each addendum is an entry of a log, commits to the envelope, and its events are numbered on from the turn's."""
    envelope, found = receipt.envelope, []
    sealed = envelope["tenant"], envelope["turn"], leaf_hash(receipt.envelope_bytes).hex()
    free = envelope["events"]
    for item, entry, data, head, events in receipt.addenda:
        what, first = f"the addendum, entry {entry['idx']}", entry["first"]
        if (entry["tenant"], entry["turn"], entry["entry"]) != sealed:
            raise Refused(f"{what}, is of another envelope")
        if first < free:
            raise Refused(f"{what}, numbers an event {first} that was there before")
        if len(events) != entry["events"]:
            raise Refused(f"{what}, states {entry['events']} events, and there are {len(events)}")
        require_events(receipt, events, first)
        if any(event is not None and event["type"] in ("turn_started", "turn_sealed") for event, _ in events):
            raise Refused(f"{what}, has an event that only a turn has")
        if events_root(events) != entry["root"]:
            raise Refused(f"the events of {what}, do not hash to its root")
        _require_entry(head, item, entry, data, what)
        free = first + len(events)
        found.append(f"{len(events)} came after the seal, by entry {entry['idx']}")
    return "; ".join(found) or "no event after the seal is shown"


def erased(receipt: Receipt) -> list[str]:
    """What tombstones say of artifacts of this turn: each is an entry of a log of the tenant, under a signed head."""
    found = []
    for item, entry, data, head in receipt.tombstones:
        what = f"the tombstone, entry {entry['idx']}"
        if entry["tenant"] != receipt.envelope["tenant"]:
            raise Refused(f"{what}, is of another tenant")
        _require_entry(head, item, entry, data, what)
        before: tuple[int, ...] = ()
        for art in item["arts"]:
            leaf = leaf_hash(bytes.fromhex(artifact(receipt, art)["c"]))
            before = in_order(before, art)
            path = [bytes.fromhex(step) for step in art["path"]]
            if art["place"] >= entry["count"] or climb(leaf, art["place"], entry["count"], path) != bytes.fromhex(
                entry["root"]
            ):
                raise Refused(f"{what}, does not cover artifact {art['event']}/{art['art']}")
        found.append(f"{len(item['arts'])} erased by entry {entry['idx']}")
    return found


def preceded(receipt: Receipt) -> list[str]:
    """The log of the year before: this one's entry 1 names the head that it ended with, and its last entry this one."""
    if receipt.previous is None:
        return []
    item, opening, opening_bytes, closing, closing_bytes, head = receipt.previous
    log = receipt.envelope["log"]
    if (opening["log"], opening["idx"]) != (log, 1):
        raise Refused("the opening leaf is not entry 1 of this log")
    require_included(receipt.head, opening_bytes, 1, item["inclusion"], "the opening leaf")
    require_head(head, opening["last"], item["vkeys"], "the last head of the log before")
    require_cosignatures(head, [])
    if (head.size, head.root.hex()) != (opening["size"], opening["root"]):
        raise Refused("the opening leaf names another last head of the log before")
    if (closing["log"], closing["next"], closing["idx"]) != (head.origin, log, head.size - 1):
        raise Refused("the last entry of the log before does not name this log")
    require_included(head, closing_bytes, closing["idx"], item["closing"]["inclusion"], "the closing leaf")
    return [f"the log goes on from {head.origin}, which ended with {head.size} entries", *continued(head, item)]


def continued(head: Head, item: Fields) -> list[str]:
    """The head continues the older one that `consistency` names, if it is there."""
    old = item.get("consistency")
    if old is None:
        return []
    root = bytes.fromhex(old["root"])
    path = [bytes.fromhex(step) for step in old["path"]]
    if old["from"] >= head.size or extend(root, old["from"], head.size, path) != (root, head.root):
        raise Refused(f"the head does not continue the head of {old['from']} entries that it names")
    return [f"it continues the head of {old['from']} entries"]


def require_events(receipt: Receipt, events: list[Logged], first: int) -> None:
    """The shown events belong to the turn and are numbered from `first` on."""
    envelope = receipt.envelope
    for place, (event, _) in enumerate(events, first):
        if event is None:
            continue
        if event["seq"] != place:
            raise Refused(f"event {place} says that it is number {event['seq']}")
        if (event["tenant"], event["turn"]) != (envelope["tenant"], envelope["turn"]):
            raise Refused(f"event {place} belongs to another turn or tenant")


def events_root(events: list[Logged]) -> str:
    """What the events hash to, whether they are shown or withheld."""
    return tree_root(held if event is None else leaf_hash(held) for event, held in events).hex()


def artifact(receipt: Receipt, item: Fields) -> Fields:
    """The artifact of a shown event that an opening or an erasure names."""
    place, number = item["event"], item["art"]
    event = receipt.numbered.get(place)
    if event is None or number >= len(event["arts"]):
        raise Refused(f"no shown event has an artifact {place}/{number}")
    found: Fields = event["arts"][number]
    return found


def in_order(before: tuple[int, ...], item: Fields) -> tuple[int, ...]:
    """Where an artifact stands, which is after the one before it."""
    here = item["event"], item["art"]
    if here <= before:
        raise Refused(f"artifact {here[0]}/{here[1]} is out of order")
    return here


def require_included(head: Head, entry: bytes, index: int, path: list[str], what: str) -> None:
    """The entry stands at `index` of the tree that the head signs."""
    steps = [bytes.fromhex(step) for step in path]
    if index >= head.size or climb(leaf_hash(entry), index, head.size, steps) != head.root:
        raise Refused(f"{what} is not entry {index} in the tree of {head.size} entries")


def _require_entry(head: Head, item: Fields, entry: Fields, data: bytes, what: str) -> None:
    """An entry with a head of its own, which its log signed and nobody cosigned."""
    require_head(head, entry["log"], item["vkeys"], f"{what}'s head")
    require_cosignatures(head, [])
    require_included(head, data, entry["idx"], item["inclusion"], what)

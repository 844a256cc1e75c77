"""What a receipt may prove beside its turn: events after the seal, what was erased, which log came before."""

from collections.abc import Iterable, Iterator

from .form import Fields, Proof, Receipt, require
from .heads import continued, require_included, require_proof
from .tree import climb, leaf_hash, tree_root


def addenda(receipt: Receipt) -> str:
    """Each addendum is an entry of a log, commits to the envelope, and its events are numbered on from the turn's."""
    turn = receipt.turn.entry
    sealed, free = (turn["tenant"], turn["turn"], leaf_hash(receipt.turn.data).hex()), turn["events"]
    found = []
    for late in receipt.addenda:
        entry, what = late.entry, f"the addendum at entry {late.entry['idx']}"
        require((entry["tenant"], entry["turn"], entry["entry"]) == sealed, f"{what} is of another envelope")
        require(entry["first"] >= free, f"{what} numbers an event {entry['first']} that was there before")
        require_events(receipt, late, what)
        require_proof(late, what)
        free = entry["first"] + entry["events"]
        found.append(f"{entry['events']} came after the seal, by entry {entry['idx']}")
    return "; ".join(found) or "no event after the seal is shown"


def require_events(receipt: Receipt, proof: Proof, what: str) -> None:
    """The events are as many as the entry states, numbered, the turn's, and hash to the entry's root."""
    turn, entry, count = receipt.turn.entry, proof.entry, len(proof.events)
    require(count == entry["events"], f"there are {count} events; {what} states {entry['events']}")
    for place, (event, _) in enumerate(proof.events, entry.get("first", 0)):
        if event is not None:
            ends = event["type"] == "turn_started", event["type"] == "turn_sealed"
            require(event["seq"] == place, f"event {place} says that it is number {event['seq']}")
            require(
                (event["tenant"], event["turn"]) == (turn["tenant"], turn["turn"]),
                f"event {place} belongs to another turn or tenant",
            )
            require(
                ends == (place == 0, place == turn["events"] - 1),
                f"event {place} is out of place: a turn runs from turn_started to turn_sealed",
            )
    root = tree_root(held if event is None else leaf_hash(held) for event, held in proof.events)
    require(root.hex() == entry["root"], f"the events do not hash to {what}'s root")


def erased(receipt: Receipt) -> list[str]:
    """Each tombstone is an entry of a log of the tenant, and covers the artifacts that it is said to have erased."""
    found = []
    for stone in receipt.tombstones:
        entry, what = stone.entry, f"the tombstone at entry {stone.entry['idx']}"
        require(entry["tenant"] == receipt.turn.entry["tenant"], f"{what} is of another tenant")
        require_proof(stone, what)
        for art, stated in artifacts(receipt, stone.item["arts"]):
            leaf, path = leaf_hash(bytes.fromhex(stated["c"])), [*map(bytes.fromhex, art["path"])]
            root = climb(leaf, art["place"], entry["count"], path) if art["place"] < entry["count"] else None
            require(root == bytes.fromhex(entry["root"]), f"{what} does not cover artifact {art['event']}/{art['art']}")
        found.append(f"{len(stone.item['arts'])} erased by entry {entry['idx']}")
    return found


def artifacts(receipt: Receipt, items: Iterable[Fields]) -> Iterator[tuple[Fields, Fields]]:
    """Each of the items, which name artifacts in their order, with what its shown event states of it."""
    shown = {
        event["seq"]: event["arts"] for proof in (receipt.turn, *receipt.addenda) for event, _ in proof.events if event
    }
    before: tuple[int, ...] = ()
    for item in items:
        here = item["event"], item["art"]
        require(here[1] < len(shown.get(here[0], [])), f"no shown event has an artifact {here[0]}/{here[1]}")
        require(here > before, f"artifact {here[0]}/{here[1]} is out of order")
        yield item, shown[here[0]][here[1]]
        before = here


def preceded(receipt: Receipt) -> list[str]:
    """The log of the year before: this one's entry 1 names the head that it ended with, and its last entry this one."""
    if not receipt.previous:
        return []
    opening, closing = receipt.previous
    log, entry, head = receipt.turn.entry["log"], opening.entry, closing.head
    require((entry["log"], entry["idx"]) == (log, 1), "the opening leaf is not entry 1 of this log")
    require_included(opening, "the opening leaf")
    require_proof(closing, "the closing leaf")
    ended = head.origin, head.size, head.root.hex()
    require((entry["last"], entry["size"], entry["root"]) == ended, "the opening leaf names another last head")
    goes_on = (closing.entry["next"], closing.entry["idx"]) == (log, head.size - 1)
    require(goes_on, "the last entry of the log before does not name this log")
    return [f"the log goes on from {head.origin}, which ended with {head.size} entries", *continued(closing)]

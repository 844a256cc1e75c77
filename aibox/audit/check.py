"""Computes a tenant's logs again from the stored rows, and names the first row that is not what was signed.

Entry by entry: its place, its form, its link in the chain, its leaf and the tree's nodes above it, its signature, and
the events it seals; at the end the root, against the signed head, and the head, against the copy outside the database.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import Fault, Verification, logs, merkle, notes, verifier
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.links import FaultFound, Key, Links, shape_of
from aibox.audit.logs import Log
from aibox.audit.merkle import Coordinate, Frontier
from aibox.audit.nodes import stored_nodes
from aibox.audit.notes import Checkpoint, NoteError, VerifierKey
from aibox.audit.verifier.form import Fields, Refused, parse
from aibox.core.db import Database
from aibox.core.turn import Turn

PAGE = 500

Row = Mapping[Any, Any]


class HeadFault(FaultFound):
    """The signed head itself is not sound."""


async def check(db: Database, copies: HeadCopies, turn: Turn, *, newest: int | None = None) -> Verification:
    """Check all entries of the turn's tenant, the newest log first; with `newest`, only so many of the last ones."""
    return [page async for page in check_by_page(db, copies, turn, newest=newest)][-1]


async def check_by_page(
    db: Database, copies: HeadCopies, turn: Turn, *, newest: int | None = None
) -> AsyncGenerator[Verification]:
    """The same, with how far it came after each page of entries; the last one says what was found."""
    async with db.read(turn) as session:
        heads = [Log(**row) for row in (await session.execute(LOGS)).mappings()]
    counts = list(_counts(heads, newest))
    total, checked = sum(count for _, count in counts), 0
    for head, count in counts:
        walk = Walk(db, turn, head, begin=head.size - count)
        try:
            async for seen in walk.to_the_end():
                yield Verification(ok=True, checked=checked + seen, total=total)
            await copies.compare(head)
        except (FaultFound, HeadRefused) as fault:
            yield Verification(ok=False, checked=checked + walk.seen, total=total, first_bad=_fault(head, walk, fault))
            return
        checked += count
    yield Verification(ok=True, checked=checked, total=total)


def _counts(heads: Sequence[Log], newest: int | None) -> Iterator[tuple[Log, int]]:
    """Each log with the number of its newest entries to look at, where there are any."""
    left = sum(head.size for head in heads) if newest is None else newest
    for head in heads:
        if count := min(head.size, left):
            yield head, count
            left -= count


def _fault(head: Log, walk: "Walk", fault: FaultFound | HeadRefused) -> Fault:
    turn_id, seq = (fault.turn_id, fault.seq) if isinstance(fault, FaultFound) else (None, None)
    index = head.size if isinstance(fault, (HeadFault, HeadRefused)) else walk.next
    return Fault(log=head.origin, idx=index, reason=str(fault), turn_id=turn_id, seq=seq)


class Walk:
    """A way along one log from entry `begin` to the head that was read at its start."""

    def __init__(self, db: Database, turn: Turn, head: Log, *, begin: int) -> None:
        self._db = db
        self._turn = turn
        self._head = head
        self._begin = begin
        self._links = Links(head.origin, head.size, begin=begin)
        self._frontier = Frontier()
        self.next = begin

    @property
    def seen(self) -> int:
        """Entries that were found sound."""
        return self.next - self._begin

    async def to_the_end(self) -> AsyncGenerator[int]:
        """How many entries were sound, after each page. Raises `FaultFound`; then `next` is the entry at fault."""
        async with self._db.read(self._turn) as session:
            signed = await self._signed_head(session)
            await self._start(session, signed)
        while self.next < self._head.size:
            async with self._db.read(self._turn) as session:
                await self._page(session, signed)
            yield self.seen
        if self._frontier.root() != signed.root:
            raise FaultFound("the entries do not hash to the root of the signed head")
        if self._links.link != self._head.link:
            raise FaultFound("the chain does not end as the log's head says")

    async def _signed_head(self, session: AsyncSession) -> Checkpoint:
        rows = (await session.execute(VKEYS, {"origin": self._head.origin})).scalars()
        for vkeys in rows:
            try:
                head = notes.verify_checkpoint(self._head.checkpoint or "", [VerifierKey.parse(vkey) for vkey in vkeys])
            except NoteError:
                continue
            if (head.origin, head.size) == (self._head.origin, self._head.size):
                return head
        raise HeadFault("the log's head is not signed by a key of this log")

    async def _start(self, session: AsyncSession, signed: Checkpoint) -> None:
        """Take up the tree at `begin`. What stands before it is held to the signed root at the end."""
        span = merkle.root_span(self._begin)
        stored = await stored_nodes(session, self._head.origin, [span])
        if len(stored) < len(span):
            raise HeadFault("a node of the stored tree is missing")
        self._frontier = Frontier(self._begin, [stored[place] for place in span])

    async def _page(self, session: AsyncSession, signed: Checkpoint) -> None:
        until = min(self.next + PAGE, self._head.size)
        where = {"origin": self._head.origin, "begin": self.next, "until": until}
        rows = (await session.execute(ENTRIES, where)).mappings().all()
        late = {row["idx"]: entry for row in rows if (entry := _addendum(row)) is not None}
        added_to = [UUID(entry["turn"]) for entry in late.values()]
        turns = [*(row["turn"] for row in rows if row["turn"] is not None), *added_to]
        sealed = (await session.execute(ENVELOPES, {"turns": added_to})).mappings()
        envelopes = {one["turn"]: one["data"] for one in sealed}
        events: dict[UUID, list[Row]] = {}
        for event in (await session.execute(EVENTS, {"turns": turns})).mappings():
            events.setdefault(event["turn"], []).append(event)
        within = {row["idx"] for row in rows}
        for index in {row["key_idx"] for row in rows if row["key_idx"] is not None} - within - self._links.keys.keys():
            await self._earlier_key(session, index, signed)
        due = [(node.level, node.index) for node in _due(self._frontier, until)]
        nodes = await stored_nodes(session, self._head.origin, [tuple(due)])
        added = {index: (entry, envelopes.get(UUID(entry["turn"]))) for index, entry in late.items()}
        await asyncio.to_thread(self._check_page, until, {row["idx"]: row for row in rows}, events, added, nodes)

    async def _earlier_key(self, session: AsyncSession, index: int, signed: Checkpoint) -> None:
        """A key leaf before `begin`: it must be an entry of the signed tree."""
        data = await session.scalar(ENTRY, {"origin": self._head.origin, "idx": index})
        plan = merkle.inclusion_plan(index, signed.size)
        nodes = await stored_nodes(session, self._head.origin, plan)
        try:
            path = merkle.answer(plan, nodes)
        except KeyError:
            raise FaultFound("a node of the stored tree is missing") from None
        if data is None or verifier.climb(verifier.leaf_hash(data), index, signed.size, path) != signed.root:
            raise FaultFound(f"the key leaf, entry {index}, is not in the signed tree")
        self._links.keys[index] = Key.of(json.loads(data))

    def _check_page(
        self,
        until: int,
        rows: Mapping[int, Row],
        events: Mapping[UUID, Sequence[Row]],
        added: Mapping[int, tuple[Fields, bytes | None]],
        nodes: Mapping[Coordinate, bytes],
    ) -> None:
        while self.next < until:
            row = rows.get(self.next)
            if row is None:
                raise FaultFound("the entry is missing")
            _, leaf = self._links.take(row["data"], _shape(row), turn_id=row["turn"])
            for node in self._frontier.append(leaf):
                if nodes.get((node.level, node.index)) != node.hash:
                    raise FaultFound(f"the stored node {node.level}/{node.index} is not the hash of what is below it")
            if row["turn"] is not None:
                self._check_turn(row, events.get(row["turn"], []))
            if self.next in added:
                entry, envelope = added[self.next]
                _check_addendum(entry, envelope, events.get(UUID(entry["turn"]), []))
            self.next += 1

    def _check_turn(self, row: Row, events: Sequence[Row]) -> None:
        """The envelope's signature, and the events it seals."""
        entry, turn_id = json.loads(row["data"]), row["turn"]
        key = self._links.keys.get(row["key_idx"])
        if key is None:
            raise FaultFound("no key leaf allows the envelope's key", turn_id=turn_id)
        key.require_signed(entry, row["data"], row["signature"])
        if (entry["turn"], entry["tenant"]) != (str(turn_id), str(self._head.tenant)):
            raise FaultFound("the envelope is of another turn or tenant", turn_id=turn_id)
        _check_events(
            entry, turn_id, events[: entry["events"]], 0, "the turn's events do not hash to the envelope's root"
        )


def _check_addendum(entry: Fields, envelope: bytes | None, events: Sequence[Row]) -> None:
    """The turn that an addendum adds to, and the late events."""
    turn_id, first = UUID(entry["turn"]), entry["first"]
    if envelope is None or verifier.leaf_hash(envelope).hex() != entry["entry"]:
        raise FaultFound("the addendum is of another envelope than the turn's", turn_id=turn_id)
    own = [event for event in events if first <= event["seq"] < first + entry["events"]]
    _check_events(entry, turn_id, own, first, "the late events do not hash to the addendum's root")


def _check_events(entry: Fields, turn_id: UUID, own: Sequence[Row], first: int, otherwise: str) -> None:
    """The events that an entry seals, numbered from `first` on."""
    for place, row in enumerate(own, first):
        _check_event(row, turn_id, place)
    if len(own) != entry["events"]:
        raise FaultFound("an event is missing", turn_id=turn_id, seq=first + len(own))
    if verifier.tree_root([verifier.leaf_hash(event["data"]) for event in own]).hex() != entry["root"]:
        raise FaultFound(otherwise, turn_id=turn_id)


def _check_event(row: Row, turn_id: UUID, place: int) -> None:
    """An event's bytes say what its columns say: searches go by the columns, receipts by the bytes."""
    if row["seq"] != place:
        raise FaultFound("an event is missing", turn_id=turn_id, seq=place)
    try:
        event = parse(row["data"], "event", "the event")
    except Refused as why:
        raise FaultFound(str(why), turn_id=turn_id, seq=place) from None
    stated = (event["turn"], event["seq"], event["type"], event["src"])
    if stated != (str(turn_id), place, row["type"], row["source"]):
        raise FaultFound("the event is not what its row says", turn_id=turn_id, seq=place)


def _shape(row: Row) -> str:
    """What the entry must look like: an envelope is what the row of a turn holds, and nothing else is."""
    if row["turn"] is not None:
        return "envelope"
    shape = shape_of(row["data"])
    return "key" if shape == "envelope" else shape


def _addendum(row: Row) -> Fields | None:
    """The entry, if it is an addendum; one that is malformed is found out where entries are."""
    if shape_of(row["data"]) != "addendum":
        return None
    try:
        return parse(row["data"], "addendum", "the entry")
    except Refused:
        return None


def _due(frontier: Frontier, until: int) -> list[merkle.Node]:
    """The nodes that will be complete when the tree has `until` leaves, of which only the places matter."""
    ahead = Frontier(frontier.size, frontier.peaks)
    return [node for _ in range(frontier.size, until) for node in ahead.append(merkle.EMPTY)]


LOGS = text(f"{logs.SELECT_LOGS} ORDER BY year DESC")
VKEYS = text("SELECT vkeys FROM audit.verifier_key WHERE origin = :origin")
ENTRY = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :idx")
ENVELOPES: TextClause = text("SELECT turn, data FROM audit.entry WHERE turn = ANY (:turns)").bindparams(
    bindparam("turns", type_=ARRAY(PGUUID(as_uuid=True)))
)
ENTRIES = text("""
SELECT idx, data, turn, signature, key_idx FROM audit.entry
WHERE origin = :origin AND idx >= :begin AND idx < :until
""")
EVENTS: TextClause = text("""
SELECT turn, seq, type, source, data FROM core.event WHERE turn = ANY (:turns) ORDER BY turn, seq
""").bindparams(bindparam("turns", type_=ARRAY(PGUUID(as_uuid=True))))

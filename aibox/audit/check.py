"""Computes a tenant's logs again from the stored rows, and names the first row that is not what was signed.

Entry by entry: its place, its form, its link in the chain, its leaf and the tree's nodes above it, its signature, and
the events it seals; at the end the root, against the signed head, and the head, against the copy outside the database.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import Fault, Verification, logs, merkle, notes, receipts, verifier
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.logs import Log
from aibox.audit.merkle import Coordinate, Frontier
from aibox.audit.nodes import stored_nodes
from aibox.audit.notes import Checkpoint, NoteError, VerifierKey
from aibox.audit.verifier.form import ENVELOPE, EVENT, KEY, TOMBSTONE, Refused, parse
from aibox.core.db import Database
from aibox.core.turn import Turn

PAGE = 500

SHARD = "@:aibox.shard/1 idx:count last?:origin log:origin next?:origin prev:hash root?:hash size?:positive"
OF_THE_LOG = (KEY, TOMBSTONE, SHARD)
"""The entries that seal no turn."""

Row = Mapping[Any, Any]


class FaultFound(Exception):
    """A row is not what was signed."""

    def __init__(self, reason: str, *, turn_id: UUID | None = None, seq: int | None = None) -> None:
        super().__init__(reason)
        self.turn_id = turn_id
        self.seq = seq


class HeadFault(FaultFound):
    """The signed head itself is not sound."""


class Key(Struct, frozen=True):
    """A key leaf of the log, read and found in its tree."""

    index: int
    kid: str
    public: bytes
    span: int


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
        self._keys: dict[int, Key] = {}
        self._link: bytes | None = receipts.chain_genesis(head.origin) if begin == 0 else None
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
        if self._link != self._head.link:
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
        turns = [row["turn"] for row in rows if row["turn"] is not None]
        events: dict[UUID, list[Row]] = {}
        for event in (await session.execute(EVENTS, {"turns": turns})).mappings():
            events.setdefault(event["turn"], []).append(event)
        within = {row["idx"] for row in rows}
        for index in {row["key_idx"] for row in rows if row["key_idx"] is not None} - within - self._keys.keys():
            await self._earlier_key(session, index, signed)
        due = [(node.level, node.index) for node in _due(self._frontier, until)]
        nodes = await stored_nodes(session, self._head.origin, [tuple(due)])
        await asyncio.to_thread(self._check_page, until, {row["idx"]: row for row in rows}, events, nodes)

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
        self._keys[index] = _key(data)

    def _check_page(
        self,
        until: int,
        rows: Mapping[int, Row],
        events: Mapping[UUID, Sequence[Row]],
        nodes: Mapping[Coordinate, bytes],
    ) -> None:
        while self.next < until:
            row = rows.get(self.next)
            if row is None:
                raise FaultFound("the entry is missing")
            leaf = self._check_entry(row)
            for node in self._frontier.append(leaf):
                if nodes.get((node.level, node.index)) != node.hash:
                    raise FaultFound(f"the stored node {node.level}/{node.index} is not the hash of what is below it")
            if row["turn"] is not None:
                self._check_turn(row, events.get(row["turn"], []))
            self.next += 1

    def _check_entry(self, row: Row) -> bytes:
        """Form, place and chain of an entry; its leaf hash."""
        data, is_turn = row["data"], row["turn"] is not None
        try:
            entry = parse(data, ENVELOPE if is_turn else _shape(data), "the entry")
        except Refused as why:
            raise FaultFound(str(why), turn_id=row["turn"]) from None
        if (entry["log"], entry["idx"]) != (self._head.origin, self.next):
            raise FaultFound("the entry is of another log or another place", turn_id=row["turn"])
        if self._link is not None and entry["prev"] != self._link.hex():
            raise FaultFound("the chain does not lead to the entry", turn_id=row["turn"])
        leaf = verifier.leaf_hash(data)
        self._link = receipts.chain_next(self._head.origin, self.next, bytes.fromhex(entry["prev"]), leaf)
        if "next" in entry and self.next != self._head.size - 1:
            raise FaultFound("an entry follows the one that closed the log")
        if entry["@"] == "aibox.key/1":
            self._keys[self.next] = _key(data)
        return leaf

    def _check_turn(self, row: Row, events: Sequence[Row]) -> None:
        """The envelope's signature, and the events it seals."""
        entry, turn_id = json.loads(row["data"]), row["turn"]
        key = self._keys.get(row["key_idx"])
        if key is None or key.kid != entry["kid"] or not key.index < self.next <= key.index + key.span:
            raise FaultFound("no key leaf allows the envelope's key", turn_id=turn_id)
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(
                row["signature"], receipts.pre_authentication(row["data"])
            )
        except InvalidSignature:
            raise FaultFound("the envelope's signature does not verify", turn_id=turn_id) from None
        if (entry["turn"], entry["tenant"]) != (str(turn_id), str(self._head.tenant)):
            raise FaultFound("the envelope is of another turn or tenant", turn_id=turn_id)
        own = events[: entry["events"]]
        for place, row_of_event in enumerate(own):
            _check_event(row_of_event, turn_id, place)
        if len(own) != entry["events"]:
            missing = next((n for n, event in enumerate(own) if event["seq"] != n), len(own))
            raise FaultFound("an event is missing", turn_id=turn_id, seq=missing)
        if verifier.tree_root([verifier.leaf_hash(event["data"]) for event in own]).hex() != entry["root"]:
            raise FaultFound("the turn's events do not hash to the envelope's root", turn_id=turn_id)


def _check_event(row: Row, turn_id: UUID, place: int) -> None:
    """An event's bytes say what its columns say: searches go by the columns, receipts by the bytes."""
    if row["seq"] != place:
        raise FaultFound("an event is missing", turn_id=turn_id, seq=place)
    try:
        event = parse(row["data"], EVENT, "the event")
    except Refused as why:
        raise FaultFound(str(why), turn_id=turn_id, seq=place) from None
    stated = (event["turn"], event["seq"], event["type"], event["src"])
    if stated != (str(turn_id), place, row["type"], row["source"]):
        raise FaultFound("the event is not what its row says", turn_id=turn_id, seq=place)


def _shape(data: bytes) -> str:
    """What an entry that seals no turn must look like, by the type it begins with."""
    return next((shape for shape in OF_THE_LOG if data.startswith(f'{{"@":"{shape[2:].split()[0]}"'.encode())), KEY)


def _key(data: bytes) -> Key:
    leaf = json.loads(data)
    return Key(leaf["idx"], leaf["kid"], b64decode(leaf["pub"]), leaf["span"])


def _due(frontier: Frontier, until: int) -> list[merkle.Node]:
    """The nodes that will be complete when the tree has `until` leaves, of which only the places matter."""
    ahead = Frontier(frontier.size, frontier.peaks)
    return [node for _ in range(frontier.size, until) for node in ahead.append(merkle.EMPTY)]


LOGS = text(f"{logs.SELECT_LOGS} ORDER BY year DESC")
VKEYS = text("SELECT vkeys FROM audit.verifier_key WHERE origin = :origin")
ENTRY = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :idx")
ENTRIES = text("""
SELECT idx, data, turn, signature, key_idx FROM audit.entry
WHERE origin = :origin AND idx >= :begin AND idx < :until
""")
EVENTS: TextClause = text("""
SELECT turn, seq, type, source, data FROM core.event WHERE turn = ANY (:turns) ORDER BY turn, seq
""").bindparams(bindparam("turns", type_=ARRAY(PGUUID(as_uuid=True))))

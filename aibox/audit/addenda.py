"""Addenda: events that come after their turn was sealed, how they are kept, sealed and proved.

They are numbered on in their turn. The sealed turn and its receipts stay as they were: an entry of its own commits to
the turn's envelope and to the late events.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
import structlog
from sqlalchemy import LargeBinary, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import AddendumMade, NotSealed, OnlyTheOwner, merkle, receipts
from aibox.audit.nodes import stored_nodes
from aibox.audit.receipts import Addendum
from aibox.audit.turns import visible
from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.events import Event, Recorded, record
from aibox.core.turn import Turn

log = structlog.get_logger("aibox.audit.addenda")

MOST_IN_A_SEAL = 256


class Due(msgspec.Struct, frozen=True):
    """Late events of a turn, with its envelope."""

    tenant: UUID
    turn: UUID
    first: int
    envelope: bytes
    events: Sequence[bytes]


async def add(db: Database, event_log: EventLog, turn: Turn, about: UUID, *events: Event) -> Sequence[Recorded]:
    """Make `events` durable as late ones of the sealed turn `about`, which must be the caller's own.

    The caller's present turn records that it did so, and with its end the addendum is sealed. Raises NotFound for a
    turn that the caller may not see, `OnlyTheOwner`, and `NotSealed` while it is open.
    """
    sealed = await event_log.seal_artifacts(turn, events)
    late = msgspec.structs.replace(turn, id=about)
    where = {"tenant": turn.tenant, "turn": about}
    async with db.work(turn) as work:
        row = await visible(work.session, turn, about)
        if row["principal"] != turn.principal.pseudonym:
            raise OnlyTheOwner()
        if row["idx"] is None:
            raise NotSealed()
        # One after the other: each is numbered after the last.
        await work.session.execute(LOCK, {"lock": f"aibox.addendum/{turn.tenant}/{about}"})
        first: int = (await work.session.execute(NEXT, where)).scalar_one()
        rows = [record(late, event, seq=first + n) for n, event in enumerate(events)]
        for commitment, kid, data in sealed:
            await work.session.execute(ARTIFACT, {**where, "commitment": commitment, "kid": kid, "sealed": data})
        for one in rows:
            columns = {"seq": one.seq, "type": one.type, "source": one.source, "data": one.data}
            await work.session.execute(EVENT, {**where, **columns})
        await work.session.execute(ADD, {**where, "first": first, "events": len(rows)})
        work.record(AddendumMade(about=str(about), first=first, count=len(rows)))
    return rows


async def due(connection: asyncpg.Connection, tenant: UUID) -> list[Due]:
    """Addenda of the tenant that have no place in the log yet."""
    found = []
    for row in await connection.fetch(DUE, tenant, MOST_IN_A_SEAL):
        envelope, events = await stored(connection, tenant, row["turn"], row["first"], row["events"])
        if len(events) != row["events"]:
            log.error("audit.addendum_incomplete", turn=str(row["turn"]), first=row["first"])
        elif envelope is not None:  # its log was given up: it waits until the turn is sealed in a new one
            found.append(Due(tenant, row["turn"], row["first"], envelope, events))
    return found


async def stored(
    connection: asyncpg.Connection, tenant: UUID, turn: UUID, first: int, count: int
) -> tuple[bytes | None, list[bytes]]:
    """The turn's envelope, and so many of its events from `first` on."""
    rows = await connection.fetch(LATE, tenant, turn, first, first + count)
    return await connection.fetchval(ENVELOPE, tenant, turn), [row["data"] for row in rows]


def entry(late: Due, *, origin: str, index: int, prev: bytes) -> bytes:
    """The addendum as an entry of its tenant's log."""
    return receipts.addendum(
        late.envelope,
        late.events,
        first=late.first,
        origin=origin,
        index=index,
        prev=prev,
        tenant=late.tenant,
        turn=late.turn,
    )


async def place(connection: asyncpg.Connection, late: Due, *, origin: str, index: int) -> None:
    """Remember where the addendum stands, in the transaction that seals it."""
    await connection.execute(PLACE, late.tenant, late.turn, late.first, origin, index)


async def proofs(session: AsyncSession, turn_id: UUID) -> list[tuple[int, Addendum]]:
    """The proofs of the turn's late events, as far as they are in the log, each with its first event's number."""
    found = []
    for row in (await session.execute(PROVED, {"turn": turn_id})).mappings().all():
        plan = merkle.inclusion_plan(row["idx"], row["size"])
        nodes = await stored_nodes(session, row["origin"], plan)
        numbers = {"turn": turn_id, "first": row["first"], "until": row["first"] + row["events"]}
        proof = Addendum(
            entry=row["data"],
            inclusion=merkle.answer(plan, nodes),
            checkpoint=row["note"],
            vkeys=row["vkeys"],
            events=(await session.execute(OWN_LATE, numbers)).scalars().all(),
        )
        found.append((row["first"], proof))
    return found


_TURN = (bindparam("tenant", type_=PGUUID(as_uuid=True)), bindparam("turn", type_=PGUUID(as_uuid=True)))
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
NEXT = text("SELECT max(seq) + 1 FROM core.event WHERE tenant = :tenant AND turn = :turn").bindparams(*_TURN)
EVENT = text("""
INSERT INTO core.event (tenant, turn, seq, type, source, data) VALUES (:tenant, :turn, :seq, :type, :source, :data)
""").bindparams(*_TURN, bindparam("data", type_=LargeBinary))
ARTIFACT = text("""
INSERT INTO core.artifact (tenant, turn, commitment, kid, sealed)
VALUES (:tenant, :turn, :commitment, :kid, :sealed) ON CONFLICT DO NOTHING
""").bindparams(*_TURN, bindparam("sealed", type_=LargeBinary))
ADD = text("""
INSERT INTO audit.addendum (tenant, turn, first, events) VALUES (:tenant, :turn, :first, :events)
""").bindparams(*_TURN)
DUE = """
SELECT turn, first, events FROM audit.addendum WHERE tenant = $1 AND idx IS NULL ORDER BY turn, first LIMIT $2
"""
LATE = """
SELECT data FROM core.event WHERE tenant = $1 AND turn = $2 AND seq >= $3 AND seq < $4 ORDER BY seq
"""
ENVELOPE = "SELECT data FROM audit.entry WHERE tenant = $1 AND turn = $2"
PLACE = "UPDATE audit.addendum SET origin = $4, idx = $5 WHERE tenant = $1 AND turn = $2 AND first = $3"
PROVED = text("""
SELECT a.first, a.events, a.origin, a.idx, e.data, c.size, c.note, k.vkeys
FROM audit.addendum a
JOIN audit.entry e ON e.origin = a.origin AND e.idx = a.idx
JOIN LATERAL (
    SELECT size, note, signer FROM audit.checkpoint WHERE origin = a.origin AND size > a.idx ORDER BY size LIMIT 1
) c ON true
JOIN audit.verifier_key k ON k.origin = a.origin AND k.signer = c.signer
WHERE a.turn = :turn ORDER BY a.first
""")
OWN_LATE = text("SELECT data FROM core.event WHERE turn = :turn AND seq >= :first AND seq < :until ORDER BY seq")

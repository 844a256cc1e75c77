"""Receipts as the turn's tenant sees them, and the background work that makes them: sealer, reaper, head copies."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import (
    AuditPolicy,
    Consistency,
    NotSealed,
    NotYours,
    PinnedLog,
    Receipt,
    Settings,
    logs,
    merkle,
    receipts,
)
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.nodes import stored_nodes
from aibox.audit.reaper import Reaper
from aibox.audit.receipts import Opening
from aibox.audit.sealer import Sealer
from aibox.audit.signing import HeadKeys
from aibox.audit.turns import Artifacts, Row, visible
from aibox.audit.verifier.form import MAX_BYTES
from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import BootRefused, NotFound, StateUnavailable, TooLarge, ValidationFailed
from aibox.core.keyring import Ring
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn
from aibox.stores import Objects

log = structlog.get_logger("aibox.audit")

LOOK_SECONDS = 0.05
"""How often `wait_sealed` looks for a seal that another replica may have made."""

COPY_SECONDS = 1.0
"""How far the external copy may lag: a write-once copy of every head of a busy log would cost more than its turns."""

RETRY_SECONDS = 5.0


class Audit:
    """The implementation of `Receipts`. `host` begins the origins of new logs; `build` and `policy` enter envelopes."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        db: Database,
        objects: Objects,
        ring: Ring,
        keys: DataKeys,
        *,
        host: str,
        build: str,
        policy: str,
    ) -> None:
        self._connections = connections
        self._db = db
        self._artifacts = Artifacts(db, keys)
        host = settings.origin or host
        if not re.fullmatch(r"[!-*,-~]{1,200}", host):
            raise BootRefused(
                "boot_settings", "Set AIBOX_AUDIT_ORIGIN to a plain host name: it begins every log's name."
            )
        self.copies = HeadCopies(connections, objects)
        self.sealer = Sealer(connections, HeadKeys(ring), self.copies, host=host, build=build, policy=policy)
        self.reaper = Reaper(connections, grace_seconds=settings.grace_seconds)

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Seal, reap and copy heads out until the block ends."""
        async with self.sealer.run(tasks), self.reaper.run(tasks):
            copying = tasks.create_task(self._copy_out(), name="audit.copy_out")
            try:
                yield
            finally:
                copying.cancel()
                await asyncio.gather(copying, return_exceptions=True)

    async def receipt(self, turn: Turn, turn_id: UUID) -> Receipt:
        async with self._db.read(turn) as session:
            return _summary(await visible(session, turn, turn_id))

    async def proof(self, turn: Turn, turn_id: UUID, *, opened: bool = False) -> bytes:
        async with self._db.read(turn) as session:
            row = await _sealed(session, turn, turn_id)
            if opened and row["principal"] != turn.principal.pseudonym:
                raise NotYours()
            events = await _events(session, row)
        openings = await self._open(turn, turn_id, events) if opened else ()
        async with self._db.read(turn) as session:
            made = await _bundle(session, row, events, openings)
        if len(made) > MAX_BYTES:
            raise TooLarge("With its contents opened this receipt is larger than the 64 MiB that a verifier reads.")
        return made

    async def tlog_proof(self, turn: Turn, turn_id: UUID) -> str:
        async with self._db.read(turn) as session:
            row = await _sealed(session, turn, turn_id)
            head = await _covering_head(session, row)
            plan = merkle.inclusion_plan(row["idx"], head["size"])
            nodes = await stored_nodes(session, row["origin"], plan)
        return receipts.tlog_proof(
            envelope=row["data"],
            index=row["idx"],
            inclusion=merkle.answer(plan, nodes),
            checkpoint=head["note"],
        )

    async def _open(self, turn: Turn, turn_id: UUID, events: Sequence[bytes]) -> list[Opening]:
        """Every artifact of the turn that was not erased."""
        stated = [
            (number, place, art)
            for number, data in enumerate(events)
            for place, art in enumerate(json.loads(data)["arts"])
        ]
        found = await self._artifacts.open(turn, turn_id, {art["c"] for _, _, art in stated})
        return [
            Opening(event=number, art=place, media_type=art["mt"], salt=found[art["c"]][0], data=found[art["c"]][1])
            for number, place, art in stated
            if art["c"] in found
        ]

    async def wait_sealed(self, turn: Turn, turn_id: UUID, *, timeout: float) -> Receipt:
        clock = asyncio.get_running_loop()
        deadline = clock.time() + timeout
        with self.sealer.news_of(turn_id) as sealed:
            while True:
                receipt = await self._look(turn, turn_id)
                left = deadline - clock.time()
                if receipt.state != "open" or left <= 0:
                    return receipt
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(sealed.wait(), min(left, LOOK_SECONDS))
                sealed.clear()

    async def _look(self, turn: Turn, turn_id: UUID) -> Receipt:
        """The receipt as it is; `open` while the database is away, for whoever waits has an answer to finish."""
        try:
            return await self.receipt(turn, turn_id)
        except StateUnavailable:
            return Receipt(turn_id=turn_id, state="open")

    async def policy(self, turn: Turn) -> AuditPolicy:
        async with self._db.read(turn) as session:
            rows = await session.execute(
                text("SELECT origin, vkeys FROM audit.verifier_key ORDER BY since DESC, origin")
            )
            return AuditPolicy(logs=tuple(PinnedLog(origin=origin, vkeys=tuple(vkeys)) for origin, vkeys in rows))

    async def checkpoint(self, turn: Turn, log_id: str) -> str:
        async with self._db.read(turn) as session:
            note = await session.scalar(text("SELECT checkpoint FROM audit.log WHERE id = :id"), {"id": log_id})
        if note is None:
            raise NotFound()
        return str(note)

    async def consistency(self, turn: Turn, log_id: str, *, old: int, new: int | None = None) -> Consistency:
        async with self._db.read(turn) as session:
            row = (await session.execute(SIZE, {"id": log_id})).one_or_none()
            if row is None:
                raise NotFound()
            origin, size = row
            new = size if new is None else new
            if not 0 < old <= new <= size:
                raise ValidationFailed(
                    fields=[{"field": "from", "error": f"It must be 0 < from <= to <= {size}, the log's size."}]
                )
            plan = merkle.consistency_plan(old, new)
            nodes = await stored_nodes(session, origin, plan)
        path = tuple(step.hex() for step in merkle.answer(plan, nodes))
        return Consistency(log=origin, old=old, new=new, path=path)

    async def copy_heads_out(self) -> None:
        """Bring every log's signed heads into the external copy: their receipts are then `anchored`."""
        for head in await logs.unanchored(self._connections.system):
            if head.origin not in self.copies.refused:
                with contextlib.suppress(HeadRefused):  # told and remembered where it was found
                    await self.copies.copy_out(head)

    async def _copy_out(self) -> None:
        while True:
            try:
                self.sealer.moved.clear()
                await self.copy_heads_out()
                await self.sealer.moved.wait()
                await asyncio.sleep(COPY_SECONDS)
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.copy_failed", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)


def _summary(row: Row) -> Receipt:
    if row["idx"] is None:
        return Receipt(turn_id=row["turn"], state="open", outcome=row["outcome"])
    entry = json.loads(row["data"])
    return Receipt(
        turn_id=row["turn"],
        state="anchored" if row["idx"] < row["anchored"] else "sealed",
        outcome=entry["outcome"],
        log=row["origin"],
        idx=row["idx"],
        events=entry["events"],
        root=entry["root"],
        sealed_at=datetime.fromtimestamp(entry["sealed_us"] / 1_000_000, UTC).isoformat().replace("+00:00", "Z"),
    )


async def _sealed(session: AsyncSession, turn: Turn, turn_id: UUID) -> Row:
    row = await visible(session, turn, turn_id)
    if row["idx"] is None:
        raise NotSealed()
    return row


async def _events(session: AsyncSession, row: Row) -> Sequence[bytes]:
    count = json.loads(row["data"])["events"]
    return (await session.execute(EVENTS, {"turn": row["turn"], "count": count})).scalars().all()


async def _covering_head(session: AsyncSession, row: Row) -> RowMapping:
    """The first head that covers the entry: so a turn has one receipt, however often it is asked for."""
    where = {"origin": row["origin"], "idx": row["idx"]}
    return (await session.execute(COVERING_HEAD, where)).mappings().one()


async def _bundle(session: AsyncSession, row: Row, events: Sequence[bytes], openings: Collection[Opening]) -> bytes:
    """receipt.json."""
    origin, index, key_index = row["origin"], row["idx"], row["key_idx"]
    where = {"origin": origin, "idx": index, "key": key_index}
    head = await _covering_head(session, row)
    key_leaf = await session.scalar(KEY_LEAF, where)
    between = (await session.execute(LEAVES_BETWEEN, where)).scalars().all()
    plans = merkle.inclusion_plan(index, head["size"]), merkle.inclusion_plan(key_index, head["size"])
    nodes = await stored_nodes(session, origin, [*plans[0], *plans[1]])
    return receipts.bundle(
        envelope=row["data"],
        signature=row["signature"],
        events=events,
        key_leaf=bytes(key_leaf or b""),
        key_inclusion=merkle.answer(plans[1], nodes),
        chain=between,
        inclusion=merkle.answer(plans[0], nodes),
        checkpoint=head["note"],
        vkeys=head["vkeys"],
        openings=openings,
    )


COVERING_HEAD = text("""
SELECT c.size, c.note, k.vkeys FROM audit.checkpoint c
JOIN audit.verifier_key k ON k.origin = c.origin AND k.signer = c.signer
WHERE c.origin = :origin AND c.size > :idx ORDER BY c.size LIMIT 1
""")
SIZE = text("SELECT origin, size FROM audit.log WHERE id = :id")
KEY_LEAF = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :key")
LEAVES_BETWEEN = text("""
SELECT hash FROM audit.node
WHERE origin = :origin AND level = 0 AND idx > :key AND idx < :idx ORDER BY idx
""")
EVENTS = text("SELECT data FROM core.event WHERE turn = :turn AND seq < :count ORDER BY seq")

"""Receipts as the turn's tenant sees them, and the background work that makes them: sealer, reaper, head copies."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import AuditPolicy, NotSealed, PinnedLog, Receipt, Settings, logs, merkle, receipts
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.merkle import Coordinate, Span
from aibox.audit.reaper import Reaper
from aibox.audit.sealer import Sealer
from aibox.audit.signing import HeadKeys
from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import BootRefused, NotFound, StateUnavailable
from aibox.core.keyring import Ring
from aibox.core.turn import Turn
from aibox.stores import Objects

log = structlog.get_logger("aibox.audit")

LOOK_SECONDS = 0.05
"""How often `wait_sealed` looks for a seal that another replica may have made."""

COPY_SECONDS = 1.0
"""How far the external copy may lag: a write-once copy of every head of a busy log would cost more than its turns."""

RETRY_SECONDS = 5.0

Row = Mapping[str, Any]


class Audit:
    """The implementation of `Receipts`. `host` begins the origins of new logs; `build` and `policy` enter envelopes."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        db: Database,
        objects: Objects,
        ring: Ring,
        *,
        host: str,
        build: str,
        policy: str,
    ) -> None:
        self._connections = connections
        self._db = db
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
            return _summary(await _find(session, turn, turn_id))

    async def proof(self, turn: Turn, turn_id: UUID) -> bytes:
        async with self._db.read(turn) as session:
            row = await _find(session, turn, turn_id)
            if row["idx"] is None:
                raise NotSealed()
            return await _bundle(session, row)

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


async def _find(session: AsyncSession, turn: Turn, turn_id: UUID) -> Row:
    """The turn with its entry, if the principal may see it: its own, or any with `view_audit_log`."""
    row = (await session.execute(TURN, {"turn": turn_id})).mappings().one_or_none()
    principal = turn.principal
    if row is None or principal.kind == "anonymous":
        raise NotFound()
    if row["principal"] != principal.pseudonym and not principal.may("admin.view_audit_log"):
        raise NotFound()
    return dict(row)


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


async def _bundle(session: AsyncSession, row: Row) -> bytes:
    """receipt.json under the first head that covers the entry: the same bytes however often it is asked for."""
    origin, index, key_index = row["origin"], row["idx"], row["key_idx"]
    where = {"origin": origin, "idx": index, "key": key_index}
    head = (await session.execute(COVERING_HEAD, where)).mappings().one()
    key_leaf = await session.scalar(KEY_LEAF, where)
    between = (await session.execute(LEAVES_BETWEEN, where)).scalars().all()
    plans = merkle.inclusion_plan(index, head["size"]), merkle.inclusion_plan(key_index, head["size"])
    nodes = await _nodes(session, origin, [*plans[0], *plans[1]])
    count = json.loads(row["data"])["events"]
    events = (await session.execute(EVENTS, {"turn": row["turn"], "count": count})).scalars().all()
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
    )


async def _nodes(session: AsyncSession, origin: str, spans: list[Span]) -> dict[Coordinate, bytes]:
    levels, indices = logs.columns(spans)
    rows = await session.execute(NODES, {"origin": origin, "levels": levels, "indices": indices})
    return {(level, index): hashed for level, index, hashed in rows}


TURN = text("""
SELECT t.turn, t.principal, t.outcome, e.origin, e.idx, e.data, e.signature, e.key_idx, l.anchored
FROM core.turn t
LEFT JOIN audit.entry e ON e.tenant = t.tenant AND e.turn = t.turn
LEFT JOIN audit.log l ON l.origin = e.origin
WHERE t.turn = :turn
""")
COVERING_HEAD = text("""
SELECT c.size, c.note, k.vkeys FROM audit.checkpoint c
JOIN audit.verifier_key k ON k.origin = c.origin AND k.signer = c.signer
WHERE c.origin = :origin AND c.size > :idx ORDER BY c.size LIMIT 1
""")
KEY_LEAF = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :key")
LEAVES_BETWEEN = text("""
SELECT hash FROM audit.node
WHERE origin = :origin AND level = 0 AND idx > :key AND idx < :idx ORDER BY idx
""")
NODES: TextClause = text("""
SELECT n.level, n.idx, n.hash FROM audit.node n
JOIN unnest(:levels, :indices) AS wanted (level, idx)
  ON n.origin = :origin AND n.level = wanted.level AND n.idx = wanted.idx
""").bindparams(bindparam("levels", type_=ARRAY(INTEGER)), bindparam("indices", type_=ARRAY(BIGINT)))
EVENTS = text("SELECT data FROM core.event WHERE turn = :turn AND seq < :count ORDER BY seq")

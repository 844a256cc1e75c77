"""Receipts as the turn's tenant sees them, and the background work that makes them: sealer, reaper, head copies."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import (
    Added,
    AuditPolicy,
    Consistency,
    NotSealed,
    NotYours,
    PinnedLog,
    Receipt,
    Settings,
    Stamped,
    State,
    addenda,
    logs,
    merkle,
    proofs,
    rollback,
    tombstones,
)
from aibox.audit.heads import CHECK_SECONDS, HeadCopies, HeadRefused
from aibox.audit.nodes import stored_nodes
from aibox.audit.reaper import Reaper
from aibox.audit.receipts import Opening
from aibox.audit.sealer import Sealer
from aibox.audit.signing import HeadKeys
from aibox.audit.tiles import Tile, TileCopies, stored_tile
from aibox.audit.timestamps import Timestamps
from aibox.audit.turns import Artifacts, Row, visible
from aibox.audit.verifier.form import MAX_BYTES
from aibox.audit.witnesses import Witnesses
from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import AuditUnavailable, BootRefused, NotFound, StateUnavailable, TooLarge, ValidationFailed
from aibox.core.keyring import Ring
from aibox.core.keys import DataKeys
from aibox.core.tasks import beside
from aibox.core.turn import Turn
from aibox.stores import Objects

log = structlog.get_logger("aibox.audit")

LOOK_SECONDS = 0.05
"""How often `wait_sealed` looks for a seal that another replica may have made."""

COPY_SECONDS = 1.0
"""How far the external copy may lag: a write-once copy of every head of a busy log would cost more than its turns."""

RETRY_SECONDS = 5.0
REAPS_A_LEASE = 6


class Audit:
    """The implementation of `Receipts`. `host` begins the origins of new logs; `build` and `policy` enter envelopes.

    Without `witnesses` nobody is asked to cosign heads, without `timestamps` nobody to stamp them.
    """

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
        witnesses: Witnesses | None = None,
        timestamps: Timestamps | None = None,
    ) -> None:
        self._witnesses = witnesses
        self._timestamps = timestamps
        self._quorum = settings.witness_quorum
        self._connections = connections
        self._db = db
        self._artifacts = Artifacts(db, keys)
        host = settings.origin or host
        if not re.fullmatch(r"[!-*,-~]{1,200}", host):
            raise BootRefused(
                "boot_settings", "Set AIBOX_AUDIT_ORIGIN to a plain host name: it begins every log's name."
            )
        self.copies = HeadCopies(connections, objects, lock_days=settings.object_lock_days)
        self._tiles = TileCopies(connections, objects)
        self._head_keys = HeadKeys(ring)
        self.sealer = Sealer(connections, self._head_keys, self.copies, host=host, build=build, policy=policy)
        self.reaper = Reaper(
            connections, grace_seconds=settings.grace_seconds, every_seconds=settings.lease_seconds / REAPS_A_LEASE
        )

    async def require_no_rollback(self, tenant: UUID) -> None:
        """Raise `BootRefused` (`boot_log_rollback`, B11) for a log that is behind its copy or a witness."""
        await rollback.require_none(self._connections, self.copies, self._witnesses, tenant)

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Seal, reap and copy heads out until the block ends."""
        async with self.sealer.run(tasks), self.reaper.run(tasks), contextlib.AsyncExitStack() as stack:
            if self._witnesses is not None:
                await stack.enter_async_context(self._witnesses.run(tasks))
            if self._timestamps is not None:
                await stack.enter_async_context(self._timestamps.run(tasks))
            async with beside(tasks, {"audit.copy_out": self._copy_out(), "audit.compare": self._compare()}):
                yield

    async def receipt(self, turn: Turn, turn_id: UUID) -> Receipt:
        async with self._db.read(turn) as session:
            row = await visible(session, turn, turn_id)
            added = (await session.execute(ADDED, {"turn": turn_id})).mappings().all() if row["is_added_to"] else ()
        return _summary(row, added)

    async def proof(
        self, turn: Turn, turn_id: UUID, *, opened: bool = False, pin: int | None = None, pin_log: str | None = None
    ) -> bytes:
        async with self._db.read(turn) as session:
            row = await self._sealed(session, turn, turn_id)
            if opened and row["principal"] != turn.principal.pseudonym:
                raise NotYours()
            events = await _events(session, row)
            late = await addenda.proofs(session, turn_id) if row["is_added_to"] else []
        said = dict(enumerate(events))
        for first, addendum in late:
            said |= dict(enumerate(addendum.events, first))
        openings = await self._open(turn, turn_id, said) if opened else ()
        async with self._db.read(turn) as session:
            made = await proofs.bundle(
                session,
                row,
                events,
                openings,
                pin=pin,
                pin_log=pin_log,
                quorum=self._quorum,
                erasures=await tombstones.erasures(session, said),
                addenda=[addendum for _, addendum in late],
            )
        if len(made) > MAX_BYTES:
            raise TooLarge("With its contents opened this receipt is larger than the 64 MiB that a verifier reads.")
        return made

    async def tlog_proof(self, turn: Turn, turn_id: UUID) -> str:
        async with self._db.read(turn) as session:
            row = await self._sealed(session, turn, turn_id)
            return await proofs.tlog_proof(session, row)

    async def cose_receipt(self, turn: Turn, turn_id: UUID) -> bytes:
        async with self._db.read(turn) as session:
            row = await self._sealed(session, turn, turn_id)
            return await proofs.cose_receipt(session, row, self._head_keys)

    async def _sealed(self, session: AsyncSession, turn: Turn, turn_id: UUID) -> Row:
        row = await visible(session, turn, turn_id)
        if row["idx"] is None:
            reason = self.copies.why_not(turn.tenant)
            raise AuditUnavailable(reason) if reason else NotSealed()
        return row

    async def _open(self, turn: Turn, turn_id: UUID, events: Mapping[int, bytes]) -> list[Opening]:
        """Every artifact of these numbered events of the turn that was not erased."""
        stated = [
            (number, place, art)
            for number, data in events.items()
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
                    async with asyncio.timeout(min(left, LOOK_SECONDS)):
                        await sealed.wait()
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
            pinned = tuple(PinnedLog(origin=origin, vkeys=tuple(vkeys)) for origin, vkeys in rows)
        if self._witnesses is None or not self._witnesses.known:
            return AuditPolicy(logs=pinned)
        return AuditPolicy(logs=pinned, witnesses=self._witnesses.vkeys, quorum=self._quorum)

    async def checkpoint(self, turn: Turn, log_id: str) -> str:
        async with self._db.read(turn) as session:
            note = await session.scalar(text("SELECT checkpoint FROM audit.log WHERE id = :id"), {"id": log_id})
        if note is None:
            raise NotFound()
        return str(note)

    async def tile(self, turn: Turn, log_id: str, path: str) -> bytes:
        async with self._db.read(turn) as session:
            return await stored_tile(session, log_id, Tile.parse(path))

    async def stamps(self, turn: Turn, log_id: str) -> Sequence[Stamped]:
        async with self._db.read(turn) as session:
            rows = (await session.execute(STAMPS, {"id": log_id})).all()
        return [Stamped(size=size, at=at.astimezone(UTC).isoformat().replace("+00:00", "Z")) for size, at in rows]

    async def stamp(self, turn: Turn, log_id: str, size: int) -> bytes:
        async with self._db.read(turn) as session:
            reply = await session.scalar(STAMP, {"id": log_id, "size": size})
        if reply is None:
            raise NotFound()
        return bytes(reply)

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
                    await self._tiles.publish(head)
                    await self.copies.copy_out(head)

    async def _compare(self) -> None:
        """At the start and every minute: that a log is older than its copy is known before a turn asks for a seal."""
        while True:
            try:
                await self.copies.look()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.not_compared", error=type(error).__name__)
            except Exception:
                # Every log relies on the next look, whatever was wrong with this one.
                log.exception("audit.compare_broke")
            await asyncio.sleep(CHECK_SECONDS)

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
            except Exception:
                # The other logs' heads rely on being copied, whatever was wrong with this one's.
                log.exception("audit.copy_broke")
                await asyncio.sleep(RETRY_SECONDS)


def _state(row: Row | RowMapping) -> State:
    """How far the entry is that `row` names, a turn's or an addendum's."""
    if row["idx"] is None:
        return "open"
    if row["idx"] < row["witnessed"]:
        return "witnessed"
    return "anchored" if row["idx"] < row["anchored"] else "sealed"


def _summary(row: Row, added: Sequence[RowMapping]) -> Receipt:
    if row["idx"] is None:
        return Receipt(turn_id=row["turn"], state="open", outcome=row["outcome"])
    entry = json.loads(row["data"])
    return Receipt(
        turn_id=row["turn"],
        state=_state(row),
        outcome=entry["outcome"],
        log=row["origin"],
        idx=row["idx"],
        events=entry["events"],
        root=entry["root"],
        sealed_at=datetime.fromtimestamp(entry["sealed_us"] / 1_000_000, UTC).isoformat().replace("+00:00", "Z"),
        addenda=tuple(
            Added(first=one["first"], events=one["events"], state=_state(one), log=one["origin"], idx=one["idx"])
            for one in added
        ),
    )


async def _events(session: AsyncSession, row: Row) -> Sequence[bytes]:
    count = json.loads(row["data"])["events"]
    return (await session.execute(EVENTS, {"turn": row["turn"], "count": count})).scalars().all()


SIZE = text("SELECT origin, size FROM audit.log WHERE id = :id")
ADDED = text("""
SELECT a.first, a.events, a.origin, a.idx, l.anchored, l.witnessed
FROM audit.addendum a LEFT JOIN audit.log l ON l.origin = a.origin WHERE a.turn = :turn ORDER BY a.first
""")
STAMPS = text("""
SELECT s.size, s.at FROM audit.stamp s JOIN audit.log l USING (origin) WHERE l.id = :id ORDER BY s.size DESC LIMIT 1000
""")
STAMP = text("SELECT s.reply FROM audit.stamp s JOIN audit.log l USING (origin) WHERE l.id = :id AND s.size = :size")
EVENTS = text("SELECT data FROM core.event WHERE turn = :turn AND seq < :count ORDER BY seq")

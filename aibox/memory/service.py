"""Memories: rows in PostgreSQL are the truth, the index finds them, and a failing embedder loses nothing."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import AIBoxError, Conflict, Forbidden, NotFound, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.memory import MAX_CONTENT, Change, Kind, Memory, MemoryOp, MemoryType, Recall, Settings, Visibility
from aibox.memory.index import Index
from aibox.memory.models import HistoryRow, MemoryRow
from aibox.memory.observe import statements
from aibox.memory.recall import block, fuse, order, within_budget
from aibox.router import ModelRouter
from aibox.stores import Vectors

log = structlog.get_logger("aibox.memory")

RECALL_SECONDS = 10.0
"""A prompt waits no longer for the embedder; then the most recent memories do."""

CANDIDATES = 4
"""Each ranking brings so many times what is asked for."""

SWEEP_SECONDS = 60.0
SWEEP_BATCH = 50

Found = list[Memory]
"""In the class, `list` is the method."""


Scrub = Callable[[Turn, str], Awaitable[str]]


class MemoryService:
    """`Memories` of mem0 on our vectors. `folder` is mem0's own, in the data folder."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        db: Database,
        connections: Connections,
        log: EventLog,
        vectors: Vectors,
        router: ModelRouter,
        scrub: Scrub,
    ) -> None:
        """`scrub` is the guardrail's: what is kept has passed it."""
        self._settings = settings
        self._db = db
        self._connections = connections
        self._log = log
        self._scrub = scrub
        self._index = Index(folder, settings.collection, router=router, vectors=vectors)
        self._waiting = asyncio.Event()

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load mem0 beside the start, and index what could not be when it was stored."""
        async with self._index.run():
            sweeping = tasks.create_task(self._sweep_forever(), name="memory.sweep")
            try:
                yield
            finally:
                sweeping.cancel()

    async def recall(self, turn: Turn, text: str) -> Recall:
        found: Sequence[Memory] = []
        degraded = False
        if text.strip():
            try:
                async with asyncio.timeout(RECALL_SECONDS):
                    found = await self._find(turn, text, limit=self._settings.limit)
            except (AIBoxError, TimeoutError) as error:
                log.warning("memory.degraded", error=type(error).__name__)
                found = await self.list(turn, limit=self._settings.limit)
                degraded = True
        memories = within_budget(found, tokens=self._settings.token_budget)
        await self._log.log(turn, _op("recall", [memory.id for memory in memories], degraded=degraded))
        return Recall(memories=memories, context=block(memories), degraded=degraded)

    async def observe(self, turn: Turn, text: str) -> list[Memory]:
        return [await self.store(turn, content, kind=kind) for content, kind in statements(text)]

    async def store(
        self,
        turn: Turn,
        content: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
    ) -> Memory:
        content = _require_content(await self._scrub(turn, _require_content(content)))
        if visibility != "private" and not turn.principal.may("memory.share"):
            raise Forbidden("You may not share memories.")
        now = datetime.now(UTC)
        async with self._db.work(turn) as work:
            row: MemoryRow | None = await work.session.scalar(
                insert(MemoryRow)
                .values(
                    tenant=turn.tenant,
                    id=uuid7(),
                    user_id=turn.principal.id,
                    content=content,
                    digest=_digest(content),
                    memory_type=memory_type,
                    kind=kind,
                    visibility=visibility,
                    created_at=now,
                    updated_at=now,
                    is_indexed=False,
                )
                # Said again: it is the same memory, and fresh again.
                .on_conflict_do_update(index_elements=["tenant", "user_id", "digest"], set_={"updated_at": now})
                .returning(MemoryRow)
            )
            assert row is not None
            if row.created_at == now:
                work.session.add(_history(turn, row, "store", now))
            work.record(_op("store", [row.id]))
        await self._try_to_index(turn, row)
        return row.value()

    async def search(self, turn: Turn, query: str, *, limit: int = 8) -> list[Memory]:
        if not query.strip():
            return []
        return await self._find(turn, query, limit=limit)

    async def list(self, turn: Turn, *, limit: int = 50, before: UUID | None = None) -> Sequence[Memory]:
        query = _own(turn).order_by(MemoryRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(MemoryRow.id < before)
        async with self._db.read(turn) as session:
            return [row.value() for row in await session.scalars(query)]

    async def get(self, turn: Turn, memory_id: UUID) -> Memory:
        async with self._db.read(turn) as session:
            row = await session.scalar(_own(turn).where(MemoryRow.id == memory_id))
        if row is None:
            raise NotFound()
        return row.value()

    async def history(self, turn: Turn, memory_id: UUID) -> Sequence[Change]:
        await self.get(turn, memory_id)
        query = select(HistoryRow).where(HistoryRow.tenant == turn.tenant, HistoryRow.memory_id == memory_id)
        async with self._db.read(turn) as session:
            rows = await session.scalars(query.order_by(HistoryRow.id))
            return [
                Change(op="store" if row.op == "store" else "update", content=row.content, at=row.at) for row in rows
            ]

    async def update(self, turn: Turn, memory_id: UUID, content: str) -> Memory:
        await self.get(turn, memory_id)
        content = _require_content(await self._scrub(turn, _require_content(content)))
        now = datetime.now(UTC)
        async with self._db.work(turn) as work:
            row = await work.session.scalar(_own(turn).where(MemoryRow.id == memory_id).with_for_update())
            if row is None:
                raise NotFound()
            same = _own(turn).where(MemoryRow.digest == _digest(content), MemoryRow.id != memory_id)
            if await work.session.scalar(same) is not None:
                raise Conflict("You already have this memory.")
            row.content, row.digest, row.updated_at, row.is_indexed = content, _digest(content), now, False
            work.session.add(_history(turn, row, "update", now))
            work.record(_op("update", [row.id]))
        await self._try_to_index(turn, row)
        return row.value()

    async def delete(self, turn: Turn, memory_id: UUID) -> None:
        await self.get(turn, memory_id)
        # The vector first: a row without a vector can be deleted again, a vector without a row would stay.
        await self._index.remove(turn, turn.principal.id, id=memory_id)
        async with self._db.work(turn) as work:
            await work.session.execute(
                delete(MemoryRow).where(
                    MemoryRow.tenant == turn.tenant,
                    MemoryRow.user_id == turn.principal.id,
                    MemoryRow.id == memory_id,
                )
            )
            work.record(_op("delete", [memory_id]))

    async def erase(self, turn: Turn) -> int:
        await self._index.remove(turn, turn.principal.id)
        own = (MemoryRow.tenant == turn.tenant, MemoryRow.user_id == turn.principal.id)
        async with self._db.work(turn) as work:
            count = await work.session.scalar(select(func.count()).select_from(MemoryRow).where(*own)) or 0
            await work.session.execute(delete(MemoryRow).where(*own))
            work.record(MemoryOp(op="erase", count=count))
        return count

    async def _find(self, turn: Turn, query: str, *, limit: int) -> Found:
        """By meaning and by words, fused, the newer a little higher."""
        user = turn.principal.id
        try:
            near, worded = await asyncio.gather(
                self._index.nearest(turn, user, query, limit=limit * CANDIDATES, threshold=self._settings.threshold),
                self._index.having_words(turn, user, query, limit=limit * CANDIDATES),
            )
        except Conflict:
            await self._rebuild()
            raise StateUnavailable("The memory index is being rebuilt; try again shortly.") from None
        scores = fuse(list(near), worded)
        async with self._db.read(turn) as session:
            # The rows decide: what was deleted, or is not the user's, is not there.
            rows = (await session.scalars(_own(turn).where(MemoryRow.id.in_(scores)))).all()
        memories = [row.value(score=round(near.get(row.id, 0.0), 4)) for row in rows]
        return order(memories, scores, now=datetime.now(UTC))[:limit]

    async def _try_to_index(self, turn: Turn, row: MemoryRow) -> None:
        """Index the row now, or leave it to the sweep. The row is kept already, so the caller need not know."""
        if row.is_indexed:
            return
        try:
            await self._index_row(turn, row)
        except AIBoxError as error:
            log.warning("memory.not_indexed", error=type(error).__name__)

    async def _index_row(self, turn: Turn, row: MemoryRow) -> None:
        try:
            await self._index.add(turn, row)
        except Conflict:
            await self._rebuild()
            await self._index.add(turn, row)
        await self._system(
            "UPDATE memory.memory SET is_indexed = true WHERE tenant = $1 AND id = $2 AND digest = $3",
            turn.tenant,
            row.id,
            row.digest,
        )

    async def _rebuild(self) -> None:
        """The embedder makes vectors of another size now: the sweep indexes everything anew."""
        log.warning("memory.rebuild", collection=self._index.collection)
        await self._index.drop()
        await self._system("UPDATE memory.memory SET is_indexed = false WHERE is_indexed")
        self._waiting.set()

    async def _sweep_forever(self) -> None:
        while True:
            try:
                while await self.sweep():
                    pass
            except Exception as error:
                # The TaskGroup relies on it: one failed sweep must not stop the server; the next tries again.
                log.warning(
                    "memory.sweep_failed", error=type(error).__name__, exc_info=not isinstance(error, AIBoxError)
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.wait(), SWEEP_SECONDS)
            self._waiting.clear()

    async def sweep(self) -> int:
        """Index a batch of what waits; the number indexed. Raises what embedder and vectors raise."""
        try:
            waiting = await self._connections.system.fetch(
                "SELECT tenant, id FROM memory.memory WHERE NOT is_indexed ORDER BY id LIMIT $1", SWEEP_BATCH
            )
        except LOST:
            raise StateUnavailable() from None
        for found in waiting:
            turn = system_turn(found["tenant"])
            async with self._db.read(turn) as session:
                row = await session.get(MemoryRow, (found["tenant"], found["id"]))
            try:
                if row is not None:
                    await self._index_row(turn, row)
            finally:
                await self._log.end(turn, "sealed")
        return len(waiting)

    async def _system(self, statement: str, *arguments: object) -> None:
        try:
            await self._connections.system.execute(statement, *arguments)
        except (*LOST, asyncpg.PostgresError):
            raise StateUnavailable() from None


def _own(turn: Turn) -> Select[MemoryRow]:
    return select(MemoryRow).where(MemoryRow.tenant == turn.tenant, MemoryRow.user_id == turn.principal.id)


def _history(turn: Turn, row: MemoryRow, op: str, at: datetime) -> HistoryRow:
    return HistoryRow(tenant=turn.tenant, id=uuid7(), memory_id=row.id, op=op, content=row.content, at=at)


def _op(op: str, ids: Collection[UUID], *, degraded: bool = False) -> MemoryOp:
    return MemoryOp(op=op, count=len(ids), ids=tuple(str(id) for id in ids), degraded=degraded)


def _require_content(content: str) -> str:
    content = content.replace("\x00", "").strip()
    if not content or len(content) > MAX_CONTENT:
        raise ValidationFailed(fields=[{"field": "content", "error": f"1 to {MAX_CONTENT} characters"}])
    return content


def _digest(content: str) -> bytes:
    return hashlib.sha256(" ".join(content.casefold().split()).encode("utf-8", "replace")).digest()

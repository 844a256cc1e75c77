"""Memories: rows in PostgreSQL are the truth, the index finds them, and a failing embedder loses nothing."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import Select, Uuid, any_, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import AIBoxError, Conflict, Forbidden, NotFound, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.memory import (
    EVERYWHERE,
    MAX_CONTENT,
    Change,
    Exported,
    Kind,
    Match,
    Memory,
    MemoryOp,
    MemoryType,
    Noticed,
    Recall,
    Scope,
    Settings,
    Visibility,
)
from aibox.memory.consolidate import Group, Merge, ask_for_merges
from aibox.memory.index import Index, Readable
from aibox.memory.models import HistoryRow, MemoryRow, SwitchRow
from aibox.memory.observe import statements
from aibox.memory.recall import block, fuse, line, order, within_budget
from aibox.router import ModelRouter, RoleNotConfigured
from aibox.stores import Vectors

log = structlog.get_logger("aibox.memory")

RECALL_SECONDS = 10.0
"""A prompt waits no longer for the embedder; then the most recent memories do."""

CANDIDATES = 4
"""Each ranking brings so many times what is asked for."""

CONSOLIDATED = 100
"""So many of the newest memories of a scope are shown to the model at once."""

SWEEP_SECONDS = 60.0
SWEEP_BATCH = 50

Found = list[Memory]
"""In the class, `list` is the method."""
Changes = list[Change]


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
        self._router = router
        self._index = Index(folder, settings.collection, router=router, vectors=vectors)
        self._waiting = asyncio.Event()

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load mem0 beside the start, and index what could not be when it was stored."""
        async with self._index.run():
            duties = [
                tasks.create_task(self._sweep_forever(), name="memory.sweep"),
                tasks.create_task(self._consolidate_forever(), name="memory.consolidate"),
            ]
            try:
                yield
            finally:
                for duty in duties:
                    duty.cancel()

    async def recall(self, turn: Turn, text: str) -> Recall:
        if await self.is_off(turn):
            return Recall()
        found: Sequence[Memory] = []
        degraded = False
        who = _readable(turn, _here(turn))
        if text.strip():
            try:
                async with asyncio.timeout(RECALL_SECONDS):
                    found = await self._find(turn, who, text, limit=self._settings.limit)
            except (AIBoxError, TimeoutError) as error:
                log.warning("memory.degraded", error=type(error).__name__)
                found = await self._recent(turn, who, limit=self._settings.limit)
                degraded = True
        memories = within_budget(found, tokens=self._settings.token_budget)
        await self._log.log(turn, _op("recall", [memory.id for memory in memories], degraded=degraded))
        return Recall(memories=memories, lines=tuple(map(line, memories)), degraded=degraded)

    def context(self, lines: Sequence[str]) -> str:
        return block(lines)

    async def observe(self, turn: Turn, text: str) -> list[Memory]:
        return [
            await self.store(turn, said.content, kind=said.kind, memory_type=said.memory_type)
            for said in await self.noticed(turn, text)
        ]

    async def noticed(self, turn: Turn, text: str) -> Sequence[Noticed]:
        return [] if await self.is_off(turn) else statements(text)

    async def store(
        self,
        turn: Turn,
        content: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
        scope: Scope = EVERYWHERE,
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
                    agent_id=scope.agent_id,
                    session_id=scope.session_id,
                )
                # Said again: it is the same memory, and fresh again.
                .on_conflict_do_update(
                    index_elements=["tenant", "user_id", "agent_id", "session_id", "digest"], set_={"updated_at": now}
                )
                .returning(MemoryRow)
            )
            assert row is not None
            if row.created_at == now:
                work.session.add(_history(turn, row, "store", now))
            work.record(_op("store", [row.id]))
        await self._try_to_index(turn, row)
        return row.value()

    async def extract(
        self,
        turn: Turn,
        text: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
        scope: Scope = EVERYWHERE,
    ) -> Sequence[Memory]:
        found = await self._index.extract(turn, turn.principal.id, _require_content(text))
        return [
            await self.store(turn, one, memory_type=memory_type, kind=kind, visibility=visibility, scope=scope)
            for one in found
            if one.strip()
        ]

    async def search(self, turn: Turn, query: str, *, limit: int = 8, scope: Scope = EVERYWHERE) -> list[Memory]:
        if not query.strip():
            return []
        return await self._find(turn, _readable(turn, _narrowed(scope)), query, limit=limit)

    async def list(
        self, turn: Turn, *, limit: int = 50, before: UUID | None = None, scope: Scope = EVERYWHERE
    ) -> Sequence[Memory]:
        query = _within(_own(turn), _narrowed(scope)).order_by(MemoryRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(MemoryRow.id < before)
        async with self._db.read(turn) as session:
            return [row.value() for row in await session.scalars(query)]

    async def get(self, turn: Turn, memory_id: UUID) -> Memory:
        async with self._db.read(turn) as session:
            row = await session.scalar(_visible(_readable(turn, {}), turn).where(MemoryRow.id == memory_id))
        if row is None:
            raise NotFound()
        return row.value()

    async def history(self, turn: Turn, memory_id: UUID) -> Sequence[Change]:
        await self._require_own(turn, memory_id)
        query = select(HistoryRow).where(HistoryRow.tenant == turn.tenant, HistoryRow.memory_id == memory_id)
        async with self._db.read(turn) as session:
            rows = await session.scalars(query.order_by(HistoryRow.id))
            return [row.value() for row in rows]

    async def export(self, turn: Turn) -> Sequence[Exported]:
        changes: dict[UUID, Changes] = {}
        async with self._db.read(turn) as session:
            rows = (await session.scalars(_own(turn).order_by(MemoryRow.id))).all()
            told = select(HistoryRow).join(MemoryRow, HistoryRow.memory_id == MemoryRow.id)
            told = told.where(HistoryRow.tenant == turn.tenant, MemoryRow.user_id == turn.principal.id)
            for row in await session.scalars(told.order_by(HistoryRow.id)):
                changes.setdefault(row.memory_id, []).append(row.value())
        return [Exported(memory=row.value(), history=tuple(changes.get(row.id, ()))) for row in rows]

    async def is_off(self, turn: Turn) -> bool:
        return await self._has_switched_off(turn, turn.principal.id)

    async def _has_switched_off(self, turn: Turn, user: UUID) -> bool:
        rows = await self._db.ask(turn, "memory.switched_off", user)
        return any(row["is_off"] for row in rows)

    async def switch(self, turn: Turn, *, off: bool) -> None:
        wanted = {"tenant": turn.tenant, "user_id": turn.principal.id, "is_off": off}
        async with self._db.work(turn) as work:
            await work.session.execute(
                insert(SwitchRow)
                .values(wanted)
                .on_conflict_do_update(index_elements=["tenant", "user_id"], set_={"is_off": off})
            )
            work.record(MemoryOp(op="off" if off else "on", count=0))

    async def update(self, turn: Turn, memory_id: UUID, content: str) -> Memory:
        await self._require_own(turn, memory_id)
        content = _require_content(await self._scrub(turn, _require_content(content)))
        now = datetime.now(UTC)
        async with self._db.work(turn) as work:
            row = await work.session.scalar(_own(turn).where(MemoryRow.id == memory_id).with_for_update())
            if row is None:
                raise NotFound()
            same = _own(turn).where(
                MemoryRow.digest == _digest(content),
                MemoryRow.id != memory_id,
                MemoryRow.agent_id == row.agent_id,
                MemoryRow.session_id == row.session_id,
            )
            if await work.session.scalar(same) is not None:
                raise Conflict("You already have this memory.")
            row.content, row.digest, row.updated_at, row.is_indexed = content, _digest(content), now, False
            work.session.add(_history(turn, row, "update", now))
            work.record(_op("update", [row.id]))
        await self._try_to_index(turn, row)
        return row.value()

    async def delete(self, turn: Turn, memory_id: UUID) -> None:
        await self._require_own(turn, memory_id)
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
        await self._index.remove(turn, turn.principal.id, id=memory_id)  # one that was just being indexed

    async def erase(self, turn: Turn) -> int:
        await self._index.remove(turn, turn.principal.id)
        own = (MemoryRow.tenant == turn.tenant, MemoryRow.user_id == turn.principal.id)
        async with self._db.work(turn) as work:
            count = await work.session.scalar(select(func.count()).select_from(MemoryRow).where(*own)) or 0
            await work.session.execute(delete(MemoryRow).where(*own))
            work.record(MemoryOp(op="erase", count=count))
        await self._index.remove(turn, turn.principal.id)  # those that were just being indexed
        return count

    async def _require_own(self, turn: Turn, memory_id: UUID) -> None:
        async with self._db.read(turn) as session:
            if await session.scalar(_own(turn).where(MemoryRow.id == memory_id)) is None:
                raise NotFound()

    async def _find(self, turn: Turn, who: Readable, query: str, *, limit: int) -> Found:
        """By meaning and by words, fused, the newer a little higher."""
        most = limit * CANDIDATES
        worded_soon = asyncio.ensure_future(self._index.having_words(turn, who, query, limit=most))
        try:
            vector = await self._index.embed(turn, query)
            near = await self._index.nearest(turn, who, vector, limit=most, threshold=self._settings.threshold)
            worded = await worded_soon
        except Conflict:
            await self._rebuild()
            raise StateUnavailable("The memory index is being rebuilt; try again shortly.") from None
        finally:
            worded_soon.cancel()
        scores = fuse(list(near), worded)
        async with self._db.read(turn) as session:
            # The rows decide: what was deleted, is not the user's, or is out of scope, is not there.
            is_found = MemoryRow.id == any_(literal(list(scores), ARRAY(Uuid)))
            rows = (await session.scalars(_visible(who, turn).where(is_found))).all()
        by_words = set(worded)
        memories = [
            row.value(score=round(near.get(row.id, 0.0), 4), matched=_matched(row.id in near, row.id in by_words))
            for row in rows
        ]
        return order(memories, scores, now=datetime.now(UTC))[:limit]

    async def _recent(self, turn: Turn, who: Readable, *, limit: int) -> Found:
        query = _visible(who, turn).order_by(MemoryRow.updated_at.desc()).limit(limit)
        async with self._db.read(turn) as session:
            return [row.value(matched=("recent",)) for row in await session.scalars(query)]

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
        async with self._db.read(turn) as session:
            if await session.get(MemoryRow, (turn.tenant, row.id)) is None:  # deleted while it was being indexed
                await self._index.remove(turn, row.user_id, id=row.id)

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
                async with asyncio.timeout(SWEEP_SECONDS):  # not `wait_for`, as in core/jobs.py
                    await self._waiting.wait()
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

    async def _consolidate_forever(self) -> None:
        while True:
            await asyncio.sleep(_seconds_until(self._settings.consolidate_at, datetime.now(UTC)))
            try:
                await self.consolidate()
            except Exception as error:
                # The TaskGroup relies on it: one failed night must not stop the server; the next tries again.
                log.warning(
                    "memory.consolidation_failed",
                    error=type(error).__name__,
                    exc_info=not isinstance(error, AIBoxError),
                )

    async def consolidate(self) -> int:
        """Let the role `memory` merge what says the same in each person's memories; the number merged away.

        Nothing happens where nothing is new, and without the role. What goes wrong with one person's memories is for
        the next night. Raises `StateUnavailable`.
        """
        merged = 0
        for group in await self._groups():
            turn = system_turn(group.tenant)
            try:
                merged += await self._consolidate(turn, group)
            except RoleNotConfigured:
                return merged
            except StateUnavailable:
                raise
            except Exception as error:
                # All others rely on it: what one person's memories make of the model must not end the night for them.
                log.warning(
                    "memory.not_consolidated",
                    error=type(error).__name__,
                    exc_info=not isinstance(error, AIBoxError),
                )
            finally:
                await self._log.end(turn, "sealed")
        return merged

    async def _groups(self) -> Sequence[Group]:
        """Scopes that have news and something to merge it with."""
        rows = await self._connections.system.fetch(
            "SELECT tenant, user_id, agent_id, session_id FROM memory.memory WHERE visibility = 'private'"
            " GROUP BY 1, 2, 3, 4"
            " HAVING count(*) > 1 AND bool_or(consolidated_at IS NULL OR consolidated_at < updated_at)"
        )
        return [Group(row["tenant"], row["user_id"], row["agent_id"], row["session_id"]) for row in rows]

    async def _consolidate(self, turn: Turn, group: Group) -> int:
        if await self._has_switched_off(turn, group.user_id):
            return 0
        async with self._db.read(turn) as session:
            rows = (await session.scalars(_in_group(group))).all()
        merges = await ask_for_merges(self._router, turn, [row.content for row in rows])
        count = 0
        for merge in merges:
            chosen = [rows[number] for number in merge.numbers]
            count += await self._merge(turn, group, chosen, merge)
        await self._system(
            "UPDATE memory.memory SET consolidated_at = now() WHERE tenant = $1 AND id = ANY($2)",
            group.tenant,
            [row.id for row in rows],
        )
        return count

    async def _merge(self, turn: Turn, group: Group, chosen: Sequence[MemoryRow], merge: Merge) -> int:
        """Put what `chosen` say into the oldest; its history keeps their words.

        Nothing when one changed meanwhile, or when another memory says the same already.
        """
        content = _require_content(await self._scrub(turn, merge.content))
        kept, *others = sorted(chosen, key=lambda row: row.id)
        for row in others:
            await self._index.remove(turn, group.user_id, id=row.id)
        now = datetime.now(UTC)
        async with self._db.work(turn) as work:
            ids = [row.id for row in chosen]
            locked = (await work.session.scalars(_in_group(group).where(MemoryRow.id.in_(ids)).with_for_update())).all()
            taken = _of_group(group).where(MemoryRow.digest == _digest(content), MemoryRow.id.not_in(ids))
            is_said = await work.session.scalar(taken) is not None
            if is_said or {row.digest for row in locked} != {row.digest for row in chosen}:
                for changed in locked:
                    changed.is_indexed = False  # their vectors may be gone
                return 0
            (row,) = (row for row in locked if row.id == kept.id)
            for other in others:
                work.session.add(_history(turn, row, "merge", now, content=other.content))
            await work.session.execute(
                delete(MemoryRow).where(MemoryRow.tenant == turn.tenant, MemoryRow.id.in_([o.id for o in others]))
            )
            row.content, row.digest, row.updated_at, row.is_indexed = content, _digest(content), now, False
            work.session.add(_history(turn, row, "merge", now))
            work.record(_op("merge", [row.id, *(other.id for other in others)]))
        await self._try_to_index(turn, row)
        return len(others)

    async def _system(self, statement: str, *arguments: object) -> None:
        try:
            await self._connections.system.execute(statement, *arguments)
        except (*LOST, asyncpg.PostgresError):
            raise StateUnavailable() from None


def _own(turn: Turn) -> Select[MemoryRow]:
    return select(MemoryRow).where(MemoryRow.tenant == turn.tenant, MemoryRow.user_id == turn.principal.id)


def _visible(who: Readable, turn: Turn) -> Select[MemoryRow]:
    """The rows that a search may show."""
    query = select(MemoryRow).where(
        MemoryRow.tenant == turn.tenant,
        or_(MemoryRow.user_id == who.user, MemoryRow.visibility.in_(who.shared)),
    )
    return _within(query, who.narrowed)


def _within(query: Select[MemoryRow], narrowed: Mapping[str, Sequence[str]]) -> Select[MemoryRow]:
    columns = {"agent": MemoryRow.agent_id, "session": MemoryRow.session_id}
    return query.where(*(columns[field].in_(values) for field, values in narrowed.items()))


def _readable(turn: Turn, narrowed: dict[str, list[str]]) -> Readable:
    """What the turn's user may read: their own, and what their permissions add."""
    shared = tuple(name for name in ("team", "org") if turn.principal.may(f"memory.read_{name}"))
    return Readable(turn.principal.id, shared, narrowed)


def _here(turn: Turn) -> dict[str, list[str]]:
    """For the turn's agent and conversation: theirs, and what is in no scope."""
    return {
        "agent": list({"", turn.agent}),
        "session": list({"", str(turn.conversation) if turn.conversation else ""}),
    }


def _narrowed(scope: Scope) -> dict[str, list[str]]:
    """For an agent or session by name: theirs alone."""
    asked = {"agent": scope.agent_id, "session": scope.session_id}
    return {field: [value] for field, value in asked.items() if value}


def _in_group(group: Group) -> Select[MemoryRow]:
    """What may be merged: shared memories are left alone."""
    private = _of_group(group).where(MemoryRow.visibility == "private")
    return private.order_by(MemoryRow.updated_at.desc()).limit(CONSOLIDATED)


def _of_group(group: Group) -> Select[MemoryRow]:
    return select(MemoryRow).where(
        MemoryRow.tenant == group.tenant,
        MemoryRow.user_id == group.user_id,
        MemoryRow.agent_id == group.agent_id,
        MemoryRow.session_id == group.session_id,
    )


def _matched(is_near: bool, has_words: bool) -> tuple[Match, ...]:
    reasons: list[Match] = []
    if is_near:
        reasons.append("meaning")
    if has_words:
        reasons.append("words")
    return tuple(reasons)


def _seconds_until(hour: int, now: datetime) -> float:
    then = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return ((then if then > now else then + timedelta(days=1)) - now).total_seconds()


def _history(
    turn: Turn, row: MemoryRow, op: Literal["store", "update", "merge"], at: datetime, *, content: str | None = None
) -> HistoryRow:
    said = row.content if content is None else content
    return HistoryRow(tenant=turn.tenant, id=uuid7(), memory_id=row.id, op=op, content=said, at=at)


def _op(op: str, ids: Collection[UUID], *, degraded: bool = False) -> MemoryOp:
    return MemoryOp(op=op, count=len(ids), ids=tuple(str(id) for id in ids), degraded=degraded)


def _require_content(content: str) -> str:
    content = content.replace("\x00", "").strip()
    if not content or len(content) > MAX_CONTENT:
        raise ValidationFailed(fields=[{"field": "content", "error": f"1 to {MAX_CONTENT} characters"}])
    return content


def _digest(content: str) -> bytes:
    return hashlib.sha256(" ".join(content.casefold().split()).encode("utf-8", "replace")).digest()

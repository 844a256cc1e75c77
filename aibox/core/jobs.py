"""Work that outlives its request: a durable queue in PostgreSQL, with leases, attempts and growing pauses.

    await jobs.enqueue(work, turn, "knowledge-ingest", {"item": str(id)}, dedupe=str(id))

puts a job into the Work's own transaction: it exists if and only if the Work commits. A handler runs in a turn of its
own, at least once, so it must be idempotent. While it runs its lease is renewed; a killed process's jobs run again
elsewhere when the lease is over.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import text

from aibox.core.connections import LOST, Connections
from aibox.core.db import Work
from aibox.core.errors import AIBoxError, Internal, StateUnavailable
from aibox.core.eventlog import EventLog
from aibox.core.events import TurnFailed
from aibox.core.tasks import beside
from aibox.core.turn import Turn, system_turn, uuid7

log = structlog.get_logger("aibox.core.jobs")

WORKERS = 2
ATTEMPTS = 3
POLL_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 10.0
MOST_PAUSE_SECONDS = 600.0
KEPT_DAYS = 14
"""How long a job that is over can be looked at."""

CHANNEL = "aibox_job"


class Job(Struct, frozen=True, kw_only=True):
    """A job as its handler gets it. `attempt` counts from 1."""

    id: UUID
    kind: str
    payload: dict[str, Any]
    attempt: int


class Stalled(AIBoxError):
    """The last attempt's process was killed or hung."""

    code = "job_stalled"
    sentence = "The server stopped while it worked on this; it can be tried again."


Handle = Callable[[Turn, Job], Awaitable[None]]
GaveUp = Callable[[Turn, Job, AIBoxError], Awaitable[None]]


class Kind(Struct, frozen=True):
    """Who does a kind of job, and who hears that its last attempt failed."""

    handle: Handle
    gave_up: GaveUp | None


class Taken(Struct, frozen=True, kw_only=True):
    """A job that is ours until its lease runs out."""

    tenant: UUID
    job: Job
    parent: UUID | None
    is_last: bool
    is_stalled: bool
    """Its last attempt ended without a word and there is none left."""


TAKE = """
UPDATE core.job SET state = 'running', lease_until = now() + make_interval(secs => $2),
    attempt = attempt + CASE WHEN state = 'running' AND attempt >= max_attempts THEN 0 ELSE 1 END
FROM (
    SELECT tenant AS t, id AS i, state = 'running' AND attempt >= max_attempts AS is_stalled FROM core.job
    WHERE kind = ANY ($1) AND ((state = 'pending' AND run_at <= now()) OR (state = 'running' AND lease_until < now()))
    ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
) AS due
WHERE tenant = t AND id = i
RETURNING tenant, id, kind, payload::text AS payload, parent, attempt, max_attempts, is_stalled
"""


class Jobs:
    """The queue. Handlers are registered while the System is built; `run` works."""

    def __init__(self, connections: Connections, log: EventLog, *, workers: int = WORKERS) -> None:
        self._connections = connections
        self._log = log
        self._workers = workers
        self._kinds: dict[str, Kind] = {}
        self._wake = asyncio.Event()

    def register(self, kind: str, handle: Handle, *, gave_up: GaveUp | None = None) -> None:
        """Let `handle` do jobs of `kind`; `gave_up` hears with which error the last attempt ended."""
        if kind in self._kinds:
            raise ValueError(f"jobs of kind {kind!r} have a handler already")
        self._kinds[kind] = Kind(handle, gave_up)

    async def enqueue(
        self,
        work: Work,
        turn: Turn,
        kind: str,
        payload: Mapping[str, Any],
        *,
        dedupe: str | None = None,
        delay: float = 0.0,
        attempts: int = ATTEMPTS,
    ) -> UUID:
        """Queue a job as part of `work`; its id. While another with the same `dedupe` is pending, that one's."""
        id = uuid7()
        added = await work.session.execute(
            text(
                "INSERT INTO core.job (tenant, id, kind, payload, dedupe, parent, max_attempts, run_at)"
                " VALUES (:tenant, :id, :kind, CAST(CAST(:payload AS text) AS jsonb), :dedupe, :parent, :attempts,"
                " now() + make_interval(secs => :delay)) ON CONFLICT DO NOTHING RETURNING id"
            ),
            {
                "tenant": turn.tenant,
                "id": id,
                "kind": kind,
                "payload": msgspec.json.encode(payload).decode(),
                "dedupe": dedupe,
                "parent": turn.id,
                "attempts": attempts,
                "delay": delay,
            },
        )
        if added.scalar() is None:
            twin = await work.session.execute(
                text(
                    "SELECT id FROM core.job"
                    " WHERE tenant = :tenant AND kind = :kind AND dedupe = :dedupe AND state = 'pending'"
                ),
                {"tenant": turn.tenant, "kind": kind, "dedupe": dedupe},
            )
            return UUID(str(twin.scalar() or id))
        await work.session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
        return id

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Work until the block ends; what is under way then is given back and runs elsewhere, or later."""
        workers = {f"jobs.{n}": self._work_forever() for n in range(self._workers)}
        async with beside(tasks, {"jobs.listen": self._listen(), **workers}):
            yield

    async def drain(self) -> int:
        """Do what is due now, here, one after the other; the number done. For tests and the console."""
        done = 0
        while await self._step():
            done += 1
        return done

    async def _listen(self) -> None:
        assert self._connections.urls is not None
        while True:
            try:
                connection = await asyncpg.connect(self._connections.urls.system)
                try:
                    await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                    while not connection.is_closed():
                        self._wake.set()
                        await asyncio.sleep(POLL_SECONDS)
                        await self._forget()
                finally:
                    connection.terminate()
            except (*LOST, asyncpg.PostgresError, StateUnavailable) as error:
                # The TaskGroup relies on it: a listener that is cut must not stop the server.
                log.warning("jobs.listener_lost", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _forget(self) -> None:
        await self._connections.system.execute(
            "DELETE FROM core.job WHERE ended_at < now() - make_interval(days => $1)", KEPT_DAYS
        )

    async def _work_forever(self) -> None:
        while True:
            self._wake.clear()
            try:
                if await self._step():
                    continue
            except Exception as error:
                # The TaskGroup relies on it: whatever is wrong with the queue, the server goes on and tries again.
                known = isinstance(error, (*LOST, AIBoxError, asyncpg.PostgresError))
                log.warning("jobs.failed", error=type(error).__name__, exc_info=not known)
                await asyncio.sleep(1)
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: Python 3.11's loses a cancellation that comes together with the wake, and we would
                # never end.
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _step(self) -> bool:
        """Do one job that is due; whether there was one."""
        row = await self._connections.system.fetchrow(TAKE, list(self._kinds), LEASE_SECONDS)
        if row is None:
            return False
        self._wake.set()  # there may be more, for the other workers
        await self._do(_taken(row))
        return True

    async def _do(self, taken: Taken) -> None:
        job, kind = taken.job, self._kinds[taken.job.kind]
        turn = system_turn(taken.tenant, parent=taken.parent)
        outcome = "sealed"
        try:
            try:
                if taken.is_stalled:
                    raise Stalled
                await self._hold(taken, kind.handle(turn, job))
            except Exception as error:  # noqa: BLE001
                # The queue relies on it: whatever a handler raises is an attempt that failed.
                outcome = "failed"
                await self._fail(turn, taken, kind, error)
            else:
                await self._set(taken, "completed")
        except asyncio.CancelledError:
            await self._give_back(taken)
            raise
        finally:
            with contextlib.suppress(AIBoxError):  # the reaper ends what could not be ended
                await self._log.end(turn, outcome)

    async def _hold(self, taken: Taken, act: Awaitable[None]) -> None:
        """Await `act` and renew the lease. When it was lost, the act is cancelled: another does it."""
        acting = asyncio.ensure_future(act)
        try:
            while not acting.done():
                await asyncio.wait({acting}, timeout=HEARTBEAT_SECONDS)
                if not acting.done() and not await self._renew(taken):
                    log.warning("jobs.lease_lost", kind=taken.job.kind, job=str(taken.job.id))
                    raise Stalled
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
        acting.result()

    async def _renew(self, taken: Taken) -> bool:
        """Whether the job is still ours; a database that is away for a moment takes nothing away."""
        try:
            renewed = await self._connections.system.fetchval(
                "UPDATE core.job SET lease_until = now() + make_interval(secs => $4)"
                " WHERE tenant = $1 AND id = $2 AND attempt = $3 AND state = 'running' RETURNING true",
                taken.tenant,
                taken.job.id,
                taken.job.attempt,
                LEASE_SECONDS,
            )
        except (*LOST, StateUnavailable):
            return True
        return bool(renewed)

    async def _fail(self, turn: Turn, taken: Taken, kind: Kind, error: Exception) -> None:
        known = error if isinstance(error, AIBoxError) else Internal()
        is_over = taken.is_last or taken.is_stalled
        log.warning(
            "jobs.attempt_failed",
            kind=taken.job.kind,
            job=str(taken.job.id),
            attempt=taken.job.attempt,
            code=known.code,
            exc_info=error if known is not error else None,
        )
        if is_over and kind.gave_up is not None:
            await kind.gave_up(turn, taken.job, known)
        if self._log.is_open(turn):
            await self._log.log(turn, TurnFailed(code=known.code, step=taken.job.kind))
        if is_over:
            await self._set(taken, "failed", code=known.code)
        else:
            await self._again(taken, code=known.code)

    async def _set(self, taken: Taken, state: str, *, code: str | None = None) -> None:
        await self._connections.system.execute(
            "UPDATE core.job SET state = $4, code = $5, ended_at = now(), lease_until = NULL"
            " WHERE tenant = $1 AND id = $2 AND attempt = $3 AND state = 'running'",
            taken.tenant,
            taken.job.id,
            taken.job.attempt,
            state,
            code,
        )

    async def _again(self, taken: Taken, *, code: str) -> None:
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (taken.job.attempt - 1), MOST_PAUSE_SECONDS)
        await self._requeue(taken, "attempt = attempt", pause, code)

    async def _give_back(self, taken: Taken) -> None:
        """The server stops: the attempt does not count. Without a database the lease runs out by itself."""
        with contextlib.suppress(*LOST, StateUnavailable, asyncpg.PostgresError):
            await self._requeue(taken, "attempt = attempt - 1", 0.0, None)

    async def _requeue(self, taken: Taken, attempt: str, pause: float, code: str | None) -> None:
        # Another with the same `dedupe` may have been queued meanwhile: that one does it then.
        await self._connections.system.execute(
            f"UPDATE core.job AS mine SET {attempt}, code = $5, lease_until = NULL,"  # noqa: S608 - one of ours above
            " run_at = now() + make_interval(secs => $4),"
            " state = CASE WHEN twin.is_there THEN 'cancelled' ELSE 'pending' END,"
            " ended_at = CASE WHEN twin.is_there THEN now() END"
            " FROM (SELECT EXISTS (SELECT 1 FROM core.job AS j, core.job AS k"
            "   WHERE j.tenant = $1 AND j.id = $2 AND k.tenant = $1 AND k.kind = j.kind AND k.dedupe = j.dedupe"
            "   AND k.state = 'pending') AS is_there) AS twin"
            " WHERE mine.tenant = $1 AND mine.id = $2 AND mine.attempt = $3 AND mine.state = 'running'",
            taken.tenant,
            taken.job.id,
            taken.job.attempt,
            pause,
            code,
        )


def _taken(row: asyncpg.Record) -> Taken:
    return Taken(
        tenant=row["tenant"],
        job=Job(
            id=row["id"],
            kind=row["kind"],
            payload=msgspec.json.decode(row["payload"], type=dict[str, Any]),
            attempt=row["attempt"],
        ),
        parent=row["parent"],
        is_last=row["attempt"] >= row["max_attempts"],
        is_stalled=row["is_stalled"],
    )

"""Carries each committed event to each subscriber at least once, in commit order, with a durable cursor.

Order is (xact, row): rows are read only below `pg_snapshot_xmin`, so that a transaction which commits late cannot slip
in behind the cursor (a plain `row > last` reader loses rows under concurrent writers: tried, 465 of 2,000 lost).
One replica serves a subscriber at a time, by a session's advisory lock: a transaction held open while a handler works
would hold `pg_snapshot_xmin` back, and with it every other subscriber. One session, outside the pool, holds the locks
of all subscribers of a process and hears NOTIFY for them: however many there are, they take no connection from anyone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Protocol

import asyncpg
import structlog

from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.errors import AIBoxError
from aibox.core.events import Bus, Recorded, Subscription
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.core.delivery")

BATCH = 256
POLL_SECONDS = 2.0
SETTLE_SECONDS = 0.1
BUSY, BUSY_SECONDS = 64, 0.25
"""Where the last look brought so many events, the next one waits longer: each costs the same, whatever it brings."""

MAX_PAUSE_SECONDS = 30.0

SAVE_SECONDS = 1.0
"""How far the stored cursor may lag over events that its subscriber does not want: saving it is a commit of its own."""

NEXT = """
WITH next AS MATERIALIZED (
    SELECT tenant, turn, seq, type, source, data, xact, row_id
    FROM core.event
    WHERE (xact, row_id) > ($1::text::xid8, $2::bigint) AND xact < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xact, row_id
    LIMIT $4
), wanted AS (
    SELECT * FROM next WHERE $3::text[] IS NULL OR type = ANY ($3)
)
SELECT tenant, turn, seq, type, source, data, xact::text::bigint AS xact, row_id, NULL::bigint AS looked_at FROM wanted
UNION ALL
(SELECT NULL, NULL, NULL, NULL, NULL, NULL, xact::text::bigint, row_id, (SELECT count(*) FROM next)
 FROM next ORDER BY xact DESC, row_id DESC LIMIT 1)
"""
"""The wanted ones of the next rows, in order, and after them the place of the last row that was looked at."""

NEWEST = """
SELECT xact::text::bigint AS xact, row_id FROM core.event
WHERE xact < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xact DESC, row_id DESC LIMIT 1
"""

Place = tuple[int, int]
"""A transaction and a row in it: up to there, everything is handled."""


class Reader(Protocol):
    """What a pool and one of its connections both offer."""

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]: ...

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None: ...

    async def execute(self, query: str, *arguments: object) -> str: ...


class Delivery:
    """One task per subscriber, woken by NOTIFY and, should one be missed, by a slow poll."""

    def __init__(self, connections: Connections, bus: Bus) -> None:
        self._connections = connections
        self._bus = bus
        self._wakes: dict[str, asyncio.Event] = {}
        self._session: asyncpg.Connection | None = None
        self._asking = asyncio.Lock()
        """A session answers one question at a time."""
        self._drained: set[str] = set()
        """Subscribers whose stored cursor somebody waits for."""

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Deliver until the block ends."""
        self._wakes = {name: asyncio.Event() for name in self._bus.subscriptions}
        serving = {f"delivery.{name}": self._serve(served) for name, served in self._bus.subscriptions.items()}
        async with beside(tasks, {"delivery.listen": self._listen(), **serving}):
            yield

    async def drain(self, subscriber: str) -> None:
        """Return when `subscriber` has handled all that is committed and readable at the call."""
        subscription = self._bus.subscriptions[subscriber]
        pool = self._connections.system
        newest = await pool.fetchrow(NEWEST)
        target = (newest["xact"], newest["row_id"]) if newest is not None else (0, 0)
        async with self._own_session() as session:
            while await _cursor(pool, subscription.name) < target:
                async with _lock(session, asyncio.Lock(), subscription.name) as is_ours:
                    if is_ours:
                        await _Served(pool, subscription, await _cursor(pool, subscriber)).deliver(save=True)
                        continue
                # It is being served, here or in another replica: hurry our own and look again.
                if subscriber in self._wakes:
                    self._drained.add(subscriber)
                    self._wakes[subscriber].set()
                await asyncio.sleep(SETTLE_SECONDS / 4)

    @contextlib.asynccontextmanager
    async def _own_session(self) -> AsyncGenerator[asyncpg.Connection]:
        """A session whose locks end with it, whatever becomes of its user: one of the pool would keep them."""
        assert self._connections.urls is not None
        session = await asyncpg.connect(self._connections.urls.system)
        try:
            yield session
        finally:
            session.terminate()

    async def _listen(self) -> None:
        def wake(_connection: object = None, _pid: int = 0, _channel: str = "", types: str = "") -> None:
            """Wake who wants any of `types`, written as NOTIFY brings them; all when it does not say."""
            logged = set(types.split())
            for name, event in self._wakes.items():
                wanted = self._bus.subscriptions[name].types
                if not logged or wanted is None or not wanted.isdisjoint(logged):
                    event.set()

        while True:
            try:
                async with self._own_session() as session:
                    await session.add_listener("aibox_event", wake)
                    self._session = session
                    while not session.is_closed():
                        wake()
                        await asyncio.sleep(POLL_SECONDS)
            except (*LOST, asyncpg.PostgresError) as error:
                # The TaskGroup relies on it: a listener that is cut must not stop the server.
                log.warning("delivery.listener_lost", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS / 4)

    async def _serve(self, subscription: Subscription) -> None:
        pause = 0.1
        while True:
            try:
                session = self._session
                if session is None or session.is_closed():
                    await asyncio.sleep(SETTLE_SECONDS)
                    continue
                async with _lock(session, self._asking, subscription.name) as is_ours:
                    pool = self._connections.system
                    served = _Served(pool, subscription, await _cursor(pool, subscription.name)) if is_ours else None
                    while served is not None and not session.is_closed():
                        await self._wakes[subscription.name].wait()
                        # A turn logs several times within milliseconds: let one look serve them all.
                        await asyncio.sleep(BUSY_SECONDS if served.is_busy else SETTLE_SECONDS)
                        self._wakes[subscription.name].clear()
                        await served.deliver(save=subscription.name in self._drained)
                        self._drained.discard(subscription.name)
                        pause = 0.1
                await asyncio.sleep(POLL_SECONDS)
            except Exception as error:
                # Every subscriber relies on being tried again, whatever its handler raised.
                known = isinstance(error, (*LOST, AIBoxError, asyncpg.PostgresError))
                log.warning(
                    "delivery.failed", subscriber=subscription.name, error=type(error).__name__, exc_info=not known
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                self._wakes[subscription.name].set()


@contextlib.asynccontextmanager
async def _lock(session: asyncpg.Connection, asking: asyncio.Lock, subscriber: str) -> AsyncGenerator[bool]:
    """Whether this session serves the subscriber now: one at a time, in all replicas."""
    async with asking:
        is_ours = await session.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", subscriber)
    try:
        yield bool(is_ours)
    finally:
        if is_ours and not session.is_closed():
            # A session that goes away takes its locks along; what is being raised here must not be lost for it.
            with contextlib.suppress(*LOST):
                async with asking:
                    await session.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", subscriber)


async def _cursor(connection: Reader, subscriber: str) -> Place:
    row = await connection.fetchrow(
        "SELECT xact::text::bigint AS xact, row_id FROM core.cursor WHERE subscriber = $1", subscriber
    )
    return (row["xact"], row["row_id"]) if row is not None else (0, 0)


class _Served:
    """A subscriber while this process holds its lock: nobody else moves its cursor."""

    def __init__(self, connection: Reader, subscription: Subscription, begin: Place) -> None:
        self._connection = connection
        self._subscription = subscription
        self._stored = self._handled = begin
        self._saved_at = time.monotonic()
        self.is_busy = False
        """Whether the last look brought many events that are wanted."""

    async def deliver(self, *, save: bool) -> None:
        """Hand over all that is readable. With `save` the cursor is stored also when nothing of it was wanted."""
        self.is_busy = False
        while await self._batch():
            pass
        if save or time.monotonic() - self._saved_at > SAVE_SECONDS:
            await self._save()

    async def _batch(self) -> bool:
        """Hand over what is wanted of the next rows; whether there may be more."""
        subscription = self._subscription
        types = None if subscription.types is None else sorted(subscription.types)
        *wanted, last = await self._connection.fetch(NEXT, str(self._handled[0]), self._handled[1], types, BATCH) or [
            None
        ]
        if wanted:
            self.is_busy = self.is_busy or len(wanted) >= BUSY
            failpoints.reach("delivery.handle")
            await subscription.handler([_recorded(row) for row in wanted])
            failpoints.reach("delivery.handled")
        if last is None:
            return False
        self._handled = (last["xact"], last["row_id"])
        if wanted:
            await self._save()
        return bool(last["looked_at"] == BATCH)

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._handled == self._stored:
            return
        place = self._handled
        await self._connection.execute(
            "INSERT INTO core.cursor (subscriber, xact, row_id) VALUES ($1, $2::text::xid8, $3)"
            " ON CONFLICT (subscriber) DO UPDATE SET xact = excluded.xact, row_id = excluded.row_id",
            self._subscription.name,
            str(place[0]),
            place[1],
        )
        self._stored = place


def _recorded(row: asyncpg.Record) -> Recorded:
    return Recorded(
        tenant=row["tenant"],
        turn=row["turn"],
        seq=row["seq"],
        type=row["type"],
        source=row["source"],
        data=row["data"],
        xact=row["xact"],
        row=row["row_id"],
    )

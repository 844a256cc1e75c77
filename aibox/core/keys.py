"""Data keys of tenants and of people, kept in `core.data_key`, wrapped by the master ring.

`subject` is "" for what belongs to the tenant, else it begins with a person's pseudonym: `p-ann` for what stands for
values of hers, `p-ann/<conversation>/<class>/<month>` for the artifacts of her turns. Destroying a key erases what was
sealed with it without touching the log. Keys are kept unwrapped for a while: a process hears of a destroyed one by
NOTIFY, and should it miss that, asks the table again after half a minute.
"""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Iterable
from uuid import UUID

import asyncpg
import structlog

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.keyring import DataKey, Ring, unwrap, wrap

log = structlog.get_logger("aibox.core.keys")

CACHED = 10_000
CACHED_SECONDS = 30.0
LISTEN_SECONDS = 2.0
CHANNEL = "aibox_keys"


class DataKeys:
    """Finds, and makes when missing, the data key of (tenant, subject)."""

    def __init__(self, connections: Connections, master: Ring) -> None:
        self._connections = connections
        self._master = master
        self._current: dict[tuple[UUID, str], tuple[DataKey, float]] = {}
        self._named: dict[tuple[UUID, str], tuple[DataKey, float]] = {}

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Hear of keys that other processes destroy, until the block ends."""
        listening = tasks.create_task(self._listen(), name="keys.listen")
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    @property
    def master_kid(self) -> str:
        """The id of the master key that wraps new data keys."""
        return self._master.current[0]

    async def of(self, tenant: UUID, subject: str = "") -> DataKey:
        """The current key of `subject`. Raises `StateUnavailable`, or `SecretUnreadable` with a wrong master key."""
        known = self._current.get((tenant, subject))
        return known[0] if known is not None and _is_fresh(known) else await self._load(tenant, subject)

    async def named(self, tenant: UUID, kid: str) -> DataKey | None:
        """The key with this id, or None when it was destroyed."""
        known = self._named.get((tenant, kid))
        if known is not None and _is_fresh(known):
            return known[0]
        wrapped = await self._fetch("SELECT wrapped FROM core.data_key WHERE tenant = $1 AND kid = $2", tenant, kid)
        if wrapped is None:
            self.forget([kid])
            return None
        key = unwrap(self._master, tenant, kid, wrapped)
        self._keep(self._named, (tenant, kid), key)
        return key

    def forget(self, kids: Iterable[str]) -> None:
        """Drop keys from this process's memory."""
        gone = set(kids)
        for known in (self._current, self._named):
            for place in [place for place, (key, _) in known.items() if key.kid in gone]:
                del known[place]

    async def rewrap(self) -> int:
        """Wrap every data key again by the first key of the master ring; the number that was wrapped by another."""
        pool, count = self._connections.system, 0
        current, _ = self._master.current
        for row in await pool.fetch("SELECT tenant, kid, wrapped FROM core.data_key"):
            if row["wrapped"].split(":")[1] == current:
                continue
            key = unwrap(self._master, row["tenant"], row["kid"], row["wrapped"])
            count += await pool.fetchval(
                "WITH changed AS (UPDATE core.data_key SET wrapped = $3"
                " WHERE tenant = $1 AND kid = $2 AND wrapped = $4 RETURNING 1) SELECT count(*) FROM changed",
                row["tenant"],
                row["kid"],
                wrap(self._master, row["tenant"], row["kid"], key.key),
                row["wrapped"],
            )
        return count

    async def _listen(self) -> None:
        def gone(_connection: object, _pid: int, _channel: str, kids: str) -> None:
            self.forget(kids.split())

        assert self._connections.urls is not None
        while True:
            try:
                session = await asyncpg.connect(self._connections.urls.system)
                try:
                    await session.add_listener(CHANNEL, gone)
                    while not session.is_closed():  # noqa: ASYNC110 - the driver tells nobody when it is
                        await asyncio.sleep(LISTEN_SECONDS)
                finally:
                    session.terminate()
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("keys.listener_lost", error=type(error).__name__)
            await asyncio.sleep(LISTEN_SECONDS)

    def _keep(
        self, known: dict[tuple[UUID, str], tuple[DataKey, float]], place: tuple[UUID, str], key: DataKey
    ) -> None:
        if len(known) >= CACHED:
            known.clear()
        known[place] = key, time.monotonic()

    async def _load(self, tenant: UUID, subject: str) -> DataKey:
        kid = base64.b32encode(os.urandom(10)).decode().lower()
        made = wrap(self._master, tenant, kid, os.urandom(32))
        stored = await self._fetch(
            "WITH made AS (INSERT INTO core.data_key (tenant, subject, kid, wrapped) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (tenant, subject) DO NOTHING RETURNING kid, wrapped)"
            " SELECT kid || ' ' || wrapped FROM made UNION ALL"
            " SELECT kid || ' ' || wrapped FROM core.data_key WHERE tenant = $1 AND subject = $2 LIMIT 1",
            tenant,
            subject,
            kid,
            made,
        )
        if stored is None:  # another process made it between our two looks
            return await self._load(tenant, subject)
        kid, wrapped = stored.split(" ", 1)
        key = unwrap(self._master, tenant, kid, wrapped)
        self._keep(self._current, (tenant, subject), key)
        self._keep(self._named, (tenant, kid), key)
        return key

    async def _fetch(self, query: str, *arguments: object) -> str | None:
        try:
            value: str | None = await self._connections.system.fetchval(query, *arguments)
        except LOST:
            raise StateUnavailable() from None
        return value


def _is_fresh(known: tuple[DataKey, float]) -> bool:
    return time.monotonic() - known[1] < CACHED_SECONDS

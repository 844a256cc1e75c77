"""Whether a credential still stands: looked up once, then remembered, and forgotten within a second of a revocation.

Who changes a person's rights commits a NOTIFY with the change. Every process listens, and proves with a heartbeat that
it does: what is remembered counts only while the last heartbeat is younger than a second. Without one, each request
asks PostgreSQL.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

import asyncpg
import msgspec
import structlog

from aibox.core.connections import LOST, Connections
from aibox.core.tasks import beside
from aibox.core.turn import Principal

log = structlog.get_logger("aibox.identity.standing")

CHANNEL = "aibox_identity"
REMEMBERED_SECONDS = 60.0
HEARTBEAT_SECONDS = 0.4
TRUSTED_SECONDS = 1.0
CAPACITY = 20_000
EVERYBODY = UUID(int=0)
"""Announced when a session of an issuer ended and we cannot tell whose it was."""


class Found(msgspec.Struct, frozen=True):
    """A credential that stands, and for how many seconds it will by itself."""

    principal: Principal
    seconds: float


Load = Callable[[], Awaitable[Found]]


class Known(msgspec.Struct, frozen=True):
    """A credential that was found to stand, and until when (on the monotonic clock) that may be believed."""

    principal: Principal
    until: float


class Standing:
    """Principals by credential. The key is a digest of the whole credential (T31)."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: dict[bytes, Known] = {}
        self._by_user: dict[UUID, set[bytes]] = {}
        self._trusted_until = 0.0
        self._generation = 0

    async def principal(self, key: bytes, load: Load) -> Principal:
        """The principal behind `key`: remembered, or from `load`, which raises for one that does not stand."""
        known, now = self._known.get(key), time.monotonic()
        if known is not None and now < known.until and now < self._trusted_until:
            return known.principal
        generation = self._generation
        try:
            found = await load()
        except BaseException:
            self._known.pop(key, None)
            raise
        # What was revoked while we looked was not yet remembered, so its NOTIFY dropped nothing: do not remember it.
        if generation == self._generation and now < self._trusted_until:
            self._remember(key, Known(found.principal, now + min(found.seconds, REMEMBERED_SECONDS)))
        return found.principal

    def forget(self, user: UUID) -> None:
        """Believe nothing of `user` any more, in this process; the NOTIFY tells the others. `EVERYBODY`: of anyone."""
        if user == EVERYBODY:
            self._forget_all()
            return
        self._generation += 1
        for key in self._by_user.pop(user, ()):
            self._known.pop(key, None)

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Listen until the block ends."""
        try:
            async with beside(tasks, {"identity.standing": self._listen()}):
                yield
        finally:
            self._forget_all()

    def _remember(self, key: bytes, known: Known) -> None:
        if len(self._known) >= CAPACITY:
            self._known.clear()
            self._by_user.clear()
        self._known[key] = known
        self._by_user.setdefault(known.principal.id, set()).add(key)

    def _forget_all(self) -> None:
        self._generation += 1
        self._known.clear()
        self._by_user.clear()

    async def _listen(self) -> None:
        assert self._connections.urls is not None
        while True:
            try:
                await self._hear(self._connections.urls.system)
            except (*LOST, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("identity.listener_lost", error=type(error).__name__)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _hear(self, url: str) -> None:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await connection.add_listener(CHANNEL, lambda *message: self.forget(UUID(str(message[3]))))
            self._forget_all()  # what was said while nobody listened is lost
            while True:
                asked = time.monotonic()
                await connection.fetchval("SELECT 1", timeout=TRUSTED_SECONDS)
                self._trusted_until = asked + TRUSTED_SECONDS
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            self._trusted_until = 0.0
            connection.terminate()

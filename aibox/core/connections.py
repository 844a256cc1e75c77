"""The two ways into PostgreSQL: SQLAlchemy sessions of the app's role, raw asyncpg connections of the system's.

The app's role stands under row-level security and serves Works and reads. The system's role serves what spans all
tenants (event log, delivery, sealer, reaper, credential look-up) on named tables only.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import asyncpg
from msgspec import Meta, Struct
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from aibox.core.errors import StateUnavailable

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # seen when a backend is killed between two of the driver's own messages
)
"""What asyncpg raises when the server went away: the statement may or may not have been carried out."""


class Settings(Struct, frozen=True, kw_only=True):
    """PostgreSQL: `embedded:` keeps one in the data folder; else three URLs, one a role (architecture.md)."""

    url: Annotated[str, Meta(description="`embedded:` or the app role's `postgresql+asyncpg://` URL")] = "embedded:"
    owner_url: Annotated[
        str,
        Meta(description="The owner role's URL, for `aibox migrate` and backup only", extra={"secret": True}),
    ] = ""
    system_url: Annotated[
        str, Meta(description="The system role's URL, for what serves all tenants", extra={"secret": True})
    ] = ""
    pool: Annotated[int, Meta(description="Connections a role may hold in this process", ge=6, le=200)] = 12


class Urls(Struct, frozen=True, kw_only=True):
    """Where each role connects, as `postgresql://` URLs that asyncpg reads."""

    app: str
    system: str
    owner: str


class _SystemConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg states no types
    """A connection that is not reset when it goes back to its pool, which would be a round trip for each statement.

    So nobody leaves anything in a session of it: no SET, no advisory lock, no LISTEN that is not undone.
    """

    def get_reset_query(self) -> str:
        return ""


async def _plan_for_growth(connection: asyncpg.Connection) -> None:
    """Have every look-up planned by index, however empty its table is now.

    A statement's plan is kept until its tables are analysed again. One made while a table was empty reads all of it:
    within a minute's load of a new installation that cost five times what the turns themselves did.
    """
    await connection.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")


def _require_open(connection: Any, *_: object) -> None:
    """Have the pool replace a connection whose server went away: the driver knows, and a ping costs two round trips."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError()


class Connections:
    """Pools for both roles, open between `run()`'s begin and end. Building one does no I/O."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: AsyncEngine | None = None
        self._system: asyncpg.Pool | None = None
        self._sessions: async_sessionmaker[AsyncSession] | None = None
        self.urls: Urls | None = None

    @contextlib.asynccontextmanager
    async def run(self, urls: Urls) -> AsyncGenerator[None]:
        """Open both pools on `urls`, and close them at the end."""
        self.urls = urls
        self._engine = create_async_engine(
            urls.app.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=self._settings.pool,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,  # a failed statement is logged: never with a person's words in it
        )
        event.listen(self._engine.sync_engine, "checkout", _require_open)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False, autoflush=False)
        try:
            self._system = await asyncpg.create_pool(
                urls.system,
                min_size=1,
                max_size=self._settings.pool,
                command_timeout=30,
                connection_class=_SystemConnection,
                init=_plan_for_growth,
            )
        except LOST as error:
            raise StateUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}.") from error
        try:
            yield
        finally:
            await self._engine.dispose()
            self._system.terminate()
            self._engine = self._system = self._sessions = None

    @property
    def system(self) -> asyncpg.Pool:
        """Connections of the system's role. Raises `StateUnavailable` while closed."""
        if self._system is None:
            raise StateUnavailable()
        return self._system

    @contextlib.asynccontextmanager
    async def app(self) -> AsyncGenerator[asyncpg.Connection]:
        """A connection of the app's role, without a session around it. Raises `StateUnavailable` while closed."""
        if self._engine is None:
            raise StateUnavailable()
        async with self._engine.connect() as connection:  # begins nothing before a statement of its own
            yield (await connection.get_raw_connection()).driver_connection

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """Sessions of the app's role. Raises `StateUnavailable` while closed."""
        if self._sessions is None:
            raise StateUnavailable()
        return self._sessions

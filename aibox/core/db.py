"""The only way modules write and read: `async with db.work(turn) as work`, `async with db.read(turn) as session`, and
`db.ask(turn, function, …)` for one function of the database."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import LargeBinary, MetaData, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, TEXT
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable, TurnEnded
from aibox.core.eventlog import Entry, EventLog
from aibox.core.events import Event
from aibox.core.turn import Turn

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(DeclarativeBase):
    """Base of all ORM rows. Rows never leave their module."""

    metadata = MetaData(naming_convention=NAMING)


class Work:
    """One short transaction of a turn. Its events are stored with its changes, or neither is."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.events: list[Event] = []

    def record(self, *events: Event) -> None:
        """Store `events` in this transaction, after the changes made so far and later ones."""
        self.events.extend(events)


class Database:
    """Works and reads of a turn, confined to its tenant by row-level security."""

    def __init__(self, connections: Connections, log: EventLog) -> None:
        self._connections = connections
        self._log = log

    @contextlib.asynccontextmanager
    async def work(self, turn: Turn) -> AsyncGenerator[Work]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Await nothing slow inside. Raises `StateUnavailable` when the database goes away.
        """
        async with _available(), self._connections.sessions() as session, session.begin():
            await _confine(session, turn.tenant)
            work = Work(session)
            yield work
            if not work.events:
                return
            await session.flush()
            # The numbers are ours until the commit is known, so the commit happens inside the block.
            async with self._log.numbering(turn, work.events) as entry:
                try:
                    await _insert(session, entry, self._log.lease_seconds)
                except IntegrityError:
                    # The next number is taken: the reaper ended the turn while we worked.
                    raise TurnEnded() from None
                await _to_its_end(_commit(session))

    @contextlib.asynccontextmanager
    async def read(self, turn: Turn) -> AsyncGenerator[AsyncSession]:
        """A read-only transaction of the turn's tenant."""
        async with _available(), self._connections.sessions() as session, session.begin():
            await session.execute(_CONFINE_TO_READING, {"tenant": str(turn.tenant)})
            yield session

    async def ask(self, turn: Turn, function: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a reading function of the database, on one way there and back: for what every answer waits for.

        The function's first argument is the tenant, to which it confines itself before it reads.
        """
        places = ", ".join(f"${number}" for number in range(1, len(arguments) + 2))
        async with _available(), self._connections.app() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(
                f"SELECT * FROM {function}({places})",  # noqa: S608 - a name in our code
                turn.tenant,
                *arguments,
            )
        return rows


async def _commit(session: AsyncSession) -> None:
    failpoints.reach("work.commit")
    await session.commit()
    failpoints.reach("work.committed")


async def _to_its_end(act: Coroutine[Any, Any, None]) -> None:
    """Await `act` also when the caller is cancelled: only then does the next write find out what became of it."""
    task = asyncio.ensure_future(act)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # raised below, once the act is over
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # the next write asks the table how far this one got, whatever it raised
        raise


@contextlib.asynccontextmanager
async def _available() -> AsyncGenerator[None]:
    try:
        yield
    except (InterfaceError, OperationalError, PoolTimeoutError, *LOST) as error:
        raise StateUnavailable() from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.__cause__ and error.__cause__.__cause__, LOST):
            raise StateUnavailable() from error
        raise


# One statement for both: a search reads five times, and each statement is a way to the database and back.
_CONFINE_TO_READING = text(
    "SELECT set_config('transaction_read_only', 'on', true), set_config('app.tenant', :tenant, true)"
)


async def _confine(session: AsyncSession, tenant: UUID) -> None:
    await session.execute(text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": str(tenant)})


_START = text(
    "INSERT INTO core.turn (tenant, turn, principal, parent, started_us, lease_until)"
    " VALUES (:tenant, :turn, :principal, :parent, :started, now() + make_interval(secs => :lease))"
    " ON CONFLICT DO NOTHING"
)
_EVENTS = text(
    "INSERT INTO core.event (tenant, turn, seq, type, source, data)"
    " SELECT :tenant, :turn, q, y, m, d FROM unnest(:seqs, :types, :sources, :datas) AS x (q, y, m, d)"
).bindparams(
    bindparam("seqs", type_=ARRAY(INTEGER)),
    bindparam("types", type_=ARRAY(TEXT)),
    bindparam("sources", type_=ARRAY(TEXT)),
    bindparam("datas", type_=ARRAY(LargeBinary)),
    bindparam("tenant", type_=PGUUID(as_uuid=True)),
    bindparam("turn", type_=PGUUID(as_uuid=True)),
)
_ARTIFACT = text(
    "INSERT INTO core.artifact (tenant, turn, commitment, kid, sealed)"
    " VALUES (:tenant, :turn, :commitment, :kid, :sealed) ON CONFLICT DO NOTHING"
)


async def _insert(session: AsyncSession, entry: Entry, lease_seconds: float) -> None:
    turn = entry.turn
    if entry.rows[0].seq == 0:
        await session.execute(
            _START.bindparams(bindparam("started", type_=BIGINT)),
            {
                "tenant": turn.tenant,
                "turn": turn.id,
                "principal": turn.principal.pseudonym,
                "parent": turn.parent,
                "started": turn.started_us,
                "lease": lease_seconds,
            },
        )
    for commitment, kid, sealed in entry.artifacts:
        await session.execute(
            _ARTIFACT,
            {"tenant": turn.tenant, "turn": turn.id, "commitment": commitment, "kid": kid, "sealed": sealed},
        )
    await session.execute(
        _EVENTS,
        {
            "tenant": turn.tenant,
            "turn": turn.id,
            "seqs": [row.seq for row in entry.rows],
            "types": [row.type for row in entry.rows],
            "sources": [row.source for row in entry.rows],
            "datas": [row.data for row in entry.rows],
        },
    )
    await session.execute(text("SELECT pg_notify('aibox_event', '')"))

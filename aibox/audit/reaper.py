"""Ends the turns that a crash left open: their lease ran out, nobody renews it, so they are sealed `abandoned`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from uuid import UUID

import asyncpg
import msgspec
import structlog

from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.events import TurnSealed, record
from aibox.core.tasks import beside
from aibox.core.turn import system_turn

log = structlog.get_logger("aibox.audit.reaper")

EVERY_SECONDS = 10.0
BATCH = 100


class Reaper:
    """Any number of replicas may run one: a turn is taken with SKIP LOCKED."""

    def __init__(self, connections: Connections, *, grace_seconds: float, every_seconds: float = EVERY_SECONDS) -> None:
        self._connections = connections
        self._grace = grace_seconds
        self._every = every_seconds

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Look every so many seconds until the block ends."""
        async with beside(tasks, {"audit.reap": self._work()}):
            yield

    async def reap(self) -> int:
        """End every turn whose lease and grace have passed; the number ended."""
        pool = self._connections.system
        expired = await pool.fetch(EXPIRED, self._grace, BATCH)
        return sum([await self._end(row["tenant"], row["turn"]) for row in expired])

    async def _end(self, tenant: UUID, turn_id: UUID) -> bool:
        """Whether it was ours to end: not when it was renewed, taken or logged to in the meantime."""
        try:
            async with self._connections.system.acquire() as connection, connection.transaction():
                if await connection.fetchrow(TAKE, tenant, turn_id, self._grace) is None:
                    return False
                failpoints.reach("reaper.end")
                number = await connection.fetchval(NEXT, tenant, turn_id)
                turn = msgspec.structs.replace(system_turn(tenant), id=turn_id)
                sealed = record(turn, TurnSealed(outcome="abandoned"), seq=number)
                await connection.execute(APPEND, tenant, turn_id, number, sealed.type, sealed.source, sealed.data)
                await connection.execute(END, tenant, turn_id)
        except asyncpg.UniqueViolationError:
            return False  # its process lives and has just logged an event under that number
        failpoints.reach("reaper.ended")
        log.warning("audit.abandoned", tenant=str(tenant), turn=str(turn_id))
        return True

    async def _work(self) -> None:
        while True:
            try:
                while await self.reap():  # a crash may leave thousands
                    pass
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.reap_failed", error=type(error).__name__)
            except Exception:
                # The turns that other crashes leave rely on the next look, whatever was wrong with this one.
                log.exception("audit.reap_broke")
            await asyncio.sleep(self._every)


EXPIRED = """
SELECT tenant, turn FROM core.turn
WHERE state = 'open' AND lease_until < now() - make_interval(secs => $1) ORDER BY lease_until LIMIT $2
"""
TAKE = """
SELECT 1 FROM core.turn
WHERE tenant = $1 AND turn = $2 AND state = 'open' AND lease_until < now() - make_interval(secs => $3)
FOR UPDATE SKIP LOCKED
"""
NEXT = "SELECT coalesce(max(seq) + 1, 0) FROM core.event WHERE tenant = $1 AND turn = $2"
APPEND = "INSERT INTO core.event (tenant, turn, seq, type, source, data) VALUES ($1, $2, $3, $4, $5, $6)"
END = """
WITH told AS (SELECT pg_notify('aibox_event', ''), pg_notify('aibox_ended', ''))
UPDATE core.turn SET state = 'ended', outcome = 'abandoned' FROM told WHERE tenant = $1 AND turn = $2
"""

"""Periodic duties of the runtime: stream events that are old enough are forgotten; the items and the log stay."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import asyncpg
import structlog

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.runtime.jobs")

SWEEP_SECONDS = 600.0


class StreamSweeper:
    """Forgets the stream events of runs that are older than `hours`."""

    def __init__(self, connections: Connections, *, hours: int) -> None:
        self._connections = connections
        self._hours = hours

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Sweep now and then until the block ends."""
        async with beside(tasks, {"runtime.sweep": self._sweep_forever()}):
            yield

    async def sweep(self) -> None:
        """Forget what is old enough now."""
        await self._connections.system.execute(
            "DELETE FROM runtime.run_event WHERE at < now() - make_interval(hours => $1)", self._hours
        )

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("runtime.sweep_failed", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)

"""Keeps a copy in memory as fresh as its tables: read again at each NOTIFY on a channel, and every so often anyway."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import asyncpg
import structlog

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.core.freshness")

RECONNECT_SECONDS: Final = 1.0


@contextlib.asynccontextmanager
async def kept_fresh(
    tasks: asyncio.TaskGroup,
    connections: Connections,
    channel: str,
    refresh: Callable[[], Awaitable[None]],
    *,
    seconds: float,
) -> AsyncGenerator[None]:
    """Call `refresh` now, and until the block ends after each NOTIFY on `channel` and every `seconds`.

    A `refresh` that raises `StateUnavailable` or what PostgreSQL says is tried again; the first one raises.
    """
    await refresh()
    stale = asyncio.Event()
    listening, refreshing = _listen(connections, channel, stale), _refresh(refresh, stale, channel, seconds)
    async with beside(tasks, {f"{channel}.listen": listening, f"{channel}.refresh": refreshing}):
        yield


async def _listen(connections: Connections, channel: str, stale: asyncio.Event) -> None:
    assert connections.urls is not None
    while True:
        try:
            connection = await asyncpg.connect(connections.urls.system)
        except (*LOST, asyncpg.PostgresError):
            await asyncio.sleep(RECONNECT_SECONDS)
            continue
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_, lost=lost: lost.set())
            await connection.add_listener(channel, lambda *_: stale.set())
            stale.set()  # what changed while nobody listened
            await lost.wait()
        except LOST:
            await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            connection.terminate()


async def _refresh(refresh: Callable[[], Awaitable[None]], stale: asyncio.Event, channel: str, seconds: float) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stale.wait()
        stale.clear()
        try:
            await refresh()
        except (StateUnavailable, asyncpg.PostgresError) as error:
            log.warning("freshness.refresh_failed", channel=channel, error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
            stale.set()

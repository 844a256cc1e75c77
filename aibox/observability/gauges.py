"""Gauges of what waits: events that subscribers have not heard, turns that are not sealed, open reservations."""

import asyncio
from typing import Final

import asyncpg
import structlog

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.observability.metrics import EVENTS_BEHIND, RESERVATIONS, UNSEALED, UNSEALED_AGE

log = structlog.get_logger("aibox.observability.gauges")

EVERY_SECONDS: Final = 15.0
MOST: Final = 10_000
"""Counting ends here: a queue that long is an alarm, whatever its exact length."""

_BEHIND: Final = """
SELECT c.subscriber, (
    SELECT count(*) FROM (
        SELECT 1 FROM core.event e WHERE (e.xact, e.row_id) > (c.xact, c.row_id) LIMIT $1) waiting) AS events
FROM core.cursor c
"""
_UNSEALED: Final = """
SELECT count(*) AS turns,
       coalesce(extract(epoch FROM now())::float8 - min(started_us) / 1e6::float8, 0) AS seconds
FROM (SELECT started_us FROM core.turn WHERE state = 'ended' LIMIT $1) ended
"""


async def keep(connections: Connections) -> None:
    """Measure again and again, until cancelled."""
    while True:
        try:
            await measure(connections)
        except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
            log.warning("gauges.failed", error=type(error).__name__)
        await asyncio.sleep(EVERY_SECONDS)


async def measure(connections: Connections) -> None:
    """Set every gauge to what is true now."""
    for row in await connections.system.fetch(_BEHIND, MOST):
        EVENTS_BEHIND.labels(row["subscriber"]).set(row["events"])
    unsealed = await connections.system.fetchrow(_UNSEALED, MOST)
    UNSEALED.set(unsealed["turns"])
    UNSEALED_AGE.set(max(0.0, unsealed["seconds"]))
    RESERVATIONS.set(await connections.system.fetchval("SELECT count(*) FROM observability.reservation"))

"""Hears every `model_response`: books it, counts it, and tells of budgets that reached their soft limit."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from uuid import UUID

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.events import Recorded
from aibox.core.tasks import beside
from aibox.core.turn import Turn
from aibox.observability import Dimension, OwnUsage, Trace, TraceSummary, UsageReport
from aibox.observability.budgets import BudgetService
from aibox.observability.gauges import keep
from aibox.observability.generations import Generation, generation_of
from aibox.observability.metrics import CALLS, COST, DURATION, FIRST_BYTE, TOKENS, UNPRICED
from aibox.observability.traces import trace, traces
from aibox.observability.usage import own_usage, usage

HEARS = frozenset({"model_response"})


class ObservabilityService:
    """See `Observability`."""

    def __init__(self, *, db: Database, connections: Connections, budgets: BudgetService) -> None:
        self._db = db
        self._connections = connections
        self._budgets = budgets

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Keep the gauges true until the block ends."""
        async with beside(tasks, {"observability.gauges": keep(self._connections)}):
            yield

    async def handle(self, events: Sequence[Recorded]) -> None:
        """Book each event's generation. The same event again changes nothing and counts nothing."""
        generations = [generation_of(event) for event in events]
        for new in await self._budgets.books.settle(generations):
            _count(new)
        await self._budgets.notify(made.tenant for made in generations if made.cost_usd)

    async def usage_of(self, turn: Turn) -> OwnUsage:
        """See `Observability.usage_of`."""
        async with self._db.read(turn) as session:
            return await own_usage(session, turn)

    async def usage(
        self, turn: Turn, by: Sequence[Dimension], *, since: date, until: date, limit: int | None = None
    ) -> UsageReport:
        """See `Observability.usage`."""
        async with self._db.read(turn) as session:
            return await usage(session, turn, by, since=since, until=until, limit=limit)

    async def traces(self, turn: Turn, *, before: UUID | None = None, limit: int = 50) -> list[TraceSummary]:
        """See `Observability.traces`."""
        async with self._db.read(turn) as session:
            return await traces(session, turn, before=before, limit=limit)

    async def trace(self, turn: Turn, turn_id: UUID) -> Trace:
        """See `Observability.trace`."""
        async with self._db.read(turn) as session:
            return await trace(session, turn, turn_id)


def _count(made: Generation) -> None:
    CALLS.labels(made.provider, made.model, "ok" if made.ok else made.code).inc()
    TOKENS.labels(made.provider, made.model, "input").inc(made.input_tokens)
    TOKENS.labels(made.provider, made.model, "output").inc(made.output_tokens)
    if made.cost_usd is None:
        UNPRICED.labels(made.provider, made.model).inc()
    else:
        COST.labels(made.provider, made.model).inc(float(made.cost_usd))
    if made.ok:
        FIRST_BYTE.labels(made.provider, made.model).observe(made.first_byte_ms / 1000)
        DURATION.labels(made.provider, made.model).observe(made.latency_ms / 1000)

"""Writes a generation for each `model_response`, and adds generations up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import case, func, or_, select

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.events import Recorded
from aibox.core.turn import Turn
from aibox.observability.metrics import CALLS, FIRST_BYTE, TOKENS
from aibox.observability.models import GenerationRow

HEARS = frozenset({"model_response"})


class _Body(Struct):
    """What we read of a `model_response`; the event's owner is the router."""

    provider: str
    model: str
    alias: str
    ok: bool
    principal: str = ""
    key: str = ""
    code: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cost_usd: str = ""
    latency_ms: int = 0
    first_byte_ms: int = 0


class _Event(Struct):
    ts_us: int
    body: _Body


_read = msgspec.json.Decoder(_Event).decode

_INSERT = """
INSERT INTO observability.generation (tenant, turn, seq, at, principal, key, provider, model, alias, ok, code,
    input_tokens, output_tokens, estimated, cost_usd, latency_ms, first_byte_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (tenant, turn, seq) DO NOTHING
RETURNING true
"""


class ObservabilityService:
    """See `Observability`."""

    def __init__(self, *, db: Database, connections: Connections) -> None:
        self._db = db
        self._connections = connections

    async def handle(self, events: Sequence[Recorded]) -> None:
        """Keep each event's generation. The same event again changes nothing and counts nothing."""
        async with self._connections.system.acquire() as connection, connection.transaction():
            new = [event for event in events if await connection.fetchval(_INSERT, *_arguments(event))]
        for event in new:
            _count(_read(event.data).body)

    async def usage_of(self, turn: Turn) -> dict[str, Any]:
        """See `Observability.usage_of`."""
        row = GenerationRow
        # A try that a provider never took (another one answered) is no request.
        counted = or_(row.ok, row.input_tokens > 0, row.output_tokens > 0)
        query = (
            select(
                row.provider,
                row.model,
                func.count(),
                func.sum(row.input_tokens),
                func.sum(row.output_tokens),
                func.sum(row.cost_usd),
                func.sum(case((row.cost_usd.is_(None), 1), else_=0)),
            )
            .where(row.tenant == turn.tenant, row.principal == turn.principal.pseudonym, counted)
            .group_by(row.provider, row.model)
            .order_by(func.count().desc(), row.provider, row.model)
        )
        async with self._db.read(turn) as session:
            rows = (await session.execute(query)).all()
        by_model = [
            {"provider": provider, "model": model, **_totals(requests, taken, given, usd, unpriced)}
            for provider, model, requests, taken, given, usd, unpriced in rows
        ]
        totals = _totals(
            sum(row[2] for row in rows),
            sum(row[3] for row in rows),
            sum(row[4] for row in rows),
            sum((row[5] for row in rows if row[5] is not None), Decimal(0)),
            sum(row[6] for row in rows),
        )
        return {**totals, "by_model": by_model}


def _arguments(event: Recorded) -> tuple[Any, ...]:
    said = _read(event.data)
    body = said.body
    return (
        event.tenant,
        event.turn,
        event.seq,
        datetime.fromtimestamp(said.ts_us / 1_000_000, UTC),
        body.principal,
        body.key or None,
        body.provider,
        body.model,
        body.alias,
        body.ok,
        body.code,
        body.input_tokens,
        body.output_tokens,
        body.estimated,
        Decimal(body.cost_usd) if body.cost_usd else None,
        body.latency_ms,
        body.first_byte_ms,
    )


def _count(body: _Body) -> None:
    CALLS.labels(body.provider, body.model, "ok" if body.ok else body.code).inc()
    TOKENS.labels(body.provider, body.model, "input").inc(body.input_tokens)
    TOKENS.labels(body.provider, body.model, "output").inc(body.output_tokens)
    if body.ok:
        FIRST_BYTE.labels(body.provider, body.model).observe(body.first_byte_ms / 1000)


def _totals(requests: int, taken: int, given: int, usd: Decimal | None, unpriced: int) -> dict[str, Any]:
    return {
        "requests": int(requests),
        "input_tokens": int(taken),
        "output_tokens": int(given),
        "cost_usd": format((usd or Decimal(0)).normalize(), "f"),
        "unpriced_requests": int(unpriced),
    }

"""A generation: one model call as the books keep it, read from the `model_response` that ended it."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from msgspec import Struct

from aibox.core.events import Recorded

LOST = "lost"
"""The code of a call whose process died before its end was logged."""


class Generation(Struct, frozen=True, kw_only=True):
    """One model call. Its place in the log (tenant, turn, seq) is its key: the same event makes the same row."""

    tenant: UUID
    turn: UUID
    seq: int
    at: datetime
    principal: str
    key: str | None
    agent: str | None
    provider: str
    model: str
    alias: str = ""
    call: str = ""
    ok: bool = False
    code: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost_usd: Decimal | None = None
    latency_ms: int = 0
    first_byte_ms: int = 0


class _Body(Struct):
    """What we read of a `model_response`; the event's owner is the router."""

    provider: str
    model: str
    alias: str
    ok: bool
    principal: str = ""
    key: str = ""
    agent: str = ""
    call: str = ""
    code: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost_usd: str = ""
    latency_ms: int = 0
    first_byte_ms: int = 0


class _Event(Struct):
    ts_us: int
    body: _Body


_read = msgspec.json.Decoder(_Event).decode


def generation_of(event: Recorded) -> Generation:
    """The generation that a `model_response` makes."""
    said = _read(event.data)
    body = said.body
    return Generation(
        tenant=event.tenant,
        turn=event.turn,
        seq=event.seq,
        at=_moment(said.ts_us),
        principal=body.principal,
        key=body.key or None,
        agent=body.agent or None,
        provider=body.provider,
        model=body.model,
        alias=body.alias,
        call=body.call,
        ok=body.ok,
        code=body.code,
        input_tokens=body.input_tokens,
        cached_tokens=body.cached_tokens,
        cache_write_tokens=body.cache_write_tokens,
        output_tokens=body.output_tokens,
        reasoning_tokens=body.reasoning_tokens,
        estimated=body.estimated,
        cost_usd=Decimal(body.cost_usd) if body.cost_usd else None,
        latency_ms=body.latency_ms,
        first_byte_ms=body.first_byte_ms,
    )


class _Call(Struct):
    call: str = ""


class _Named(Struct):
    ts_us: int
    body: _Call


_read_call = msgspec.json.Decoder(_Named).decode


def call_of(event: Recorded) -> tuple[str, datetime]:
    """The id of the call that a `model_invoked` or `model_response` names, and when it was logged."""
    said = _read_call(event.data)
    return said.body.call, _moment(said.ts_us)


def _moment(ts_us: int) -> datetime:
    return datetime.fromtimestamp(ts_us / 1_000_000, UTC)

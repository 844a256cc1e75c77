"""A turn as a waterfall, read from its events: what ran when, how long and at what cost; never a text."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import case, distinct, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.errors import NotFound
from aibox.core.turn import Turn
from aibox.observability import Span, Trace, TraceSummary, dollars
from aibox.observability.models import GenerationRow as row

Kind = Literal["turn", "guardrail", "recall", "model", "tool", "budget", "event"]

SHOWN: Final[dict[str, tuple[Kind, tuple[str, ...]]]] = {
    "turn_started": ("event", ("kind",)),
    "turn_failed": ("event", ("code", "step")),
    "turn_sealed": ("event", ("outcome",)),
    "question.asked": ("event", ()),
    "prompt_generated": ("event", ("messages", "recalled")),
    "guardrail_verdict": ("guardrail", ("direction", "decision", "profile", "texts", "untrusted", "masked", "flagged")),
    "memory_op": ("recall", ("op", "count", "degraded")),
    "budget_decision": ("budget", ("decision", "reserved_usd", "subject", "period", "limit_usd")),
    "model_invoked": ("model", ("provider", "model", "operation", "alias", "attempt", "stream")),
    "tool_called": ("tool", ("tool", "decision")),
    "approval_requested": ("event", ("tool", "risk")),
    "approval_decided": ("event", ("tool", "status")),
    "run.finished": ("event", ("status",)),
}
"""The events that a trace shows, and which members of their bodies: names, numbers and codes. A type that is not here
is shown by its name alone."""

_ENDED: Final = (
    "ok",
    "code",
    "finish_reason",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "estimated",
    "cost_usd",
    "latency_ms",
    "first_byte_ms",
)
_PAIRS: Final = {"model_invoked": ("model_response", "call"), "tool_called": ("tool_returned", "call")}
_ENDS: Final = {"model_response", "tool_returned"}


class Happened(Struct):
    """An event, as far as a trace reads it."""

    type: str
    ts_us: int
    ev: str
    body: dict[str, Any]


_read = msgspec.json.Decoder(Happened).decode


async def trace(session: AsyncSession, turn: Turn, turn_id: UUID) -> Trace:
    """See `Observability.trace`."""
    rows = await session.scalars(
        text("SELECT data FROM core.event WHERE tenant = :tenant AND turn = :turn ORDER BY seq"),
        {"tenant": turn.tenant, "turn": turn_id},
    )
    datas = rows.all()
    if not datas:
        raise NotFound("There is no such turn.")
    return trace_of(turn_id, [_read(data) for data in datas])


def trace_of(turn_id: UUID, events: Sequence[Happened]) -> Trace:
    """The waterfall of a turn's events, which are in order and at least one."""
    begin, end = started_us(turn_id), max(event.ts_us for event in events)
    begin = min(begin, events[0].ts_us)
    is_over = events[-1].type == "turn_sealed"
    outcome = events[-1].body.get("outcome")
    root = Span(
        id=span_id(str(turn_id)),
        parent=None,
        name="turn",
        kind="turn",
        start_us=0,
        end_us=end - begin,
        status="unset" if not is_over else "ok" if outcome == "sealed" else "error",
        attributes=_members(events[-1].body, ("outcome",)) if is_over else {},
    )
    return Trace(
        turn_id=turn_id,
        started_at=datetime.fromtimestamp(begin / 1_000_000, UTC),
        duration_us=end - begin,
        is_over=is_over,
        user=str(events[0].body.get("principal", "")),
        spans=[root, *_spans(events, root, begin)],
    )


def started_us(turn_id: UUID) -> int:
    """When the turn began: its id is a UUIDv7, which begins with that millisecond."""
    return (turn_id.int >> 80) * 1000


def span_id(name: str) -> str:
    """Eight bytes in hexadecimal, the same for the same event whoever reads it."""
    return hashlib.sha256(f"aibox.span\n{name}".encode()).hexdigest()[:16]


def _spans(events: Sequence[Happened], root: Span, begin: int) -> Iterator[Span]:
    ends = {(event.type, event.body.get("call")): event for event in events if event.type in _ENDS}
    for event in events:
        if event.type in _ENDS:
            continue
        kind, members = SHOWN.get(event.type, ("event", ()))
        at = event.ts_us - begin
        span = Span(
            id=span_id(event.ev),
            parent=root.id,
            name=event.type,
            kind=kind,
            start_us=at,
            end_us=at,
            status="unset",
            attributes=_members(event.body, members),
        )
        match kind:
            case "model" | "tool":
                other, member = _PAIRS[event.type]
                yield _paired(span, ends.get((other, event.body.get(member))), root, begin)
            case "guardrail":
                # It is logged when it ends, and says how long it took.
                took = event.body.get("duration_ms")
                yield replace(span, start_us=max(0, at - took * 1000) if isinstance(took, int) else at, status="ok")
            case _:
                yield replace(span, status="error" if event.type == "turn_failed" else "unset")


def _paired(span: Span, end: Happened | None, root: Span, begin: int) -> Span:
    """A call from its beginning to its end; one that has no end lasts as long as the turn."""
    if end is None:
        return replace(span, end_us=root.end_us)
    ok = bool(end.body.get("ok", True))
    return replace(
        span,
        end_us=end.ts_us - begin,
        status="ok" if ok else "error",
        attributes=span.attributes | _members(end.body, _ENDED),
    )


def _members(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | int | bool]:
    return {name: value for name in names if isinstance(value := body.get(name), str | int) and value != ""}


async def traces(session: AsyncSession, turn: Turn, *, before: UUID | None, limit: int) -> list[TraceSummary]:
    """See `Observability.traces`."""
    query = (
        select(
            row.turn,
            func.min(row.principal),
            func.count(),
            func.sum(case((row.ok, 0), else_=1)),
            func.sum(case((row.cost_usd.is_(None), 1), else_=0)),
            func.array_agg(distinct(func.concat(row.provider, "/", row.model))),
            func.sum(row.input_tokens),
            func.sum(row.output_tokens),
            func.coalesce(func.sum(row.cost_usd), 0),
            func.sum(row.latency_ms),
        )
        .where(row.tenant == turn.tenant)
        .group_by(row.turn)
        .order_by(row.turn.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(row.turn < before)
    return [
        TraceSummary(
            turn_id=turn_id,
            started_at=datetime.fromtimestamp(started_us(turn_id) / 1_000_000, UTC),
            user=user,
            calls=int(calls),
            failed_calls=int(failed),
            unpriced_calls=int(unpriced),
            models=sorted(models),
            input_tokens=int(taken),
            output_tokens=int(given),
            cost_usd=dollars(usd),
            latency_ms=int(took),
        )
        for turn_id, user, calls, failed, unpriced, models, taken, given, usd, took in (
            await session.execute(query)
        ).all()
    ]

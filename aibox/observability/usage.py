"""Adds generations up: one's own by model, and the tenant's by any combination of dimensions, as rows or as CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Date, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.errors import ValidationFailed
from aibox.core.turn import Turn
from aibox.observability import DIMENSIONS, Dimension, OwnUsage, UsageReport, UsageRow, UsedModel, dollars
from aibox.observability.models import GenerationRow as row

MOST_DAYS: Final = 3660

# A try that a provider never took (another one answered) is no request.
_COUNTED = or_(row.ok, row.input_tokens > 0, row.output_tokens > 0, row.cost_usd > 0)

_DAY = cast(func.timezone("UTC", row.at), Date)
_COLUMNS: Final[dict[Dimension, tuple[tuple[str, ColumnElement[Any]], ...]]] = {
    "model": (("provider", row.provider.expression), ("model", row.model.expression)),
    "user": (("user", row.principal.expression),),
    "key": (("key", row.key.expression),),
    "agent": (("agent", row.agent.expression),),
    "day": (("day", _DAY),),
}


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _total(column: Any) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _dollars() -> ColumnElement[Decimal]:
    return func.coalesce(func.sum(row.cost_usd), Decimal(0))


_MEASURES: Final[dict[str, ColumnElement[Any]]] = {
    "requests": func.count(),
    "failed_requests": _number(row.ok.is_(False)),
    "input_tokens": _total(row.input_tokens),
    "cached_tokens": _total(row.cached_tokens),
    "output_tokens": _total(row.output_tokens),
    "reasoning_tokens": _total(row.reasoning_tokens),
    "estimated_requests": _number(row.estimated.is_(True)),
    "unpriced_requests": _number(row.cost_usd.is_(None)),
    "cost_usd": _dollars(),
    "latency_ms": func.coalesce(func.avg(row.latency_ms), 0),
    "first_byte_ms": func.coalesce(func.avg(row.first_byte_ms), 0),
}


async def own_usage(session: AsyncSession, turn: Turn) -> OwnUsage:
    """See `Observability.usage_of`."""
    query = (
        select(
            row.provider,
            row.model,
            func.count(),
            func.sum(row.input_tokens),
            func.sum(row.output_tokens),
            _dollars(),
            _number(row.cost_usd.is_(None)),
        )
        .where(row.tenant == turn.tenant, row.principal == turn.principal.pseudonym, _COUNTED)
        .group_by(row.provider, row.model)
        .order_by(func.count().desc(), row.provider, row.model)
    )
    found = (await session.execute(query)).all()
    return OwnUsage(
        requests=sum(int(item[2]) for item in found),
        input_tokens=sum(int(item[3]) for item in found),
        output_tokens=sum(int(item[4]) for item in found),
        cost_usd=dollars(sum((item[5] for item in found), Decimal(0))),
        unpriced_requests=sum(int(item[6]) for item in found),
        by_model=[
            UsedModel(
                provider=provider,
                model=model,
                requests=int(requests),
                input_tokens=int(taken),
                output_tokens=int(given),
                cost_usd=dollars(usd),
                unpriced_requests=int(unpriced),
            )
            for provider, model, requests, taken, given, usd, unpriced in found
        ],
    )


async def usage(
    session: AsyncSession, turn: Turn, by: Sequence[Dimension], *, since: date, until: date, limit: int | None
) -> UsageReport:
    """See `Observability.usage`. The order is stable: the dearest first, then by the dimensions' values."""
    _check(since, until)
    wanted = [dimension for dimension in DIMENSIONS if dimension in by]
    named = [(name, column) for dimension in wanted for name, column in _COLUMNS[dimension]]
    begin = datetime.combine(since, time(), UTC)
    end = datetime.combine(until + timedelta(days=1), time(), UTC)
    within = (row.tenant == turn.tenant, row.at >= begin, row.at < end, _COUNTED)
    total = (await session.execute(select(*_MEASURES.values()).where(*within))).one()
    rows: Sequence[Any] = ()
    if named:
        columns = [column for _, column in named]
        grouped = (
            select(*columns, *_MEASURES.values())
            .where(*within)
            .group_by(*columns)
            .order_by(_MEASURES["cost_usd"].desc(), *(column.asc().nulls_first() for column in columns))
        )
        rows = (await session.execute(grouped if limit is None else grouped.limit(limit + 1))).all()
    shown = rows if limit is None else rows[:limit]
    names = [name for name, _ in named]
    return UsageReport(
        by=wanted,
        since=since,
        until=until,
        rows=[_row(dict(zip(names, item, strict=False)), item[len(names) :]) for item in shown],
        total=_row({}, total),
        is_complete=len(shown) == len(rows),
    )


def _check(since: date, until: date) -> None:
    problems = {
        "to": "" if since <= until else "not before `from`",
        "from": "" if until - since <= timedelta(days=MOST_DAYS) else f"at most {MOST_DAYS} days before `to`",
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem]
    if fields:
        raise ValidationFailed(fields=fields)


def _row(named: dict[str, Any], measured: Sequence[Any]) -> UsageRow:
    values = dict(zip(_MEASURES, measured, strict=True))
    usd = values.pop("cost_usd")
    return UsageRow(**named, **{name: round(value) for name, value in values.items()}, cost_usd=dollars(usd))


def as_csv(report: UsageReport) -> str:
    """The report's rows with a heading, as RFC 4180 has it. No cell can be taken for a formula by a spreadsheet."""
    dimensions = [name for dimension in report.by for name, _ in _COLUMNS[dimension]]
    columns = [*dimensions, *_MEASURES]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for item in report.rows if report.by else [report.total]:
        values = asdict(item)
        writer.writerow([_cell(values[column]) for column in columns])
    return text.getvalue()


def _cell(value: object) -> object:
    """Names come from people and providers: one that begins like a formula gets a quote, and is shown as it is."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}"
    return "" if value is None else value

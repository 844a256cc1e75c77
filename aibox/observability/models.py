"""Observability's rows."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Numeric, func
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row


class GenerationRow(Row):
    """One model call; its place in the log is its key, so that the same event makes the same row."""

    __tablename__ = "generation"
    __table_args__ = ({"schema": "observability"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    turn: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    principal: Mapped[str]
    key: Mapped[str | None]
    agent: Mapped[str | None]
    provider: Mapped[str]
    model: Mapped[str]
    alias: Mapped[str]
    call: Mapped[str]
    ok: Mapped[bool]
    code: Mapped[str]
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    estimated: Mapped[bool]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    latency_ms: Mapped[int] = mapped_column(BigInteger)
    first_byte_ms: Mapped[int] = mapped_column(BigInteger)
    charged_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class BudgetRow(Row):
    """A limit of what a subject may cost in a period."""

    __tablename__ = "budget"
    __table_args__ = ({"schema": "observability"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str]
    subject_id: Mapped[str]
    period: Mapped[str]
    limit_usd: Mapped[Decimal] = mapped_column(Numeric)
    soft_pct: Mapped[int]
    action: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SpendingRow(Row):
    """What a subject spent and has reserved in one period; kept by the books alone."""

    __tablename__ = "spending"
    __table_args__ = ({"schema": "observability"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    starts: Mapped[date] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger)
    spent_usd: Mapped[Decimal] = mapped_column(Numeric)
    reserved_usd: Mapped[Decimal] = mapped_column(Numeric)

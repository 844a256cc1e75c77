"""Observability's rows."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Numeric
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
    provider: Mapped[str]
    model: Mapped[str]
    alias: Mapped[str]
    ok: Mapped[bool]
    code: Mapped[str]
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    estimated: Mapped[bool]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    latency_ms: Mapped[int] = mapped_column(BigInteger)
    first_byte_ms: Mapped[int] = mapped_column(BigInteger)

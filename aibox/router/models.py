"""The router's rows."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Numeric, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row


class ProviderRow(Row):
    """A place that serves models; `api_key` is sealed for owner `router.provider/<id>`, field `api_key`."""

    __tablename__ = "provider"
    __table_args__ = ({"schema": "router"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    adapter: Mapped[str] = mapped_column(default="chat_completions")
    base_url: Mapped[str]
    api_key: Mapped[str | None]
    enabled: Mapped[bool] = mapped_column(default=True)
    max_concurrency: Mapped[int | None]
    max_waiting: Mapped[int] = mapped_column(default=100)
    queue_seconds: Mapped[float] = mapped_column(default=30.0)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ModelRow(Row):
    """A model of a provider; prices in US dollars per million tokens, the first two both or neither."""

    __tablename__ = "model"
    __table_args__ = ({"schema": "router"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    capabilities: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    context: Mapped[int | None]
    input_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    output_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    cached_input_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    cache_write_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    reasoning_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    demonstration: Mapped[bool] = mapped_column(default=False)
    position: Mapped[int] = mapped_column(default=0)


class RoleRow(Row):
    """A model that an alias leads to; position 0 is asked first."""

    __tablename__ = "role"
    __table_args__ = ({"schema": "router"},)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[UUID]
    model: Mapped[str]

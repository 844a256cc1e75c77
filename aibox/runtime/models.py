"""Rows of conversations, items, runs and stream events."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row
from aibox.runtime import ApprovalStatus, RunStatus


class ConversationRow(Row):
    __tablename__ = "conversation"
    __table_args__ = {"schema": "runtime"}  # noqa: RUF012 - SQLAlchemy reads it as it is

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[UUID]
    title: Mapped[str] = mapped_column(Text, default="")
    pinned: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ItemRow(Row):
    __tablename__ = "item"
    __table_args__ = {"schema": "runtime"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation: Mapped[UUID]
    parent: Mapped[UUID | None]
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text, default="")
    model_content: Mapped[str] = mapped_column(Text, default="")
    run: Mapped[UUID]
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    trace: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    recalled: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    masked: Mapped[list[str]] = mapped_column(JSONB, default=list)
    tools: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class RunRow(Row):
    __tablename__ = "run"
    __table_args__ = {"schema": "runtime"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation: Mapped[UUID]
    item: Mapped[UUID]
    status: Mapped[RunStatus] = mapped_column(Text)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(Text)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ApprovalRow(Row):
    __tablename__ = "approval"
    __table_args__ = {"schema": "runtime"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[UUID]
    conversation: Mapped[UUID]
    run: Mapped[UUID]
    call: Mapped[str] = mapped_column(Text)
    tool: Mapped[str] = mapped_column(Text)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB)
    risk: Mapped[str] = mapped_column(Text)
    status: Mapped[ApprovalStatus] = mapped_column(Text, default="pending")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_in: Mapped[UUID | None]
    heard_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the run took up what was decided, or ended the wait for it."""


class RunEventRow(Row):
    __tablename__ = "run_event"
    __table_args__ = {"schema": "runtime"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    run: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    data: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

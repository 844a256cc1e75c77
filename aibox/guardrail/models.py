"""Rows of the guardrail."""

from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row


class PolicyRow(Row):
    """What a tenant wants, or one of its agents or API keys; both empty is the tenant. `policy` is the face's."""

    __tablename__ = "policy"
    __table_args__ = {"schema": "guardrail"}  # noqa: RUF012 - SQLAlchemy's way

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(primary_key=True)
    policy: Mapped[dict[str, Any]] = mapped_column(JSONB)


class VaultRow(Row):
    """The value that a token of a conversation stands for, sealed for the person who wrote it."""

    __tablename__ = "vault"
    __table_args__ = {"schema": "guardrail"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    conversation: Mapped[UUID] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[UUID]
    kid: Mapped[str]
    sealed: Mapped[bytes]

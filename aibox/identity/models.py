"""Rows of the schema `identity`. Only hashes of secrets are stored."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row

_SCHEMA = {"schema": "identity"}
_Time = TIMESTAMP(timezone=True)


class TenantRow(Row):
    __tablename__ = "tenant"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str]


class UserRow(Row):
    __tablename__ = "user"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    handle: Mapped[str]
    email: Mapped[str]
    name: Mapped[str]
    pseudonym: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    status: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_Time)


class PasswordRow(Row):
    __tablename__ = "password"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "user_id"], ["identity.user.tenant", "identity.user.id"]),
        _SCHEMA,
    )

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    hash: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(_Time)


class SetupLinkRow(Row):
    __tablename__ = "setup_link"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(_Time)
    used_at: Mapped[datetime | None] = mapped_column(_Time)


class SessionRow(Row):
    __tablename__ = "session"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "user_id"], ["identity.user.tenant", "identity.user.id"]),
        _SCHEMA,
    )

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    kind: Mapped[str]
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    agent: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_Time)
    seen_at: Mapped[datetime] = mapped_column(_Time)
    expires_at: Mapped[datetime] = mapped_column(_Time)
    revoked_at: Mapped[datetime | None] = mapped_column(_Time)


class RefreshTokenRow(Row):
    __tablename__ = "refresh_token"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "session_id"], ["identity.session.tenant", "identity.session.id"]),
        _SCHEMA,
    )

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID]
    expires_at: Mapped[datetime] = mapped_column(_Time)
    used_at: Mapped[datetime | None] = mapped_column(_Time)


class ApiKeyRow(Row):
    __tablename__ = "api_key"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "user_id"], ["identity.user.tenant", "identity.user.id"]),
        _SCHEMA,
    )

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(_Time)
    expires_at: Mapped[datetime] = mapped_column(_Time)
    revoked_at: Mapped[datetime | None] = mapped_column(_Time)
    used_at: Mapped[datetime | None] = mapped_column(_Time)

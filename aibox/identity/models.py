"""Rows of the schema `identity`. Only hashes of secrets are stored."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, LargeBinary, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
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
    created_at: Mapped[datetime] = mapped_column(_Time)


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
    issuer: Mapped[str] = mapped_column(default="")
    subject: Mapped[str] = mapped_column(default="")
    signed_out_at: Mapped[datetime | None] = mapped_column(_Time)


class RoleRow(Row):
    """A role that the tenant made. `rights` is its `RoleRights`."""

    __tablename__ = "role"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    about: Mapped[str]
    rights: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(_Time)
    updated_at: Mapped[datetime] = mapped_column(_Time)


class InvitationRow(Row):
    __tablename__ = "invitation"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    invited_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(_Time)
    expires_at: Mapped[datetime] = mapped_column(_Time)
    accepted_at: Mapped[datetime | None] = mapped_column(_Time)
    revoked_at: Mapped[datetime | None] = mapped_column(_Time)


class GroupMappingRow(Row):
    """Which groups of an issuer have which roles here, instead of what the settings say."""

    __tablename__ = "group_mapping"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    claim: Mapped[str]
    groups: Mapped[dict[str, str]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(_Time)


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
    auth_time: Mapped[datetime] = mapped_column(_Time)
    amr: Mapped[list[str]] = mapped_column(ARRAY(Text))
    issuer: Mapped[str] = mapped_column(default="")
    issuer_sid: Mapped[str] = mapped_column(default="")
    device: Mapped[UUID | None]
    visiting: Mapped[UUID | None]


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
    models: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    budget_usd: Mapped[Decimal | None] = mapped_column(Numeric)


def _person() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "user_id"], ["identity.user.tenant", "identity.user.id"])


class TotpRow(Row):
    """`sealed` is the shared secret under the person's data key; unconfirmed until a code of it was shown."""

    __tablename__ = "totp"
    __table_args__ = (_person(), _SCHEMA)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    confirmed_at: Mapped[datetime | None] = mapped_column(_Time)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)


class PasskeyRow(Row):
    __tablename__ = "passkey"
    __table_args__ = (_person(), _SCHEMA)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(_Time)
    used_at: Mapped[datetime | None] = mapped_column(_Time)


class RecoveryCodeRow(Row):
    __tablename__ = "recovery_code"
    __table_args__ = (_person(), _SCHEMA)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(_Time)


class DeviceRow(Row):
    """A paired device; it signs approvals with the private half of `public_key` (Ed25519, 32 bytes)."""

    __tablename__ = "device"
    __table_args__ = (_person(), _SCHEMA)

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    name: Mapped[str]
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(_Time)
    revoked_at: Mapped[datetime | None] = mapped_column(_Time)


class EndedSignInRow(Row):
    __tablename__ = "ended_sign_in"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    sid: Mapped[str] = mapped_column(primary_key=True)


class SpentUseRow(Row):
    __tablename__ = "spent_use"
    __table_args__ = _SCHEMA

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    token: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    use: Mapped[int] = mapped_column(primary_key=True)
    turn: Mapped[UUID]

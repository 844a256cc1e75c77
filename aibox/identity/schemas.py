"""Bodies of the sign-in and people routes. camelCase where spec.md writes it so."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from aibox.identity import ApiKey, Role, Scope, Session, Status, User


class SetupBody(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    name: str
    email: str
    password: str


class LoginBody(Struct, frozen=True, forbid_unknown_fields=True):
    username: str
    password: str


class RefreshBody(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: str


class ProfileBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class KeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    scopes: list[Scope]
    days: int = 365


class UserBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    email: str
    password: str
    roles: tuple[Role, ...] = ("member",)


class UserPatch(Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    roles: list[Role] | None = None
    status: Status | None = None


class Config(Struct, frozen=True, rename="camel"):
    password_login_enabled: bool
    setup_required: bool


class Person(Struct, frozen=True, rename="camel"):
    """A user as the web app knows one."""

    id: UUID
    handle: str
    email: str
    display_name: str
    tenant_id: UUID


class SignedIn(Struct, frozen=True, rename="camel"):
    user: Person
    csrf_token: str


class Me(Struct, frozen=True, rename="camel"):
    """`csrfToken` is null when the caller did not come by a session."""

    user: Person
    roles: list[str]
    permissions: dict[str, Any]
    csrf_token: str | None


class SessionView(Struct, frozen=True):
    id: UUID
    kind: str
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class Sessions(Struct, frozen=True):
    sessions: list[SessionView]


class KeyView(Struct, frozen=True):
    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked: bool


class Keys(Struct, frozen=True):
    keys: list[KeyView]


class NewKey(Struct, frozen=True):
    """`key` is shown this once."""

    key: str


class UserView(Struct, frozen=True):
    id: UUID
    tenant_id: UUID
    handle: str
    email: str
    name: str
    roles: list[str]
    status: str
    created_at: datetime


class Users(Struct, frozen=True):
    users: list[UserView]


def person(user: User) -> Person:
    return Person(id=user.id, handle=user.handle, email=user.email, display_name=user.name, tenant_id=user.tenant)


def user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        tenant_id=user.tenant,
        handle=user.handle,
        email=user.email,
        name=user.name,
        roles=list(user.roles),
        status=user.status,
        created_at=user.created_at,
    )


def session_view(session: Session, *, current: str | None) -> SessionView:
    return SessionView(
        id=session.id,
        kind=session.kind,
        agent=session.agent,
        created_at=session.created_at,
        seen_at=session.seen_at,
        expires_at=session.expires_at,
        current=str(session.id) == current,
    )


def key_view(key: ApiKey) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.used_at,
        revoked=key.is_revoked,
    )

"""Who is calling: accounts, passwords, sessions, keys and roles become a Principal; `authorize` says what it may."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, Conflict, Forbidden
from aibox.core.events import Event
from aibox.core.turn import Principal, Turn


class Settings(Struct, frozen=True, kw_only=True):
    """Sign-in."""

    session_idle_hours: Annotated[int, Meta(description="A web session ends after this much idleness", ge=1)] = 12
    session_days: Annotated[int, Meta(description="A web session ends after this many days", ge=1)] = 7
    access_minutes: Annotated[int, Meta(description="Life of an access token", ge=1, le=60)] = 15


class TenancySettings(Struct, frozen=True, kw_only=True):
    """Whether one team or several share the installation."""

    single_tenant_id: Annotated[UUID, Meta(description="The tenant of a single-tenant installation")] = UUID(
        "00000000-0000-7000-8000-000000000001"
    )


class MissingToken(AIBoxError):
    """No credentials on a private route (T01)."""

    status = 401
    code = "missing_token"
    sentence = "Sign in, or send an API key or access token."


class InvalidToken(AIBoxError):
    status = 401
    code = "invalid_token"
    sentence = "The access token is not valid."


class InvalidCredentials(AIBoxError):
    status = 401
    code = "invalid_credentials"
    sentence = "E-mail or password is wrong."


class ChallengeInvalid(AIBoxError):
    """A setup link that is wrong, used or expired (L03)."""

    status = 401
    code = "challenge_invalid"
    sentence = "This link was used, has expired, or is not complete."


class InsufficientScope(Forbidden):
    code = "insufficient_scope"
    sentence = "The API key does not have the scope for this."


class CsrfFailed(Forbidden):
    code = "csrf_failed"
    sentence = "The request did not come from the web app's own page."


class LastOwner(Conflict):
    code = "last_owner"
    sentence = "The last owner cannot be removed or demoted."


class User(Struct, frozen=True, kw_only=True):
    """A person of a tenant. `handle` is the part before the @ unless taken."""

    id: UUID
    tenant: UUID
    handle: str
    email: str
    name: str
    roles: tuple[str, ...]
    status: Literal["active", "suspended", "deactivated"]
    created_at: datetime


@runtime_checkable
class Identity(Protocol):
    """Knows people and their credentials. All methods act in the turn's tenant; a stranger's object is NotFound."""

    async def authenticate(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Principal | None:
        """The principal of a request's credential, None without one. Raises the 401 or 403 of identity.md's tables."""
        ...

    async def authorize(self, turn: Turn, policy: str, *, scope: str | None = None) -> None:
        """Raise unless `turn`'s principal meets `policy`: `public`, `signed-in`, or a dotted permission; for an API key
        also `scope`."""
        ...

    async def setup_link(self, turn: Turn) -> str | None:
        """A new one-use link for the first owner (24 h), which voids earlier ones; None once there is an owner."""
        ...

    async def create_user(self, turn: Turn, *, name: str, email: str, password: str, roles: Sequence[str]) -> User: ...

    async def users(self, turn: Turn) -> list[User]: ...

    async def user(self, turn: Turn, user_id: UUID) -> User: ...

    async def set_roles(self, turn: Turn, user_id: UUID, roles: Sequence[str]) -> User:
        """Replace the user's roles. Raises `LastOwner`."""
        ...

    async def set_status(self, turn: Turn, user_id: UUID, status: str) -> User:
        """Suspend, deactivate or re-activate; sessions and keys of an inactive user stop within a second."""
        ...

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        """Replace the password and end all sessions of the user."""
        ...

    async def create_key(self, turn: Turn, *, user_id: UUID, name: str, scopes: Sequence[str], days: int = 365) -> str:
        """A new API key of the user, shown this once: `aibox_<id>_<secret>_<crc>`."""
        ...

    async def keys(self, turn: Turn, *, user_id: UUID) -> list[dict[str, Any]]: ...

    async def revoke_key(self, turn: Turn, *, user_id: UUID, key_id: str) -> None: ...


class SignedIn(Event, frozen=True, kw_only=True):
    """Someone signed in; `method` is `password` or `setup`."""

    type: ClassVar[str] = "auth.login"
    actor: str
    method: str


class SignInFailed(Event, frozen=True, kw_only=True):
    """A sign-in was refused, in the platform tenant's log when no account is known."""

    type: ClassVar[str] = "auth.login_failed"
    code: str

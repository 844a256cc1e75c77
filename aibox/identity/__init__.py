"""Who is calling: accounts, passwords, sessions, keys and roles become a Principal; `authorize` says what it may."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, BadRequest, Conflict, Forbidden
from aibox.core.events import Event
from aibox.core.turn import Principal, Turn

API_PREFIXES = ("/v1", "/api", "/auth", "/docs", "/metrics")
"""Paths where credentials are read; all others are health checks and the web app's own files."""


def is_api(path: str) -> bool:
    """Whether `path` is one of `API_PREFIXES` or below one, in any case."""
    folded = path.lower()
    return any(folded == prefix or folded.startswith(f"{prefix}/") for prefix in API_PREFIXES)


class Settings(Struct, frozen=True, kw_only=True):
    """Sign-in."""

    session_idle_hours: Annotated[int, Meta(description="A web session ends after this much idleness", ge=1)] = 12
    session_days: Annotated[
        int, Meta(description="A session, and the refresh tokens of one, end after this many days", ge=1)
    ] = 7
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


class TokenExpired(AIBoxError):
    status = 401
    code = "token_expired"
    sentence = "The access token has expired; refresh it."


class InvalidAudience(AIBoxError):
    status = 401
    code = "invalid_audience"
    sentence = "The access token was not issued for AIBox."


class InvalidIssuer(AIBoxError):
    status = 401
    code = "invalid_issuer"
    sentence = "The access token comes from an issuer that is not trusted here."


class WrongTokenType(AIBoxError):
    status = 401
    code = "wrong_token_type"
    sentence = "This token is not an access token."


class InvalidApiKey(AIBoxError):
    """A key that is malformed, unknown, expired or revoked (T30)."""

    status = 401
    code = "invalid_api_key"
    sentence = "The API key is not valid."


class SessionRevoked(AIBoxError):
    """The session behind a cookie or token has ended: signed out, idle, password changed, user disabled (T19, L13)."""

    status = 401
    code = "session_revoked"
    sentence = "The session has ended; sign in again."


class InvalidCredentials(AIBoxError):
    status = 401
    code = "invalid_credentials"
    sentence = "E-mail or password is wrong."


class ChallengeInvalid(AIBoxError):
    """A setup link that is wrong, used or expired (L03)."""

    status = 401
    code = "challenge_invalid"
    sentence = "This link was used, has expired, or is not complete."


class InvalidRequest(BadRequest):
    """More than one credential, or one in the query string (T25)."""

    code = "invalid_request"
    sentence = "Send exactly one credential, in a header."


class InvalidGrant(BadRequest):
    """A refresh token that is unknown, expired or was used before (L10)."""

    code = "invalid_grant"
    sentence = "The refresh token is not valid; sign in again."


class InsufficientScope(Forbidden):
    code = "insufficient_scope"
    sentence = "The API key does not have the scope for this."


class CsrfFailed(Forbidden):
    code = "csrf_failed"
    sentence = "The request did not come from the web app's own page."


class TenantMismatch(Forbidden):
    code = "tenant_mismatch"
    sentence = "The request names another tenant than its credential."


class TenantNotProvisioned(Forbidden):
    code = "tenant_not_provisioned"
    sentence = "This tenant is not active here."


class LastOwner(Conflict):
    code = "last_owner"
    sentence = "The last owner cannot be removed or demoted."


Status = Literal["active", "suspended", "deactivated"]
Role = Literal["owner", "admin", "member", "viewer"]
ANY_SCOPE = "any"
"""What a route states as its scope when every API key may call it."""

Scope = Literal["chat", "models", "memory", "knowledge", "sandbox", "agents", "audit:read", "metrics", "admin"]


class User(Struct, frozen=True, kw_only=True):
    """A person of a tenant. `handle` is the part before the @, with a number where that is taken.

    `pseudonym` is random: what events call the person.
    """

    id: UUID
    tenant: UUID
    pseudonym: str
    handle: str
    email: str
    name: str
    roles: tuple[str, ...]
    status: Status
    created_at: datetime


class Session(Struct, frozen=True, kw_only=True):
    """A signed-in browser (`web`) or the family of a client's tokens (`token`)."""

    id: UUID
    kind: Literal["web", "token"]
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key as it may be shown again: without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    is_revoked: bool


class Client(Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from. Both are personal: they reach the log as a sealed artifact only."""

    address: str
    agent: str = ""


class WebGrant(Struct, frozen=True, kw_only=True):
    """A browser's sign-in: `cookie` is the whole `Set-Cookie` value, and goes nowhere else."""

    user: User
    cookie: str
    csrf_token: str


class TokenGrant(Struct, frozen=True, kw_only=True):
    """A client's sign-in, in the words of RFC 6749 §5.1. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name


@runtime_checkable
class Identity(Protocol):
    """Knows people and their credentials. All methods act in the turn's tenant; a stranger's object is NotFound.

    Methods that change another's account need `admin.manage_users`, and nobody hands out or takes away rights that
    they do not have themselves.
    """

    def run(self, tasks: asyncio.TaskGroup) -> AbstractAsyncContextManager[None]:
        """Make the tenant at the first start, and hear revocations until the block ends."""
        ...

    # Who is calling

    async def authenticate(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Principal | None:
        """The principal of a request's credential, None without one. Raises the 401 or 403 of identity.md's tables."""
        ...

    async def authorize(self, turn: Turn, policy: str, *, scope: str | None = None) -> None:
        """Raise unless `turn`'s principal meets `policy`: `public`, `signed-in`, or a dotted permission.

        With an API key `scope` must be among its scopes or `any`, and a route without a scope takes no key. A denial
        is an event. Raises `MissingToken`, `Forbidden` or `InsufficientScope`.
        """
        ...

    async def recheck(self, turn: Turn) -> None:
        """Raise `SessionRevoked` when the turn's credential has ended since; for streams, once a second. Cheap."""
        ...

    def is_own_page(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a page of ours sent this. Raises `CsrfFailed` when another site's did; False: no browser did."""
        ...

    # Signing in and out

    async def setup_required(self) -> bool:
        """Whether there is no owner yet."""
        ...

    async def setup_link(self, turn: Turn) -> str | None:
        """A new one-use link for the first owner (24 h), which voids earlier ones; None once there is an owner."""
        ...

    async def redeem_setup(
        self, turn: Turn, *, token: str, name: str, email: str, password: str, client: Client, browser: bool
    ) -> WebGrant | TokenGrant:
        """Make the first owner and sign them in. Raises `ChallengeInvalid`, or `ValidationFailed` (the link stays)."""
        ...

    async def sign_in(
        self, turn: Turn, *, username: str, password: str, client: Client, browser: bool
    ) -> WebGrant | TokenGrant:
        """Sign in by e-mail or handle. Raises `InvalidCredentials` or `RateLimited`."""
        ...

    async def refresh(self, turn: Turn, *, refresh_token: str) -> TokenGrant:
        """A new pair for a refresh token, with the rights of now. A used token ends its family (`InvalidGrant`)."""
        ...

    async def sign_out(self, turn: Turn) -> None:
        """End the session of the turn's credential."""
        ...

    def expired_cookie(self) -> str:
        """The `Set-Cookie` value that makes a browser forget its session."""
        ...

    def csrf_token(self, turn: Turn) -> str | None:
        """The `X-CSRF-Token` of the turn's web session; None for other credentials."""
        ...

    def jwks(self) -> dict[str, Any]:
        """The public keys of our access tokens, as an RFC 7517 key set."""
        ...

    async def sessions(self, turn: Turn) -> list[Session]:
        """The caller's open sessions, newest first."""
        ...

    async def revoke_session(self, turn: Turn, session_id: UUID) -> None:
        """End one of the caller's sessions."""
        ...

    # People

    async def create_user(self, turn: Turn, *, name: str, email: str, password: str, roles: Sequence[str]) -> User:
        """A new person. Raises `ValidationFailed` (also for a common password), or `Conflict` for a known e-mail."""
        ...

    async def users(self, turn: Turn) -> list[User]:
        """Everyone in the tenant, oldest first."""
        ...

    async def user(self, turn: Turn, user_id: UUID) -> User: ...

    async def user_by_email(self, turn: Turn, email: str) -> User: ...

    async def rename(self, turn: Turn, user_id: UUID, name: str) -> User:
        """Change the name shown; one's own, or with `admin.manage_users` another's."""
        ...

    async def set_roles(self, turn: Turn, user_id: UUID, roles: Sequence[str]) -> User:
        """Replace the user's roles, in effect for running sessions within a second. Raises `LastOwner`."""
        ...

    async def set_status(self, turn: Turn, user_id: UUID, status: Status) -> User:
        """Suspend, deactivate or re-activate; sessions and keys of an inactive user stop within a second."""
        ...

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        """Replace the password and end all sessions of the user."""
        ...

    # API keys

    async def create_key(self, turn: Turn, *, user_id: UUID, name: str, scopes: Sequence[str], days: int = 365) -> str:
        """A new API key of the user, shown this once: `aibox_<id>_<secret>_<crc>`."""
        ...

    async def keys(self, turn: Turn, *, user_id: UUID) -> list[ApiKey]: ...

    async def revoke_key(self, turn: Turn, *, user_id: UUID, key_id: str) -> None: ...


class SignedIn(Event, frozen=True, kw_only=True):
    """Someone signed in; `method` is `password` or `setup`. Address and user agent are its artifact."""

    type: ClassVar[str] = "auth.login"
    actor: str
    method: str
    session: str


class SignInFailed(Event, frozen=True, kw_only=True):
    """A sign-in was refused with `code`, in the platform tenant's log. Address and user agent are its artifact."""

    type: ClassVar[str] = "auth.login_failed"
    code: str


class SignedOut(Event, frozen=True, kw_only=True):
    """A session was ended by its user."""

    type: ClassVar[str] = "auth.logout"
    actor: str
    session: str


class RefreshReused(Event, frozen=True, kw_only=True):
    """A refresh token came a second time, so its whole family was ended: someone else may have it."""

    type: ClassVar[str] = "auth.refresh_reused"
    target: str
    session: str


class KeyCreated(Event, frozen=True, kw_only=True):
    """An API key was made for `target`."""

    type: ClassVar[str] = "auth.key_created"
    actor: str
    target: str
    key: str
    scopes: tuple[str, ...]


class KeyRevoked(Event, frozen=True, kw_only=True):
    """An API key was revoked."""

    type: ClassVar[str] = "auth.key_revoked"
    actor: str
    target: str
    key: str


class Denied(Event, frozen=True, kw_only=True):
    """A known caller may not do what it asked for."""

    type: ClassVar[str] = "auth.denied"
    actor: str
    policy: str
    code: str


class HeaderStripped(Event, frozen=True, kw_only=True):
    """A caller sent identity headers that only we may set; they were dropped."""

    type: ClassVar[str] = "auth.header_stripped"
    actor: str
    headers: tuple[str, ...]


class TenantCreated(Event, frozen=True, kw_only=True):
    """A tenant came to be; the first start makes the one of a single-tenant installation."""

    type: ClassVar[str] = "admin.tenant.created"
    actor: str
    target: str


class SetupLinkCreated(Event, frozen=True, kw_only=True):
    """A one-use link for the first owner was made; earlier ones are void."""

    type: ClassVar[str] = "admin.setup_link.created"
    actor: str


class UserCreated(Event, frozen=True, kw_only=True):
    """A person was added, with these roles. Name and e-mail stand in the account only, where they can be erased."""

    type: ClassVar[str] = "admin.user.created"
    actor: str
    target: str
    roles: tuple[str, ...]


class UserRolesChanged(Event, frozen=True, kw_only=True):
    """A person's roles were replaced."""

    type: ClassVar[str] = "admin.user.roles_changed"
    actor: str
    target: str
    roles: tuple[str, ...]


class UserStatusChanged(Event, frozen=True, kw_only=True):
    """A person was suspended, deactivated or re-activated."""

    type: ClassVar[str] = "admin.user.status_changed"
    actor: str
    target: str
    status: str


class UserPasswordChanged(Event, frozen=True, kw_only=True):
    """A person's password was replaced, and all their sessions ended."""

    type: ClassVar[str] = "admin.user.password_changed"
    actor: str
    target: str


class UserRenamed(Event, frozen=True, kw_only=True):
    """A person's shown name was changed."""

    type: ClassVar[str] = "admin.user.renamed"
    actor: str
    target: str

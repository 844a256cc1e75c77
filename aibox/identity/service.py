"""Identity put together: which credential a request carries, what its principal may do, and how people sign in."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.errors import Forbidden
from aibox.core.eventlog import EventLog
from aibox.core.keyring import Rings
from aibox.core.turn import Principal, Turn, begin, system_turn
from aibox.identity import (
    ANY_SCOPE,
    ApiKey,
    Client,
    CsrfFailed,
    Denied,
    InsufficientScope,
    InvalidApiKey,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Session,
    SessionRevoked,
    Settings,
    SignInFailed,
    Status,
    TenancySettings,
    TenantCreated,
    TokenGrant,
    User,
    WebGrant,
)
from aibox.identity.accounts import Accounts, actor
from aibox.identity.apikeys import ApiKeys
from aibox.identity.credentials import Credentials
from aibox.identity.passwords import Passwords
from aibox.identity.roles import unite
from aibox.identity.secrets import csrf_tokens, is_csrf_token
from aibox.identity.sessions import Sessions, origin_artifact
from aibox.identity.standing import Standing
from aibox.identity.throttle import Throttle
from aibox.identity.tokens import AccessTokens
from aibox.identity.web import SAFE_METHODS, Web
from aibox.stores import Cache


class IdentityService:
    """The `Identity` of local accounts in the one tenant of a single-tenant installation."""

    def __init__(
        self,
        settings: Settings,
        tenancy: TenancySettings,
        *,
        db: Database,
        connections: Connections,
        log: EventLog,
        rings: Rings,
        cache: Cache,
        base_url: str,
        production: bool = False,
    ) -> None:
        """Raises `BootRefused` for a public URL or a token key that must not be used."""
        self._tenant = tenancy.single_tenant_id
        self._db = db
        self._log = log
        self._base_url = base_url
        self._cookies = rings["cookie"]
        self._web = Web(base_url, production=production)
        self._tokens = AccessTokens(rings["token"], base_url=base_url, life=settings.access_minutes * 60)
        self._standing = Standing(connections)
        self._credentials = Credentials(
            connections, self._tokens, rings["apikey"], idle=timedelta(hours=settings.session_idle_hours)
        )
        self._accounts = Accounts(db, Passwords(), self._standing)
        self._keys = ApiKeys(db, self._standing, rings["apikey"])
        self._sessions = Sessions(
            db,
            connections,
            log,
            self._credentials,
            self._standing,
            self._tokens,
            self._web,
            self._cookies,
            life=timedelta(days=settings.session_days),
        )
        self._throttle = Throttle(cache)
        self._has_owner = False

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        await self._provide_tenant()
        async with self._standing.run(tasks):
            yield

    async def authenticate(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Principal | None:
        secret = self._web.secret(headers)
        credential = _extract(headers)
        if credential is None and secret is None:
            return None
        if credential is not None and secret is not None:
            raise InvalidRequest()
        if credential is None:
            assert secret is not None
            principal = await self._of_cookie(secret)
            if method not in SAFE_METHODS:
                self._require_own_page(principal, headers)
            return principal
        key = hashlib.sha256(credential.encode()).digest()
        if credential.startswith("aibox_"):
            return await self._standing.principal(key, lambda: self._credentials.api_key(credential))
        return await self._standing.principal(key, lambda: self._credentials.access_token(credential))

    async def authorize(self, turn: Turn, policy: str, *, scope: str | None = None) -> None:
        principal = turn.principal
        if policy == "public":
            return
        if principal.kind == "anonymous":
            raise MissingToken()
        error = None
        if policy != "signed-in" and not principal.may(policy):
            error = Forbidden()
        elif principal.scopes is not None and scope != ANY_SCOPE and scope not in principal.scopes:
            error = InsufficientScope()
        if error is not None:
            await self._log.log(turn, Denied(actor=actor(turn), policy=policy, code=error.code))
            raise error

    async def recheck(self, turn: Turn) -> None:
        principal = turn.principal
        try:
            if principal.session_id is not None:
                session = UUID(principal.session_id)
                key = hashlib.sha256(b"session\n" + session.bytes).digest()
                await self._standing.principal(key, lambda: self._credentials.session(session))
            elif principal.key_id is not None:
                named = principal.key_id
                key = hashlib.sha256(b"key\n" + principal.tenant.bytes + named.encode()).digest()
                await self._standing.principal(key, lambda: self._credentials.api_key_named(principal.tenant, named))
        except InvalidApiKey:
            raise SessionRevoked("The API key was revoked.") from None

    def is_own_page(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        return self._web.is_own_page(headers)

    async def setup_required(self) -> bool:
        # There is always an owner once there was one, so a yes need not be asked again.
        self._has_owner = self._has_owner or await self._accounts.has_owner(system_turn(self._tenant))
        return not self._has_owner

    async def setup_link(self, turn: Turn) -> str | None:
        token = await self._accounts.setup_token(turn)
        return None if token is None else f"{self._base_url}/setup#token={token}"

    async def redeem_setup(
        self, turn: Turn, *, token: str, name: str, email: str, password: str, client: Client, browser: bool
    ) -> WebGrant | TokenGrant:
        console = system_turn(self._tenant)
        user = await self._accounts.redeem(console, token=token, name=name, email=email, password=password)
        await self._log.end(console, "sealed")
        return await self._open_session(user, method="setup", client=client, browser=browser)

    async def sign_in(
        self, turn: Turn, *, username: str, password: str, client: Client, browser: bool
    ) -> WebGrant | TokenGrant:
        await self._throttle.attempt(username, client.address)
        user = await self._accounts.verified(system_turn(self._tenant), username, password)
        if user is None:
            await self._log.log(turn, SignInFailed(code=InvalidCredentials.code, artifacts=(origin_artifact(client),)))
            raise InvalidCredentials()
        await self._throttle.succeeded(username, client.address)
        return await self._open_session(user, method="password", client=client, browser=browser)

    async def refresh(self, turn: Turn, *, refresh_token: str) -> TokenGrant:
        return await self._sessions.refresh(refresh_token)

    async def sign_out(self, turn: Turn) -> None:
        if turn.principal.session_id is None:
            raise InvalidRequest("An API key has no session to end; revoke it instead.")
        await self._sessions.end(turn, UUID(turn.principal.session_id))

    def expired_cookie(self) -> str:
        return self._web.cookie("", seconds=0)

    def csrf_token(self, turn: Turn) -> str | None:
        session = turn.principal.session_id
        return None if session is None else csrf_tokens(self._cookies, UUID(session))[0]

    def jwks(self) -> dict[str, Any]:
        return self._tokens.jwks()

    async def sessions(self, turn: Turn) -> list[Session]:
        return await self._sessions.open_ones(turn)

    async def revoke_session(self, turn: Turn, session_id: UUID) -> None:
        await self._sessions.end(turn, session_id)

    async def create_user(self, turn: Turn, *, name: str, email: str, password: str, roles: Sequence[str]) -> User:
        return await self._accounts.create(turn, name=name, email=email, password=password, roles=roles)

    async def users(self, turn: Turn) -> list[User]:
        return await self._accounts.all(turn)

    async def user(self, turn: Turn, user_id: UUID) -> User:
        return await self._accounts.one(turn, user_id)

    async def user_by_email(self, turn: Turn, email: str) -> User:
        return await self._accounts.by_email(turn, email)

    async def rename(self, turn: Turn, user_id: UUID, name: str) -> User:
        return await self._accounts.rename(turn, user_id, name)

    async def set_roles(self, turn: Turn, user_id: UUID, roles: Sequence[str]) -> User:
        return await self._accounts.set_roles(turn, user_id, roles)

    async def set_status(self, turn: Turn, user_id: UUID, status: Status) -> User:
        return await self._accounts.set_status(turn, user_id, status)

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        await self._accounts.set_password(turn, user_id, password)

    async def create_key(self, turn: Turn, *, user_id: UUID, name: str, scopes: Sequence[str], days: int = 365) -> str:
        return await self._keys.create(turn, user_id=user_id, name=name, scopes=scopes, days=days)

    async def keys(self, turn: Turn, *, user_id: UUID) -> list[ApiKey]:
        return await self._keys.all(turn, user_id=user_id)

    async def revoke_key(self, turn: Turn, *, user_id: UUID, key_id: str) -> None:
        await self._keys.revoke(turn, user_id=user_id, key_id=key_id)

    async def _provide_tenant(self) -> None:
        turn = system_turn(self._tenant)
        async with self._db.work(turn) as work:
            made = await work.session.execute(
                text(
                    "INSERT INTO identity.tenant (tenant, name) VALUES (:tenant, 'AIBox')"
                    " ON CONFLICT DO NOTHING RETURNING 1"
                ),
                {"tenant": self._tenant},
            )
            if made.first() is not None:
                work.record(TenantCreated(actor="system", target=str(self._tenant)))
        await self._log.end(turn, "sealed")

    async def _of_cookie(self, secret: str) -> Principal:
        key = hashlib.sha256(b"cookie\n" + secret.encode()).digest()
        try:
            return await self._standing.principal(key, lambda: self._credentials.web_session(secret))
        except SessionRevoked:
            raise SessionRevoked(headers={"Set-Cookie": self.expired_cookie()}) from None

    def _require_own_page(self, principal: Principal, headers: Sequence[tuple[bytes, bytes]]) -> None:
        assert principal.session_id is not None
        sent = [value for name, value in headers if name == b"x-csrf-token"]
        if not self._web.is_own_page(headers) or len(sent) != 1:
            raise CsrfFailed()
        if not is_csrf_token(self._cookies, UUID(principal.session_id), sent[0]):
            raise CsrfFailed()

    async def _open_session(self, user: User, *, method: str, client: Client, browser: bool) -> WebGrant | TokenGrant:
        """Sign `user` in, in a turn of their own: until here the request was nobody's."""
        self._has_owner = self._has_owner or "owner" in user.roles
        turn = begin(_principal(user))
        if browser:
            grant: WebGrant | TokenGrant = await self._sessions.open_web(turn, user, method=method, client=client)
        else:
            grant = await self._sessions.open_tokens(turn, method=method, client=client)
        await self._log.end(turn, "sealed")
        return grant


def _principal(user: User) -> Principal:
    return Principal(
        kind="user",
        tenant=user.tenant,
        id=user.id,
        pseudonym=user.pseudonym,
        roles=user.roles,
        permissions=unite(user.roles),
    )


def _extract(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The one bearer credential of a request, whichever header carries it, so that no surface knows fewer rules.

    Raises `InvalidRequest` for more than one, `InvalidToken` for another scheme or an empty one.
    """
    found: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.strip().partition(b" ")
            found.append(credential.strip() if scheme.lower() == b"bearer" else b"")
        elif name == b"x-api-key":
            found.append(value.strip())
    if not found:
        return None
    if len(found) > 1:
        raise InvalidRequest()
    if not found[0] or not found[0].isascii():
        raise InvalidToken()
    return found[0].decode()

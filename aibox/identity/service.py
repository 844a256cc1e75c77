"""Identity put together: which credential a request carries, what its principal may do, and how people sign in."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.errors import AIBoxError, BootRefused, Conflict, Forbidden, NotFound
from aibox.core.eventlog import EventLog
from aibox.core.http import Client as HttpClient
from aibox.core.keyring import Rings
from aibox.core.keys import DataKeys
from aibox.core.mail import Mail
from aibox.core.turn import Principal, Turn, system_turn, uuid7
from aibox.identity import (
    ANY_SCOPE,
    ApiKey,
    Call,
    Client,
    CsrfFailed,
    Denied,
    Examined,
    Fresh,
    Grant,
    InsufficientScope,
    InsufficientUserAuthentication,
    InvalidApiKey,
    InvalidDpopProof,
    InvalidRequest,
    InvalidToken,
    Issuer,
    Method,
    MissingToken,
    Pending,
    Session,
    SessionRevoked,
    Settings,
    Status,
    TenancySettings,
    TokenGrant,
    User,
)
from aibox.identity.account import AccountService
from aibox.identity.accounts import Accounts, actor
from aibox.identity.apikeys import ApiKeys
from aibox.identity.captokens import CapTokens
from aibox.identity.challenges import Handshakes, Nonces, Pairings, Pushes, SignIns, Tests, is_recent
from aibox.identity.credentials import Credentials
from aibox.identity.factors import SecondFactors
from aibox.identity.federation import Federation
from aibox.identity.invitations import InvitationBook
from aibox.identity.issuers import Issuers, table
from aibox.identity.joining import InvitationService
from aibox.identity.passwords import Passwords
from aibox.identity.proofs import Proofs
from aibox.identity.rolebook import RoleBook
from aibox.identity.roles import may_all
from aibox.identity.secrets import csrf_tokens, is_csrf_token, new_secret
from aibox.identity.services import SignInServiceBook
from aibox.identity.sessions import Sessions
from aibox.identity.signin import SignIn
from aibox.identity.sso import BEGUN_SECONDS, SingleSignOn
from aibox.identity.stamps import Stamps
from aibox.identity.standing import Standing
from aibox.identity.tenants import TenantBook
from aibox.identity.throttle import Throttle
from aibox.identity.tokens import AccessTokens, parse
from aibox.identity.visits import Visits
from aibox.identity.web import SAFE_METHODS, Web
from aibox.identity.winbind import Verifier, Winbind
from aibox.identity.windows import WindowsAccounts
from aibox.stores import Cache

FRESH_SECONDS = 600
"""How old a sign-in may be for what asks for a fresh one."""


class IdentityService:
    """The `Identity` of local accounts and of the issuers in the table."""

    def __init__(
        self,
        settings: Settings,
        tenancy: TenancySettings,
        *,
        db: Database,
        connections: Connections,
        log: EventLog,
        rings: Rings,
        keys: DataKeys,
        http: HttpClient,
        cache: Cache,
        mail: Mail,
        base_url: str,
        production: bool = False,
        verifier: Verifier | None = None,
    ) -> None:
        """`verifier` stands in for that of `auth.ntlm.verifier`.

        Raises `BootRefused` for a public URL, an issuer or a key that must not be used, and for no way in at all.
        """
        _check(settings, production=production)
        self._settings = settings
        self._tenancy = tenancy
        self._tenant = tenancy.single_tenant_id
        self._db = db
        self._log = log
        self._base_url = base_url
        self._cookies = rings["cookie"]
        self._web = Web(base_url, production=production)
        self._tokens = AccessTokens(rings["token"], base_url=base_url, life=settings.access_minutes * 60)
        self._standing = Standing(connections)
        issuers = Issuers(table(settings, tenancy), http, tenancy, production=production)
        self._issuers = issuers
        self._federation = Federation(db, connections, log, self._standing)
        self._proofs = Proofs(self._cookies, cache, base_url)
        self._credentials = Credentials(
            connections,
            self._tokens,
            issuers,
            self._federation,
            rings["apikey"],
            idle=timedelta(hours=settings.session_idle_hours),
        )
        self._accounts = Accounts(db, Passwords(), self._standing, is_multi=tenancy.mode == "multi")
        self.roles = RoleBook(db, self._standing)
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
        self._factors = SecondFactors(db, keys, settings.mfa, base_url, connections)
        self._sso = SingleSignOn(issuers, http, cache, settings.password, base_url)
        throttle, waiting, pushes = Throttle(cache), SignIns(cache), Pushes(cache)
        nonces, tests = Nonces(cache), Tests(cache)
        book = InvitationBook(
            db,
            connections,
            log,
            self._accounts,
            throttle,
            cache,
            mail,
            base_url,
            is_multi=tenancy.mode == "multi",
        )
        self._signin = SignIn(
            settings,
            tenancy,
            db=db,
            log=log,
            accounts=self._accounts,
            sessions=self._sessions,
            throttle=throttle,
            factors=self._factors,
            waiting=waiting,
            pushes=pushes,
            sso=self._sso,
            federation=self._federation,
            invitations=book,
            nonces=nonces,
            tests=tests,
            connections=connections,
            origin=base_url,
        )
        self.invitations = InvitationService(book, self._signin, self._sso, self._web)
        self.sign_in_services = SignInServiceBook(
            db, self._standing, issuers, self._federation, self._sso, self._web, tests, tenancy
        )
        self._visits = Visits(db, connections, log, self._standing, is_multi=tenancy.mode == "multi")
        self.tenants = TenantBook(db, connections, log, self._standing, tenancy, book, self._visits)
        self.windows = WindowsAccounts(
            settings,
            tenancy,
            signin=self._signin,
            federation=self._federation,
            throttle=throttle,
            handshakes=Handshakes(cache),
            verifier=verifier or (Winbind(settings.ntlm.verifier) if settings.ntlm.enabled else None),
            base_url=base_url,
        )
        self.account = AccountService(
            db=db,
            log=log,
            accounts=self._accounts,
            sessions=self._sessions,
            standing=self._standing,
            signin=self._signin,
            throttle=throttle,
            factors=self._factors,
            waiting=waiting,
            pushes=pushes,
            pairings=Pairings(cache),
            nonces=nonces,
        )
        self.stamps = Stamps(rings["principal"], self._tokens, cache)
        self.caps = CapTokens(rings["captoken"], db, connections, cache)
        self._has_owner = False
        self._anonymous: Principal | None = None

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        await self._provide(system_turn(self._tenant), "AIBox")
        if not self._settings.enabled:
            self._anonymous = await self._accounts.provide_anonymous(system_turn(self._tenant))
        async with self._standing.run(tasks):
            yield

    async def authenticate(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Principal | None:
        if self._anonymous is not None:
            return self._anonymous
        secret = self._web.secret(headers)
        credential, is_proven = _extract(headers)
        if credential is None and secret is None:
            return None
        if credential is not None and secret is not None:
            raise InvalidRequest()
        if credential is None:
            assert secret is not None
            principal = await self._of_cookie(secret)
            if method not in SAFE_METHODS:
                self._require_own_page(principal, headers)
            return await self._visits.placed(principal, path)
        key = hashlib.sha256(credential.encode()).digest()
        if credential.startswith("aibox_"):
            return await self._standing.principal(key, lambda: self._credentials.api_key(credential))
        principal = await self._standing.principal(key, lambda: self._credentials.access_token(credential))
        if principal.proof_key is not None:
            await self._proofs.check(headers, method, path, token=credential, thumbprint=principal.proof_key)
        if is_proven is not (principal.proof_key is not None):
            raise InvalidDpopProof()
        return await self._visits.placed(principal, path)

    async def authorize(self, turn: Turn, policy: str, *, scope: str | None = None, fresh: Fresh = False) -> None:
        principal = turn.principal
        if policy == "public":
            return
        if principal.kind == "anonymous":
            raise MissingToken()
        error: AIBoxError | None = None
        if policy != "signed-in" and not any(principal.may(one) for one in policy.split(" or ")):
            error = Forbidden()
        elif principal.scopes is not None and not _is_in_scope(principal.scopes, scope):
            error = InsufficientScope.for_want_of(scope)
        elif _is_stale(principal, fresh) and self._anonymous is None:
            error = InsufficientUserAuthentication(headers=_STEP_UP)
        if error is not None:
            await self._log.log(turn, Denied(actor=actor(turn), policy=policy, code=error.code))
            raise error

    async def recheck(self, turn: Turn) -> None:
        principal = turn.principal
        try:
            fresh = await self._of_now(turn)
        except InvalidApiKey:
            raise SessionRevoked("The API key was revoked.") from None
        if not may_all(principal.permissions, fresh.permissions):
            raise SessionRevoked("Your rights have changed.")

    async def _of_now(self, turn: Turn) -> Principal:
        """The turn's principal as it would be found now. Raises what its credential's end is."""
        principal, find = turn.principal, self._credentials
        if principal.session_id is not None:
            session = UUID(principal.session_id)
            key = hashlib.sha256(b"session\n" + session.bytes).digest()
            home = await self._standing.principal(key, lambda: find.session(session))
            # A stream that began at home goes on there, wherever its person went since.
            fresh = home if home.tenant == principal.tenant else await self._visits.placed(home, "")
            if fresh.tenant != principal.tenant:
                raise SessionRevoked("You have left this tenant.")
            return fresh
        if principal.key_id is not None:
            named = principal.key_id
            key = hashlib.sha256(b"key\n" + principal.tenant.bytes + named.encode()).digest()
            return await self._standing.principal(key, lambda: find.api_key_named(principal.tenant, named))
        if principal.issuer:
            since = datetime.fromtimestamp(turn.started_us / 1e6, UTC)
            person = principal.tenant.bytes + principal.id.bytes + turn.id.bytes
            key = hashlib.sha256(b"person\n" + person).digest()
            return await self._standing.principal(key, lambda: find.person(principal, since))
        return principal

    def stamp(self, turn: Turn, call: Call, *, cap: str | None = None) -> dict[str, str]:
        return self.stamps.headers(turn, call, cap=cap)

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
    ) -> Grant | Pending:
        granted = await self._signin.by_setup(
            token=token, name=name, email=email, password=password, client=client, browser=browser
        )
        self._has_owner = True
        return granted

    async def sign_in(
        self,
        turn: Turn,
        *,
        username: str,
        password: str,
        client: Client,
        browser: bool,
        tenant: str | None = None,
    ) -> Grant | Pending:
        return await self._signin.by_password(
            turn, username=username, password=password, tenant=tenant, client=client, browser=browser
        )

    async def second_factor(
        self,
        turn: Turn,
        *,
        token: str,
        method: Method,
        code: str | None = None,
        assertion: Mapping[str, Any] | None = None,
        client: Client,
    ) -> Grant | Pending:
        return await self._signin.by_second_factor(
            turn, token=token, method=method, code=code, assertion=assertion, client=client
        )

    async def passkey_options(self) -> tuple[str, dict[str, Any]]:
        return await self._signin.passkey_options()

    async def sign_in_by_passkey(
        self, turn: Turn, *, token: str, assertion: Mapping[str, Any], client: Client, browser: bool
    ) -> Grant | Pending:
        return await self._signin.by_passkey(turn, token=token, assertion=assertion, client=client, browser=browser)

    def offers_passkey(self) -> bool:
        return self._signin.offers_passkey()

    def is_multi(self) -> bool:
        return self._tenancy.mode == "multi"

    def allows_anonymous(self) -> bool:
        return not self._settings.enabled

    def offers_password(self) -> bool:
        return self._settings.password.login or self._settings.password.ropc

    def issuers(self) -> list[Issuer]:
        return self._issuers.offered

    async def begin_sso(self, alias: str, redirect: str) -> tuple[str, str]:
        address, binding = await self._sso.begin(alias, redirect)
        return address, self._web.state_cookie(binding, seconds=BEGUN_SECONDS)

    async def complete_sso(
        self, turn: Turn, query: Mapping[str, str], headers: Sequence[tuple[bytes, bytes]], client: Client
    ) -> tuple[Grant | Pending | None, str, str]:
        granted, redirect = await self._signin.by_issuer(turn, query, binding=self._web.state(headers), client=client)
        return granted, redirect, self._web.state_cookie("", seconds=0)

    async def examine(self, token: str) -> Examined:
        parsed = parse(token)
        return await self._federation.examined(await self._issuers.access(token, parsed))

    async def hear_logout(self, token: str) -> None:
        row, sid = await self._issuers.logout(token)
        await self._federation.end_sign_in(self._issuers.tenant(row, {}), row.iss, sid)

    async def refresh(self, turn: Turn, *, refresh_token: str) -> TokenGrant:
        return await self._sessions.refresh(refresh_token)

    async def sign_out(self, turn: Turn) -> None:
        if turn.principal.session_id is None:
            raise InvalidRequest("An API key has no session to end; revoke it instead.")
        await self._visits.leave(turn)
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

    async def sign_out_everywhere(self, turn: Turn, user_id: UUID) -> None:
        await self._accounts.sign_out(turn, user_id)

    async def reset_factors(self, turn: Turn, user_id: UUID) -> None:
        await self._factors.reset(turn, user_id)

    async def break_glass(self, turn: Turn, email: str) -> str:
        password = new_secret()
        try:
            user = await self._accounts.by_email(turn, email.strip().casefold())
        except NotFound:
            await self._accounts.create(turn, name="Owner", email=email, password=password, roles=["owner"])
            return password
        await self._accounts.set_status(turn, user.id, "active")
        await self._accounts.set_roles(turn, user.id, ["owner"])
        await self._factors.reset(turn, user.id)
        await self._accounts.set_password(turn, user.id, password)
        return password

    async def create_tenant(self, turn: Turn, name: str) -> UUID:
        if self._tenancy.mode == "single":
            raise Conflict("There is one tenant; set AIBOX_TENANCY_MODE=multi for several.")
        inside = system_turn(uuid7(), parent=turn.id)
        await self._provide(inside, name)
        return inside.tenant

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        await self._accounts.set_password(turn, user_id, password)

    async def create_key(
        self,
        turn: Turn,
        *,
        user_id: UUID,
        name: str,
        scopes: Sequence[str],
        days: int = 365,
        models: Sequence[str] | None = None,
        budget_usd: Decimal | None = None,
    ) -> str:
        return await self._keys.create(
            turn, user_id=user_id, name=name, scopes=scopes, days=days, models=models, budget_usd=budget_usd
        )

    async def keys(self, turn: Turn, *, user_id: UUID) -> list[ApiKey]:
        return await self._keys.all(turn, user_id=user_id)

    async def revoke_key(self, turn: Turn, *, user_id: UUID, key_id: str) -> None:
        await self._keys.revoke(turn, user_id=user_id, key_id=key_id)

    async def _provide(self, turn: Turn, name: str) -> None:
        await self.tenants.provide(turn, name)
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


def _is_in_scope(scopes: frozenset[str], wanted: str | None) -> bool:
    """Whether an API key of these scopes may call what wants that one, those, or any."""
    return wanted == ANY_SCOPE or (wanted is not None and scopes.issuperset(wanted.split(" and ")))


def _is_stale(principal: Principal, fresh: Fresh) -> bool:
    """Whether the person has to confirm first that it is them."""
    passes_by_key = fresh == "people" and principal.key_id is not None
    return bool(fresh) and not passes_by_key and not is_recent(principal.auth_time, within=FRESH_SECONDS)


_STEP_UP = {"WWW-Authenticate": f'Bearer error="insufficient_user_authentication", max_age="{FRESH_SECONDS}"'}


def _check(settings: Settings, *, production: bool) -> None:
    """Raise `BootRefused` for a server that would let anyone in, or nobody (B01), or share a password check (B10)."""
    if not settings.enabled and production:
        raise BootRefused("boot_no_auth", "Set AIBOX_AUTH_ENABLED=true: production does not run without sign-in.")
    if not settings.enabled and not settings.allow_disabled:
        raise BootRefused(
            "boot_no_auth",
            "Set AIBOX_ALLOW_AUTH_DISABLED=true as well to let everybody in, or AIBOX_AUTH_ENABLED=true.",
        )
    has_issuer = bool(settings.issuer or settings.additional_issuers)
    if settings.enabled and not settings.password.login and not has_issuer:
        raise BootRefused(
            "boot_no_auth", "Set AIBOX_AUTH_ISSUER, or AIBOX_AUTH_PASSWORD_LOGIN=true: nobody could sign in."
        )
    if settings.password.ropc and not settings.issuer:
        raise BootRefused("boot_login_method", "Set AIBOX_AUTH_ISSUER: auth.password.ropc asks it to check passwords.")
    if settings.password.ropc and not settings.password.ropc_secret:
        raise BootRefused(
            "boot_login_method", "Set INTERNAL_AUTH_CLIENT_SECRET: anyone could check passwords with an open client."
        )


def _extract(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str | None, bool]:
    """(the one credential of a request, whether it came with the scheme `DPoP`), whichever header carries it, so that
    no surface knows fewer rules.

    Raises `InvalidRequest` for more than one, `InvalidToken` for another scheme or an empty one.
    """
    found: list[tuple[bytes, bool]] = []
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.strip().partition(b" ")
            is_known = scheme.lower() in (b"bearer", b"dpop")
            found.append((credential.strip() if is_known else b"", scheme.lower() == b"dpop"))
        elif name == b"x-api-key":
            found.append((value.strip(), False))
    if not found:
        return None, False
    if len(found) > 1:
        raise InvalidRequest()
    credential, is_proven = found[0]
    if not credential or not credential.isascii():
        raise InvalidToken()
    return credential.decode(), is_proven

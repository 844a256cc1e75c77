"""The ways in: password, setup link, another issuer, pairing code; and the second factor before any token exists."""

from collections.abc import Mapping
from typing import Any, assert_never
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import text

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import AIBoxError, Conflict, StateUnavailable
from aibox.core.eventlog import EventLog
from aibox.core.turn import Principal, Turn, begin, system_turn
from aibox.identity import (
    ChallengeDenied,
    ChallengeInvalid,
    Client,
    Door,
    Grant,
    InvalidCredentials,
    Method,
    MethodDisabled,
    Pending,
    Settings,
    SignInFailed,
    TenancySettings,
    TenantMismatch,
    User,
    WebauthnFailed,
)
from aibox.identity.accounts import Accounts
from aibox.identity.challenges import Nonces, Pushes, SignIns, Tests, Waiting, client_digest, new_waiting_id
from aibox.identity.factors import SecondFactors
from aibox.identity.federation import Federation
from aibox.identity.invitations import InvitationBook
from aibox.identity.issuers import Vouched
from aibox.identity.secrets import digest, new_secret
from aibox.identity.sessions import Opening, Sessions, origin_artifact
from aibox.identity.sso import SingleSignOn
from aibox.identity.throttle import Throttle

PASSKEY = "passkey-sign-in"
TEST_PAGE = "/admin/sign-in-services"


class SignIn:
    """From the first proof of who someone is to their session. `turn` is the request's: until then it is nobody's."""

    def __init__(
        self,
        settings: Settings,
        tenancy: TenancySettings,
        *,
        db: Database,
        log: EventLog,
        accounts: Accounts,
        sessions: Sessions,
        throttle: Throttle,
        factors: SecondFactors,
        waiting: SignIns,
        pushes: Pushes,
        sso: SingleSignOn,
        federation: Federation,
        invitations: InvitationBook,
        nonces: Nonces,
        tests: Tests,
        connections: Connections,
        origin: str,
    ) -> None:
        self._settings = settings
        self._tenancy = tenancy
        self._db = db
        self._log = log
        self._accounts = accounts
        self._sessions = sessions
        self._throttle = throttle
        self._factors = factors
        self._waiting = waiting
        self._pushes = pushes
        self._sso = sso
        self._federation = federation
        self._invitations = invitations
        self._nonces = nonces
        self._tests = tests
        self._connections = connections
        self._origin = origin

    async def by_password(
        self,
        turn: Turn,
        *,
        username: str,
        password: str,
        tenant: str | None,
        client: Client,
        browser: bool,
        door: Door = "auth",
    ) -> Grant | Pending:
        """Raises `MethodDisabled`, `RateLimited` or `InvalidCredentials`."""
        if not self._settings.password.login and not self._settings.password.ropc:
            raise MethodDisabled()
        await self._throttle.attempt(username, client.address)
        user, issuer, amr = await self._verified(username, password, await self._tenant(tenant))
        if user is None:
            await self.failed(turn, InvalidCredentials(), client)
            raise InvalidCredentials()
        await self._throttle.succeeded(username, client.address)
        opening = Opening(method="password", client=client, amr=amr, issuer=issuer, door=door)
        return await self.proceed(user, opening, browser=browser)

    async def by_setup(
        self, *, token: str, name: str, email: str, password: str, client: Client, browser: bool
    ) -> Grant | Pending:
        """Raises `ChallengeInvalid`, or `ValidationFailed` (the link remains)."""
        console = system_turn(self._tenancy.single_tenant_id)
        user = await self._accounts.redeem(console, token=token, name=name, email=email, password=password)
        await self._log.end(console, "sealed")
        return await self.proceed(user, Opening(method="setup", client=client, amr=("pwd",)), browser=browser)

    async def by_issuer(
        self, turn: Turn, query: Mapping[str, str], *, binding: str | None, client: Client
    ) -> tuple[Grant | Pending | None, str]:
        """(what the browser gets, the page to go to), from an issuer's answer. Raises `InvalidRequest` and others.

        It gets nothing where an administrator only tried: the page then shows what came back.
        """
        try:
            vouched, begun = await self._sso.complete(query, binding)
            if begun.tester is not None:
                return None, await self._tried(vouched, *begun.tester)
            user = await self._vouched_for(vouched, begun.invitation)
            if user.status != "active":
                raise InvalidCredentials("This account is not active.")
        except AIBoxError as error:
            await self.failed(turn, error, client)
            raise
        opening = Opening(method="oidc", client=client, amr=vouched.amr, issuer=vouched.iss, issuer_sid=vouched.sid)
        return await self.proceed(user, opening, browser=True), begun.redirect

    async def _vouched_for(self, vouched: Vouched, invitation: tuple[UUID, UUID] | None) -> User:
        """The person; a new one by an invitation has its roles, unless the issuer decides them."""
        if invitation is None:
            return await self._federation.user(vouched)
        tenant, _ = invitation
        if vouched.tenant != tenant:
            raise TenantMismatch("This sign-in service belongs to another tenant than the invitation.")
        await self._federation.decided(vouched)  # who is not let in anyway leaves the invitation good
        if await self._federation.known(vouched) is not None:
            raise Conflict("You have an account here already; sign in without the invitation.")
        return await self._federation.user(vouched, invited=await self._invitations.spend(*invitation))

    async def _tried(self, vouched: Vouched, tenant: UUID, user: UUID) -> str:
        if vouched.tenant != tenant:
            raise TenantMismatch("Whoever signed in belongs to another tenant.")
        test = await self._tests.keep(tenant, user, await self._federation.examined(vouched))
        return f"{TEST_PAGE}#test={test}"

    async def by_invitation(
        self, *, token: str, name: str, password: str, client: Client, browser: bool
    ) -> Grant | Pending:
        """Raises `MethodDisabled`, `ChallengeInvalid`, `RateLimited`, or `ValidationFailed` (the link remains)."""
        if not self._settings.password.login:
            raise MethodDisabled()
        user = await self._invitations.join(token, name=name, password=password, client=client)
        return await self.proceed(user, Opening(method="invitation", client=client, amr=("pwd",)), browser=browser)

    def offers_passkey(self) -> bool:
        """Whether a passkey alone signs in: those of local accounts, where second factors are not off."""
        return self._settings.password.login and self._settings.mfa.policy != "off"

    async def passkey_options(self) -> tuple[str, dict[str, Any]]:
        """(challenge token, options for `navigator.credentials.get`). Raises `MethodDisabled`."""
        if not self.offers_passkey():
            raise MethodDisabled()
        challenge, options = self._factors.discoverable()
        token = new_secret()
        await self._nonces.keep(PASSKEY, digest(token).hex(), challenge)
        return token, options

    async def by_passkey(
        self, turn: Turn, *, token: str, assertion: Mapping[str, Any], client: Client, browser: bool
    ) -> Grant | Pending:
        """Raises `MethodDisabled`, `ChallengeInvalid`, `WebauthnFailed` or `RateLimited`."""
        if not self.offers_passkey():
            raise MethodDisabled()
        await self._throttle.attempt_from(client.address)
        try:
            challenge = await self._nonces.take(PASSKEY, digest(token).hex())
            tenant, user_id = await self._factors.owner(dict(assertion))
            user = await self._accounts.one(system_turn(tenant), user_id)
            if user.issuer or user.status != "active":
                raise WebauthnFailed()  # whom another service vouches for is asked there
            await self._factors.check_passkey(system_turn(tenant), user, assertion=dict(assertion), challenge=challenge)
        except AIBoxError as error:
            if not isinstance(error, StateUnavailable):
                await self.failed(turn, error, client)
            raise
        await self._throttle.succeeded_from(client.address)
        # Possession of the key and verification of its person: both factors at once.
        return await self.open(user, Opening(method="passkey", client=client, amr=("hwk", "mfa")), browser=browser)

    async def proceed(self, user: User, opening: Opening, *, browser: bool) -> Grant | Pending:
        """Open the session, or ask for the second factor that the person or the policy wants before."""
        turn = system_turn(user.tenant)
        methods = await self._methods(turn, user)
        if "mfa" in opening.amr or not (methods or self._factors.required(user)):
            return await self.open(user, opening, browser=browser)
        waiting = Waiting(
            id=new_waiting_id(),
            tenant=user.tenant,
            user=user.id,
            method=opening.method,
            amr=opening.amr,
            is_browser=browser,
            client=client_digest(opening.client),
            methods=methods or ("totp",),
            is_enrolling=not methods,
            issuer=opening.issuer,
            issuer_sid=opening.issuer_sid,
            door=opening.door,
        )
        options = None
        if "webauthn" in methods:
            challenge, options = await self._factors.request(turn, user)
            waiting = replace(waiting, webauthn=challenge)
        enrolment = await self._factors.begin_totp(turn, user) if waiting.is_enrolling else None
        token = await self._waiting.begin(waiting)
        return Pending(
            challenge_id=waiting.id,
            challenge_token=token,
            methods=waiting.methods,
            webauthn=options,
            enrolment=enrolment,
        )

    async def by_second_factor(
        self,
        turn: Turn,
        *,
        token: str,
        method: Method,
        code: str | None,
        assertion: Mapping[str, Any] | None,
        client: Client,
    ) -> Grant | Pending:
        """Raises `ChallengeInvalid`, `ChallengeDenied`, `WebauthnFailed`, `RateLimited`; `Pending` during a push."""
        try:
            waiting = await self._waiting.of(token, client)
            if method not in waiting.methods:
                raise ChallengeInvalid()
            if method == "push":
                number = await self._push(waiting, client)
                if number is not None:
                    return Pending(
                        challenge_id=waiting.id, challenge_token=token, methods=waiting.methods, number=number
                    )
            else:
                await self._waiting.attempt(token, waiting)
            user = await self._accounts.one(system_turn(waiting.tenant), waiting.user)
            recovery = await self._prove(user, waiting, method, code or "", dict(assertion or {}))
            await self._waiting.complete(token, waiting)
        except AIBoxError as error:
            if not isinstance(error, StateUnavailable):
                await self.failed(turn, error, client)
            raise
        if user.status != "active":
            raise ChallengeInvalid()
        opening = Opening(
            method=waiting.method,
            client=client,
            amr=tuple(sorted({*waiting.amr, _AMR[method], "mfa"})),
            issuer=waiting.issuer,
            issuer_sid=waiting.issuer_sid,
            door=waiting.door,
        )
        return replace(await self.open(user, opening, browser=waiting.is_browser), recovery_codes=tuple(recovery))

    async def open(self, user: User, opening: Opening, *, browser: bool) -> Grant:
        """Sign `user` in, in a turn of their own."""
        turn = begin(principal_of(user))
        if browser:
            grant: Grant = await self._sessions.open_web(turn, user, opening)
        else:
            grant = await self._sessions.open_tokens(turn, opening)
        await self._log.end(turn, "sealed")
        return grant

    async def _verified(
        self, username: str, password: str, tenant: UUID | None
    ) -> tuple[User | None, str, tuple[str, ...]]:
        """(the person, who vouches, how): a local account, else whom the first issuer knows by this password."""
        user = None
        if self._settings.password.login:
            # An unknown tenant has no accounts, and takes as long to say so.
            turn = system_turn(tenant or UUID(int=0))
            user = await self._accounts.verified(turn, username, password)
        if user is None and self._settings.password.ropc:
            vouched = await self._sso.password(username, password)
            if vouched is not None:
                user = await self._federation.user(vouched)
                return (user if user.status == "active" else None), vouched.iss, vouched.amr
        return user, "", ("pwd",)

    async def _tenant(self, named: str | None) -> UUID | None:
        """The tenant that a sign-in names by id or name; the first one without."""
        if not named or self._tenancy.mode == "single":
            return self._tenancy.single_tenant_id
        query = "SELECT tenant FROM identity.tenant WHERE tenant::text = lower($1) OR lower(name) = lower($1) LIMIT 2"
        try:
            rows = await self._connections.system.fetch(query, named.strip().replace("\x00", ""))
        except LOST as error:
            raise StateUnavailable() from error
        return rows[0]["tenant"] if len(rows) == 1 else None

    async def _methods(self, turn: Turn, user: User) -> tuple[Method, ...]:
        """What the person can show. A paired device counts beside another factor only: alone, losing it locks out."""
        methods = await self._factors.usable(turn, user.id)
        if not methods or not await self._has_device(turn, user):
            return methods
        return (*methods, "push")

    async def _has_device(self, turn: Turn, user: User) -> bool:
        query = text(
            "SELECT 1 FROM identity.device WHERE tenant = :tenant AND user_id = :user AND revoked_at IS NULL LIMIT 1"
        )
        async with self._db.read(turn) as session:
            return await session.scalar(query, {"tenant": user.tenant, "user": user.id}) is not None

    async def _push(self, waiting: Waiting, client: Client) -> str | None:
        """The number to show while the device is asked; None once it approved. Raises when it did not."""
        match await self._pushes.state(waiting.id):
            case "ended":
                return await self._pushes.ask(waiting, client, self._origin)
            case "pending":
                return (await self._pushes.open(waiting.tenant, waiting.user, waiting.id)).number
            case "approved":
                return None
            case "denied":
                raise ChallengeDenied()
            case "wrong":
                raise ChallengeInvalid()
            case other:
                assert_never(other)

    async def _prove(
        self, user: User, waiting: Waiting, method: Method, code: str, assertion: dict[str, Any]
    ) -> list[str]:
        """Check the factor; the recovery codes of a first enrolment."""
        turn = begin(principal_of(user))
        match method:
            case "totp" if waiting.is_enrolling:
                recovery = await self._factors.confirm_totp(turn, user, code)
                await self._log.end(turn, "sealed")
                return recovery
            case "totp":
                await self._factors.check_totp(turn, user, code)
            case "recovery":
                await self._factors.check_recovery(turn, user, code)
            case "webauthn":
                if not waiting.webauthn:
                    raise WebauthnFailed()
                await self._factors.check_passkey(turn, user, assertion=assertion, challenge=waiting.webauthn)
            case "push":
                pass  # the device approved
            case _:
                assert_never(method)
        return []

    async def failed(self, turn: Turn, error: AIBoxError, client: Client) -> None:
        """Record a refused sign-in."""
        await self._log.log(turn, SignInFailed(code=error.code, artifacts=(origin_artifact(client),)))


_AMR: dict[Method, str] = {"totp": "otp", "webauthn": "hwk", "recovery": "kba", "push": "swk"}
"""How each factor is called in RFC 8176."""


def principal_of(user: User) -> Principal:
    """The person as who acts, before there is a session."""
    return Principal(
        kind="user",
        tenant=user.tenant,
        id=user.id,
        pseudonym=user.pseudonym,
        roles=user.roles,
        permissions=user.permissions,
        limits=user.limits,
        issuer=user.issuer,
    )

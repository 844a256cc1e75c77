"""Who is calling: accounts, passwords, sessions, keys and roles become a Principal; `authorize` says what it may."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct, field

from aibox.core.errors import AIBoxError, BadRequest, Conflict, Forbidden
from aibox.core.events import Event
from aibox.core.turn import CostLimits, Permissions, Principal, Turn

API_PREFIXES = ("/v1", "/api", "/auth", "/egauth", "/docs", "/metrics")
"""Paths where credentials are read; all others are health checks and the web app's own files."""


def is_api(path: str) -> bool:
    """Whether `path` is one of `API_PREFIXES` or below one, in any case."""
    folded = path.lower()
    return any(folded == prefix or folded.startswith(f"{prefix}/") for prefix in API_PREFIXES)


class Issuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the table of trusted issuers: what is believed of tokens whose `iss` is exactly this, and nothing else.

    `typ` is `at+jwt`, or `JWT` together with `typ_claim`: a claim that only access tokens of this issuer have, as
    `name` or `name=value` (Keycloak `typ=Bearer`, Entra `scp`). `tenant_rule` `claim` maps the claim `tenant_claim` by
    `tenants`; `pinned` ignores what the token says. Claims are named by their path, such as `realm_access.roles`.
    With `roles` or `groups` (the issuer's name -> ours) the issuer decides who may what; a person whom neither maps is
    refused. Without, a new person gets `default_role`.
    """

    iss: str
    jwks_url: str
    alias: str = "sso"
    name: str = "Single sign-on"
    authorization_url: str = ""
    token_url: str = ""
    client_id: str = "aibox-frontend"
    client_secret: str = ""
    scopes: str = "openid profile email"
    algs: tuple[str, ...] = ("RS256",)
    audiences: tuple[str, ...] = ("aibox-frontend",)
    clients: tuple[str, ...] = ("aibox-frontend",)
    typ: str = "JWT"
    typ_claim: str = "typ=Bearer"
    max_life: Annotated[int, Meta(ge=60, le=5400)] = 3600
    tenant_rule: Literal["pinned", "claim"] = "pinned"
    tenant: UUID | None = None
    tenant_claim: str = "tenant_id"
    tenants: dict[str, UUID] = {}
    roles_claim: str = "realm_access.roles"
    roles: dict[str, str] = {}
    groups_claim: str = "groups"
    groups: dict[str, str] = {}
    default_role: str = "member"
    mfa_acr: tuple[str, ...] = ()
    """Values of `acr` that say that the issuer asked for a second factor; `amr` with `mfa` says so too."""
    sends_iss: bool = True
    """Whether its callback names it (RFC 9207); then one that does not is refused. Entra does not."""


class PasswordSettings(Struct, frozen=True, kw_only=True):
    """Signing in by password."""

    login: Annotated[bool, Meta(description="Whether local accounts sign in by password")] = True
    ropc: Annotated[
        bool, Meta(description="Whether the first issuer checks passwords of people without a local account")
    ] = False
    ropc_client: Annotated[str, Meta(description="The client that may ask it to")] = "aibox-web-password"
    ropc_secret: Annotated[
        str, Meta(description="That client's secret", extra={"env": "INTERNAL_AUTH_CLIENT_SECRET", "secret": True})
    ] = ""


class MfaSettings(Struct, frozen=True, kw_only=True):
    """Second factors."""

    policy: Annotated[
        Literal["off", "optional", "admins", "required"],
        Meta(description="Who needs one: nobody, who enrolled one, also owners and admins, everybody"),
    ] = "optional"


class NtlmSettings(Struct, frozen=True, kw_only=True):
    """Signing in with a Windows account (NTLMv2)."""

    enabled: Annotated[bool, Meta(description="Whether `/egauth/ntlm` takes accounts of a Windows domain")] = False
    channel_binding: Annotated[
        Literal["required", "off"], Meta(description="`off` refuses the start: a sign-in could be relayed")
    ] = "required"
    certificate: Annotated[
        str, Meta(description="A PEM file with the certificate of whatever ends TLS in front; several: each counts")
    ] = ""
    verifier: Annotated[
        str, Meta(description="`winbind:` asks Samba on this machine; `winbind:/path/smb.conf` by this configuration")
    ] = "winbind:"


class Settings(Struct, frozen=True, kw_only=True):
    """Sign-in."""

    enabled: Annotated[bool, Meta(description="Off: every caller is an `anonymous` member, for trying only")] = True
    allow_disabled: Annotated[
        bool,
        Meta(description="Confirms `auth.enabled=false`", extra={"env": "AIBOX_ALLOW_AUTH_DISABLED"}),
    ] = False
    issuer: Annotated[str, Meta(description="The first OIDC issuer (Keycloak's realm URL); empty: none")] = ""
    jwks_url: Annotated[str, Meta(description="Where its keys are; empty: where Keycloak has them")] = ""
    client_secret: Annotated[
        str, Meta(description="The secret of the client `aibox-frontend` there", extra={"secret": True})
    ] = ""
    default_role: Annotated[
        str, Meta(description="The role of its new people, and of those with a Windows account")
    ] = "member"
    additional_issuers: Annotated[
        tuple[Issuer, ...],
        Meta(
            description="Further issuers, every field of a row (docs/identity.md); in the environment as JSON",
            extra={"secret": True},
        ),
    ] = ()
    password: PasswordSettings = field(default_factory=PasswordSettings)
    mfa: MfaSettings = field(default_factory=MfaSettings)
    ntlm: NtlmSettings = field(default_factory=NtlmSettings)
    session_idle_hours: Annotated[int, Meta(description="A web session ends after this much idleness", ge=1)] = 12
    session_days: Annotated[
        int, Meta(description="A session, and the refresh tokens of one, end after this many days", ge=1)
    ] = 7
    access_minutes: Annotated[int, Meta(description="Life of an access token", ge=1, le=60)] = 15


class TenancySettings(Struct, frozen=True, kw_only=True):
    """Whether one team or several share the installation."""

    mode: Annotated[Literal["single", "multi"], Meta(description="One tenant, or several")] = "single"
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


class NtlmChallenge(AIBoxError):
    """No refusal: 401 is how HTTP asks for the second message of NTLM, and the header carries what to answer."""

    status = 401
    code = "ntlm_challenge"
    sentence = "Answer the NTLM challenge on this connection."


class NtlmRefused(AIBoxError):
    """NTLM of version 1, without or with another channel binding, relayed, replayed, or with a wrong password (L07)."""

    status = 401
    code = "ntlm_refused"
    sentence = "The Windows sign-in was refused."


class ChallengeInvalid(AIBoxError):
    """A setup link or a step of a sign-in that is wrong, used, expired, or another's (L03, L04)."""

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

    @classmethod
    def for_want_of(cls, scope: str | None) -> Self:
        """`scope` is what the route takes; None: it takes no API key."""
        if scope is None:
            return cls("This takes a signed-in person, and no API key.")
        return cls(f"The API key does not have the scope {scope}, which this needs.")


class CsrfFailed(Forbidden):
    code = "csrf_failed"
    sentence = "The request did not come from the web app's own page."


class TenantMismatch(Forbidden):
    code = "tenant_mismatch"
    sentence = "The request names another tenant than its credential."


class TenantNotProvisioned(Forbidden):
    code = "tenant_not_provisioned"
    sentence = "This tenant is not active here."


class ChallengeDenied(AIBoxError):
    """The person said no on their device: not the same as not answering."""

    status = 401
    code = "challenge_denied"
    sentence = "The sign-in was denied on the device."


class WebauthnFailed(AIBoxError):
    """A passkey's answer that does not fit: origin, rpId, counter, user verification, challenge, or person (L08)."""

    status = 401
    code = "webauthn_failed"
    sentence = "The passkey could not be verified."


class InsufficientUserAuthentication(AIBoxError):
    """The sign-in is too old for this, or was made with a key (T27; RFC 9470)."""

    status = 401
    code = "insufficient_user_authentication"
    sentence = "Confirm that it is you (POST /v1/auth/step-up), then try again."


class InvalidDpopProof(AIBoxError):
    """No proof of possession, or one that does not fit this request (T24; RFC 9449)."""

    status = 401
    code = "invalid_dpop_proof"
    sentence = "The request needs a DPoP proof that fits it."


class UseDpopNonce(InvalidDpopProof):
    code = "use_dpop_nonce"
    sentence = "Make the DPoP proof with the nonce in the header DPoP-Nonce."


class IdpUnavailable(AIBoxError):
    """The issuer's keys are not known and cannot be fetched (T23), or it does not answer a sign-in."""

    status = 503
    code = "idp_unavailable"
    sentence = "The sign-in service cannot be reached. Try again shortly."


class SlowDown(BadRequest):
    """Pairing codes are tried too fast (L06)."""

    code = "slow_down"
    sentence = "Wait a little before the next try."


class MethodDisabled(Forbidden):
    """A way of signing in that this installation does not offer (L11)."""

    code = "method_disabled"
    sentence = "This way of signing in is switched off."


class RoleNotMapped(Forbidden):
    """An issuer vouches for the person, but maps them to no role of ours."""

    code = "role_not_mapped"
    sentence = "Your account has no role here; ask an administrator."


class MissingPrincipal(AIBoxError):
    """A call to a part of ours outside the process that carries no signed principal (H14)."""

    status = 401
    code = "missing_principal"
    sentence = "The call does not say on whose behalf it is made."


class InvalidPrincipal(AIBoxError):
    """A signed principal that is altered, expired, replayed, or made for another call (P01 to P03)."""

    status = 401
    code = "invalid_principal"
    sentence = "The call's principal is not valid."


class CapInvalid(Forbidden):
    """A capability token that is altered, or whose caveats do not narrow (P02, P06)."""

    code = "cap_invalid"
    sentence = "The capability token is not valid."


class CapMismatch(Forbidden):
    """A capability token of another tenant, turn or holder, or that does not cover this (P05)."""

    code = "cap_mismatch"
    sentence = "The capability token was not made for this."


class CapExpired(Forbidden):
    """A capability token whose time or turn is over (P05)."""

    code = "cap_expired"
    sentence = "The capability token has expired."


class CapArgsMismatch(Forbidden):
    """The arguments are not those that were approved (P07)."""

    code = "cap_args_mismatch"
    sentence = "The tool's arguments are not those that were approved."


class CapReplayed(Conflict):
    """A counted use that was spent before (P04)."""

    code = "cap_replayed"
    sentence = "The capability token has no use left."


class LastOwner(Conflict):
    code = "last_owner"
    sentence = "The last owner cannot be removed or demoted."


class RoleInUse(Conflict):
    """People, open invitations or groups still have the role."""

    code = "role_in_use"
    sentence = "Somebody still has this role. Take it from them first."


SessionKind = Literal["web", "token", "device"]
Status = Literal["active", "suspended", "deactivated"]
ShippedRole = Literal["owner", "admin", "member", "viewer"]
TenantStatus = Literal["active", "suspended"]
Fresh = bool | Literal["people"]
"""Whether a route asks for a sign-in of the last ten minutes: True never takes a key, `people` asks it of people only,
and a key passes by its scope (docs/decisions/2026-11-keys-and-fresh-sign-in.md)."""
ANY_SCOPE = "any"
"""What a route states as its scope when every API key may call it."""

Scope = Literal[
    "chat",
    "models",
    "memory",
    "knowledge",
    "sandbox",
    "agents",
    "audit:read",
    "audit:write",
    "erase",
    "metrics",
    "admin",
]


class AgentRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role may do with agents."""

    create: bool = False
    delete: bool = False
    configure: bool = False


class MemoryRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role may do with what is remembered."""

    read_own: bool = False
    read_team: bool = False
    read_org: bool = False
    write: bool = False
    delete: bool = False
    share: bool = False


class ToolRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tools a role may use: `"*"` is all of them, and what is denied stays so whatever another role allows."""

    allowed: list[str] = []
    denied: list[str] = []


class AdminRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role administers."""

    manage_users: bool = False
    manage_roles: bool = False
    manage_templates: bool = False
    manage_providers: bool = False
    view_audit_log: bool = False
    manage_tenant: bool = False


class CostRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person with the role may spend, in US dollars; None: the role sets no limit. The lowest of several holds.

    One call may cost at most `per_request_limit_usd`.
    """

    monthly_limit_usd: Decimal | None = None
    per_request_limit_usd: Decimal | None = None


class RoleRights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The permission object of one role. What is left out is not granted."""

    chat: bool = False
    agents: AgentRights = AgentRights()
    memory: MemoryRights = MemoryRights()
    tools: ToolRights = field(default_factory=ToolRights)
    admin: AdminRights = AdminRights()
    cost: CostRights = CostRights()


class Role(Struct, frozen=True, kw_only=True):
    """A role of the tenant: a shipped one, which nobody changes, or one that was made here. `people` have it."""

    name: str
    label: str
    about: str
    is_shipped: bool
    permissions: RoleRights
    people: int


class User(Struct, frozen=True, kw_only=True):
    """A person of a tenant. `handle` is the part before the @, with a number where that is taken.

    `pseudonym` is random: what events call the person. `permissions` and `limits` are what their roles give together.
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
    issuer: str = ""
    permissions: Permissions = Permissions()
    limits: CostLimits = CostLimits()


class Session(Struct, frozen=True, kw_only=True):
    """A signed-in browser (`web`), the family of a client's tokens (`token`), or that of a paired device (`device`)."""

    id: UUID
    kind: SessionKind
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
    models: tuple[str, ...] | None = None
    budget_usd: Decimal | None = None


class Client(Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from. Both are personal: they reach the log as a sealed artifact only."""

    address: str
    agent: str = ""


class WebGrant(Struct, frozen=True, kw_only=True):
    """A browser's sign-in: `cookie` is the whole `Set-Cookie` value, and goes nowhere else.

    `recovery_codes` are there once: when this sign-in enrolled the person's first second factor.
    """

    user: User
    cookie: str
    csrf_token: str
    recovery_codes: tuple[str, ...] = ()


class TokenGrant(Struct, frozen=True, kw_only=True):
    """A client's sign-in, in the words of RFC 6749 §5.1. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    recovery_codes: tuple[str, ...] = ()


Method = Literal["totp", "webauthn", "recovery", "push"]


class Enrolment(Struct, frozen=True, kw_only=True):
    """A new TOTP secret (base32), and the `otpauth:` address of it for a QR code."""

    secret: str
    uri: str


class Pending(Struct, frozen=True, kw_only=True):
    """A sign-in that still needs a second factor; no token exists before it. `expires_in` is in seconds.

    `webauthn` are the options for `navigator.credentials.get`. `enrolment` is there when the policy asks for a factor
    that the person does not have yet: its first code, as `totp`, completes both. `number` is to be typed on the device.
    """

    challenge_id: str
    challenge_token: str
    methods: tuple[Method, ...]
    expires_in: int = 120
    status: Literal["pending"] = "pending"
    number: str | None = None
    webauthn: dict[str, Any] | None = None
    enrolment: Enrolment | None = None


class Passkey(Struct, frozen=True, kw_only=True):
    """A passkey as it may be shown; `id` is its credential id, base64url."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None


class Factors(Struct, frozen=True, kw_only=True):
    """The second factors of a person."""

    policy: str
    totp: bool
    passkeys: tuple[Passkey, ...]
    recovery_codes_left: int
    required: bool


class Device(Struct, frozen=True, kw_only=True):
    """A paired device."""

    id: UUID
    name: str
    created_at: datetime


class PushRequest(Struct, frozen=True, kw_only=True):
    """A sign-in that waits for a person's answer on a device: where it comes from, and not the number."""

    id: str
    origin: str
    address: str
    agent: str
    created_at: datetime


Grant = WebGrant | TokenGrant
Door = Literal["auth", "egauth"]
"""Which of our two issuers an access token names: `egauth` is the compatible entry."""


class Invitation(Struct, frozen=True, kw_only=True):
    """Someone was asked to join by a link that is good once, until `expires_at`."""

    id: UUID
    email: str
    roles: tuple[str, ...]
    invited_by: UUID
    created_at: datetime
    expires_at: datetime


class Invited(Struct, frozen=True, kw_only=True):
    """A new invitation. `link` is shown this once; `is_sent` says whether a mail server has taken it."""

    invitation: Invitation
    link: str
    is_sent: bool


class Welcome(Struct, frozen=True, kw_only=True):
    """What the page behind an invitation's link shows."""

    email: str
    tenant: str
    expires_at: datetime


class KeyHealth(Struct, frozen=True, kw_only=True):
    """The keys of an issuer as this process knows them. Ages are in seconds; None: not fetched yet."""

    keys: int
    age: int | None
    failure: str | None


class SignInService(Struct, frozen=True, kw_only=True):
    """An issuer of the table as administrators see it. `groups` are ours by the issuer's name of them.

    `is_set_here` says whether they were set in this tenant; otherwise they are those of the settings.
    """

    issuer: Issuer
    groups_claim: str
    groups: dict[str, str]
    is_set_here: bool
    health: KeyHealth


class Tenant(Struct, frozen=True, kw_only=True):
    """A tenant of the installation."""

    id: UUID
    name: str
    status: str
    created_at: datetime


class Examined(Struct, frozen=True, kw_only=True):
    """What a verified access token of an issuer says, and who its bearer would be here."""

    claims: dict[str, Any]
    issuer: str
    tenant: UUID
    subject: str
    roles: tuple[str, ...]
    is_known: bool
    refused: str = ""
    """The code with which they would be refused, such as `role_not_mapped`; empty: they would get in."""


class Call(Struct, frozen=True, kw_only=True):
    """One call to a part of ours outside the process: which module, by which method, at which path."""

    module: str
    method: str
    path: str


class Cap(Struct, frozen=True, kw_only=True):
    """What a capability token's caveats leave together; None: no caveat of that kind. `budget` is in micro-dollars."""

    tenant: UUID
    turn: UUID
    holder: str
    exp: int
    tools: frozenset[str] | None = None
    models: frozenset[str] | None = None
    hosts: frozenset[str] | None = None
    args: str | None = None
    budget: int | None = None
    uses: int | None = None


class CapUse(Struct, frozen=True, kw_only=True):
    """What someone wants to do with a capability token: `by` is the turn that does it, `args` the arguments' digest."""

    by: Turn
    tenant: UUID
    turn: UUID
    holder: str
    tool: str | None = None
    model: str | None = None
    host: str | None = None
    args: str | None = None


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

    async def authorize(self, turn: Turn, policy: str, *, scope: str | None = None, fresh: Fresh = False) -> None:
        """Raise unless `turn`'s principal meets `policy`: `public`, `signed-in`, or a dotted permission.

        Several permissions with ` or ` between them: one is enough. With an API key `scope` must be among its scopes
        (all of several with ` and ` between them) or `any`, and a route without a scope takes no key. A denial is an
        event. Raises `MissingToken`, `Forbidden`, `InsufficientScope` or `InsufficientUserAuthentication`.
        """
        ...

    def stamp(self, turn: Turn, call: Call, *, cap: str | None = None) -> dict[str, str]:
        """The headers of one call of `turn` to a part of ours outside the process; no other host may get them."""
        ...

    async def recheck(self, turn: Turn) -> None:
        """Raise `SessionRevoked` when the turn's credential has ended since, or its person may do less; for streams,
        once a second. Cheap."""
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
    ) -> Grant | Pending:
        """Make the first owner and sign them in. Raises `ChallengeInvalid`, or `ValidationFailed` (the link stays)."""
        ...

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
        """Sign in by e-mail or handle. Raises `InvalidCredentials`, `MethodDisabled` or `RateLimited`."""
        ...

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
        """Complete a pending sign-in. Still `Pending` while the person's device is asked (`push`).

        Raises `ChallengeInvalid`, `ChallengeDenied`, `WebauthnFailed` or `RateLimited`.
        """
        ...

    async def passkey_options(self) -> tuple[str, dict[str, Any]]:
        """(challenge token, options for `navigator.credentials.get`) of a sign-in by a passkey alone.

        Raises `MethodDisabled`.
        """
        ...

    async def sign_in_by_passkey(
        self, turn: Turn, *, token: str, assertion: Mapping[str, Any], client: Client, browser: bool
    ) -> Grant | Pending:
        """Sign in by a passkey that names its person, which counts as both factors.

        Raises `MethodDisabled`, `ChallengeInvalid`, `WebauthnFailed` or `RateLimited`.
        """
        ...

    def offers_passkey(self) -> bool:
        """Whether one can sign in by a passkey alone."""
        ...

    def is_multi(self) -> bool:
        """Whether a sign-in names its tenant, because there are several."""
        ...

    def allows_anonymous(self) -> bool:
        """Whether sign-in is switched off and every caller is an anonymous member."""
        ...

    def offers_password(self) -> bool:
        """Whether one can sign in by password."""
        ...

    def issuers(self) -> list[Issuer]:
        """The other issuers that people can sign in with."""
        ...

    async def begin_sso(self, alias: str, redirect: str) -> tuple[str, str]:
        """(the issuer's address, the `Set-Cookie` value of a sign-in under way). Raises `InvalidRequest`."""
        ...

    async def complete_sso(
        self, turn: Turn, query: Mapping[str, str], headers: Sequence[tuple[bytes, bytes]], client: Client
    ) -> tuple[Grant | Pending | None, str, str]:
        """(what the browser gets, the page to go to, the `Set-Cookie` value that ends the sign-in under way).

        It gets None where an administrator only tried it (`SignInServices.begin_test`).
        """
        ...

    async def examine(self, token: str) -> Examined:
        """Read another issuer's access token as a request would, and change nothing. Raises what a request would."""
        ...

    async def hear_logout(self, token: str) -> None:
        """An issuer's back-channel logout: its session, and ours from it, are over. Raises as for an access token."""
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

    async def sign_out_everywhere(self, turn: Turn, user_id: UUID) -> None:
        """End all sessions of a person, and what another issuer gave them until now."""
        ...

    async def reset_factors(self, turn: Turn, user_id: UUID) -> None:
        """Remove a person's second factors and recovery codes."""
        ...

    async def break_glass(self, turn: Turn, email: str) -> str:
        """Let the console in when nobody can: a new password for an owner of that e-mail, made when missing.

        The account is active and owner, its factors and sessions are gone. The password is shown this once.
        """
        ...

    async def create_tenant(self, turn: Turn, name: str) -> UUID:
        """A further tenant; in tenancy `multi` only. Raises `Conflict` otherwise."""
        ...

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        """Replace the password and end all sessions of the user."""
        ...

    # API keys

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
        """A new API key of the user, shown this once: `aibox_<id>_<secret>_<crc>`.

        `models` are all it may use, `budget_usd` is what it may spend in its whole life.
        """
        ...

    async def keys(self, turn: Turn, *, user_id: UUID) -> list[ApiKey]: ...

    async def revoke_key(self, turn: Turn, *, user_id: UUID, key_id: str) -> None: ...


@runtime_checkable
class Account(Protocol):
    """What the turn's person does with their own account."""

    async def step_up_options(self, turn: Turn) -> dict[str, Any]:
        """Options for `navigator.credentials.get`, to prove by a passkey that it is still them."""
        ...

    async def step_up(
        self,
        turn: Turn,
        *,
        method: Method | None,
        password: str | None,
        code: str | None,
        assertion: Mapping[str, Any] | None,
        client: Client,
    ) -> None:
        """Make the session fresh: by a second factor where one is enrolled, else by the password."""
        ...

    async def change_password(self, turn: Turn, *, current: str, new: str, client: Client, browser: bool) -> Grant:
        """Replace the password; all sessions end, and a new one is opened for the caller."""
        ...

    async def factors(self, turn: Turn) -> Factors: ...

    async def begin_totp(self, turn: Turn) -> Enrolment:
        """A new secret, which counts once a code of it was shown. Raises `Conflict` while one is enrolled."""
        ...

    async def confirm_totp(self, turn: Turn, code: str) -> list[str]:
        """Enrol the app by its first code; the recovery codes, when there were none. Raises `ChallengeInvalid`."""
        ...

    async def remove_totp(self, turn: Turn) -> None: ...

    async def new_recovery_codes(self, turn: Turn) -> list[str]:
        """Ten new ones, shown this once; earlier ones are void."""
        ...

    async def passkey_options(self, turn: Turn) -> dict[str, Any]:
        """Options for `navigator.credentials.create`, good once within five minutes in this session."""
        ...

    async def add_passkey(self, turn: Turn, *, name: str, credential: Mapping[str, Any]) -> list[str]:
        """Enrol a passkey; the recovery codes, when there were none. Raises `WebauthnFailed`."""
        ...

    async def remove_passkey(self, turn: Turn, passkey_id: str) -> None: ...

    async def start_pairing(self, turn: Turn) -> str:
        """A code for a new device, once within ten minutes."""
        ...

    async def pair(self, *, code: str, name: str, public_key: str, client: Client) -> TokenGrant:
        """Pair a device by a code. Raises `InvalidGrant` or `SlowDown`."""
        ...

    async def devices(self, turn: Turn) -> list[Device]: ...

    async def revoke_device(self, turn: Turn, device_id: UUID) -> None:
        """Unpair a device and end its sessions."""
        ...

    async def approvals(self, turn: Turn) -> list[PushRequest]:
        """The sign-ins that wait for the person's answer."""
        ...

    async def approve(self, turn: Turn, request_id: str, *, number: str, signature: str) -> None:
        """Approve by the number shown at the sign-in. A wrong one ends it: `ChallengeInvalid`."""
        ...

    async def deny(self, turn: Turn, request_id: str) -> None:
        """Refuse a sign-in, which its other side hears as `ChallengeDenied`."""
        ...


@runtime_checkable
class Roles(Protocol):
    """The roles of the turn's tenant. Nobody makes, changes or deletes one that gives more than they have themselves,
    nor changes one so that anybody could do more than that."""

    async def all(self, turn: Turn) -> list[Role]:
        """The shipped ones, then those made here, by name."""
        ...

    async def one(self, turn: Turn, name: str) -> Role: ...

    async def create(self, turn: Turn, *, name: str, label: str, about: str, permissions: RoleRights) -> Role:
        """A new role. Raises `Conflict` for a name that is taken, `ValidationFailed`, or `Forbidden`."""
        ...

    async def change(
        self, turn: Turn, name: str, *, label: str | None, about: str | None, permissions: RoleRights | None
    ) -> Role:
        """Change a role made here, in effect for running sessions within a second; None leaves a part as it is."""
        ...

    async def delete(self, turn: Turn, name: str) -> None:
        """Raises `RoleInUse` while anybody has it."""
        ...


@runtime_checkable
class Invitations(Protocol):
    """Asking people to join by a one-use link. Who invites needs `admin.manage_users` and gives no more than they have,
    at the time of the invitation and when it is accepted."""

    async def invite(self, turn: Turn, *, email: str, roles: Sequence[str], days: int) -> Invited:
        """A new link, which voids an earlier one for the same address. Raises `Conflict` when they are here already."""
        ...

    async def open_ones(self, turn: Turn) -> list[Invitation]:
        """Those that were neither accepted nor revoked, expired ones too, newest first."""
        ...

    async def revoke(self, turn: Turn, invitation_id: UUID) -> None: ...

    async def welcome(self, token: str, client: Client) -> Welcome:
        """What the page behind the link shows. Raises `ChallengeInvalid` for whatever is wrong, or `RateLimited`."""
        ...

    async def accept(self, *, token: str, name: str, password: str, client: Client, browser: bool) -> Grant | Pending:
        """Make the account and sign it in. Raises `ChallengeInvalid`, or `ValidationFailed` (the link stays good)."""
        ...

    async def accept_by_sso(self, *, token: str, alias: str, client: Client) -> tuple[str, str]:
        """As `Identity.begin_sso`; the account is then made for whom the other service vouches for."""
        ...


@runtime_checkable
class SignInServices(Protocol):
    """The issuers of the settings, and what this tenant decides of them: which groups have which roles.

    Nobody maps a group to a role, or takes one from it, that gives more than they have themselves.
    """

    async def all(self, turn: Turn) -> list[SignInService]:
        """Those that people of this tenant can come from."""
        ...

    async def map_groups(self, turn: Turn, alias: str, *, claim: str, groups: Mapping[str, str]) -> SignInService:
        """Which claim names a person's groups, and our role by the name of each; from the next token on."""
        ...

    async def unmap_groups(self, turn: Turn, alias: str) -> SignInService:
        """Back to what the settings say."""
        ...

    async def check(self, turn: Turn, alias: str) -> SignInService:
        """Fetch the issuer's keys now."""
        ...

    async def examine(self, turn: Turn, alias: str, token: str) -> Examined:
        """Read an access token of the issuer as a request would, and change nothing."""
        ...

    async def begin_test(self, turn: Turn, alias: str) -> tuple[str, str]:
        """As `Identity.begin_sso`, to see what comes back: nobody is signed in by it."""
        ...

    async def tested(self, turn: Turn, test: str) -> Examined:
        """What came back of the caller's test, once. Raises `ChallengeInvalid`."""
        ...


@runtime_checkable
class WindowsSignIn(Protocol):
    """The compatible entry `/egauth`: Windows accounts by NTLMv2, and passwords. Its access tokens name `/egauth`."""

    def is_on(self) -> bool:
        """Whether Windows accounts sign in here."""
        ...

    async def ntlm(
        self, turn: Turn, message: str | None, *, client: Client, connection: str, browser: bool
    ) -> Grant | Pending:
        """Sign in by the base64 messages of NTLM. Raises `NtlmChallenge` (the header carries ours), `MissingToken`
        without one, `NtlmRefused`, `MethodDisabled`, `RateLimited` or `IdpUnavailable`."""
        ...

    async def password(
        self, turn: Turn, *, username: str, password: str, tenant: str | None, client: Client, browser: bool
    ) -> Grant | Pending:
        """As `Identity.sign_in`; where NTLM is on, by the Windows account `DOMAIN\\name` or `name` instead."""
        ...


@runtime_checkable
class Tenants(Protocol):
    """The turn's own tenant, and for who runs an installation of several all of them."""

    async def own(self, turn: Turn) -> Tenant: ...

    async def rename(self, turn: Turn, name: str) -> Tenant: ...

    async def all(self, turn: Turn) -> list[Tenant]:
        """Every tenant, oldest first. Raises `NotFound` in a single-tenant installation, as the others do."""
        ...

    async def create(self, turn: Turn, *, name: str, owner_email: str) -> tuple[Tenant, Invited]:
        """A further tenant, and the invitation of its first owner. Raises `Conflict` for a name that is taken."""
        ...

    async def set_status(self, turn: Turn, tenant: UUID, status: TenantStatus) -> Tenant:
        """Suspend a tenant, whose people are out within a second, or let it in again; never one's own."""
        ...

    async def enter(self, turn: Turn, tenant: UUID) -> Tenant:
        """Act as an owner of another tenant from now on, in this session. Raises `Conflict` for a second one."""
        ...

    async def leave(self, turn: Turn) -> None:
        """Act at home again."""
        ...

    async def visited(self, turn: Turn) -> Tenant | None:
        """The tenant that the turn's session has entered."""
        ...


class SignedIn(Event, frozen=True, kw_only=True):
    """Someone signed in by `password`, `setup`, `oidc`, `invitation`, `passkey`, `pairing` or `ntlm`.

    Address and user agent are its artifact.
    """

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


class TenantRenamed(Event, frozen=True, kw_only=True):
    """A tenant got another name."""

    type: ClassVar[str] = "admin.tenant.renamed"
    actor: str
    target: str


class TenantStatusChanged(Event, frozen=True, kw_only=True):
    """A tenant was suspended or let in again. It stands in the log of that tenant, and in that of who did it."""

    type: ClassVar[str] = "admin.tenant.status_changed"
    actor: str
    target: str
    status: str


class TenantEntered(Event, frozen=True, kw_only=True):
    """Who runs the installation entered a tenant as an owner of it. It stands in that tenant's log and in their own."""

    type: ClassVar[str] = "admin.tenant.entered"
    actor: str
    target: str


class TenantLeft(Event, frozen=True, kw_only=True):
    """They left it again. A visit also ends with its session, and then nothing says so here."""

    type: ClassVar[str] = "admin.tenant.left"
    actor: str
    target: str


class GroupsMapped(Event, frozen=True, kw_only=True):
    """Which groups of an issuer have which roles was changed: `roles` are all that are mapped to from then on."""

    type: ClassVar[str] = "admin.sso.groups_mapped"
    actor: str
    target: str
    claim: str
    roles: tuple[str, ...]


class InvitationCreated(Event, frozen=True, kw_only=True):
    """Someone was invited, with these roles. The address stands in the invitation only."""

    type: ClassVar[str] = "admin.invitation.created"
    actor: str
    target: str
    roles: tuple[str, ...]


class InvitationRevoked(Event, frozen=True, kw_only=True):
    """An invitation was taken back, or a newer one for the same address took its place."""

    type: ClassVar[str] = "admin.invitation.revoked"
    actor: str
    target: str


class InvitationAccepted(Event, frozen=True, kw_only=True):
    """An invitation was used. Who joined stands in the `admin.user.created` beside it."""

    type: ClassVar[str] = "admin.invitation.accepted"
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


class RoleCreated(Event, frozen=True, kw_only=True):
    """A role was made, with these rights: `memory.write`, `tools.*`, `!tools.shell` (denied), `cost.monthly_usd=10`."""

    type: ClassVar[str] = "admin.role.created"
    actor: str
    target: str
    rights: tuple[str, ...]


class RoleChanged(Event, frozen=True, kw_only=True):
    """A role was changed, and has these rights from then on."""

    type: ClassVar[str] = "admin.role.changed"
    actor: str
    target: str
    rights: tuple[str, ...]


class RoleDeleted(Event, frozen=True, kw_only=True):
    """A role that nobody had was deleted."""

    type: ClassVar[str] = "admin.role.deleted"
    actor: str
    target: str


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


class UserSignedOut(Event, frozen=True, kw_only=True):
    """All sessions of a person were ended by an administrator, or by themselves."""

    type: ClassVar[str] = "admin.user.signed_out"
    actor: str
    target: str


class FactorsReset(Event, frozen=True, kw_only=True):
    """A person's second factors and recovery codes were removed by an administrator."""

    type: ClassVar[str] = "admin.user.factors_reset"
    actor: str
    target: str


class FactorEnrolled(Event, frozen=True, kw_only=True):
    """A person enrolled a second factor: `totp`, `passkey` or `recovery`."""

    type: ClassVar[str] = "auth.mfa_enrolled"
    actor: str
    method: str


class FactorRemoved(Event, frozen=True, kw_only=True):
    """A person removed a second factor of theirs."""

    type: ClassVar[str] = "auth.mfa_removed"
    actor: str
    method: str


class SteppedUp(Event, frozen=True, kw_only=True):
    """A person confirmed that it is them, for what asks for a fresh sign-in."""

    type: ClassVar[str] = "auth.step_up"
    actor: str
    method: str
    session: str


class DevicePaired(Event, frozen=True, kw_only=True):
    """A device was paired with a person's account. Address and user agent are its artifact."""

    type: ClassVar[str] = "auth.device_paired"
    actor: str
    device: str


class DeviceRevoked(Event, frozen=True, kw_only=True):
    """A person's device was unpaired, and its sessions ended."""

    type: ClassVar[str] = "auth.device_revoked"
    actor: str
    device: str


class PushAnswered(Event, frozen=True, kw_only=True):
    """A sign-in was approved or denied on a paired device; `result` is `approved`, `denied` or `wrong`."""

    type: ClassVar[str] = "auth.push_answered"
    actor: str
    device: str
    result: str


class IssuerSignOut(Event, frozen=True, kw_only=True):
    """An issuer said that one of its sessions is over (back-channel logout)."""

    type: ClassVar[str] = "auth.issuer_logout"
    actor: str
    issuer: str


class UserRenamed(Event, frozen=True, kw_only=True):
    """A person's shown name was changed."""

    type: ClassVar[str] = "admin.user.renamed"
    actor: str
    target: str

"""Bodies of the sign-in and people routes. camelCase where spec.md writes it so."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from aibox.identity import (
    ApiKey,
    Device,
    Invitation,
    Invited,
    KeyHealth,
    Method,
    PushRequest,
    Role,
    RoleRights,
    Scope,
    Session,
    SignInService,
    Status,
    Tenant,
    TenantStatus,
    User,
)


class SetupBody(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    name: str
    email: str
    password: str


class LoginBody(Struct, frozen=True, forbid_unknown_fields=True):
    username: str
    password: str
    tenant: str | None = None


class RefreshBody(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: str


class SecondFactorBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`code` for `totp` and `recovery`, `assertion` (what `navigator.credentials.get` gave, as JSON) for `webauthn`."""

    challenge_token: str
    method: Method
    code: str | None = None
    assertion: dict[str, Any] | None = None


class StepUpBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`password` where no second factor is enrolled; else `method` with `code` or `assertion`."""

    method: Literal["totp", "webauthn", "recovery"] | None = None
    password: str | None = None
    code: str | None = None
    assertion: dict[str, Any] | None = None


class PasswordBody(Struct, frozen=True, forbid_unknown_fields=True):
    current: str
    new: str


class CodeBody(Struct, frozen=True, forbid_unknown_fields=True):
    code: str


class PasskeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`credential` is what `navigator.credentials.create` gave, as JSON."""

    name: str
    credential: dict[str, Any]


class PairBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`public_key` is the device's own, base64url: 32 bytes of Ed25519 or 65 of a P-256 point."""

    code: str
    device_name: str
    public_key: str


class ApproveBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`signature` (base64url) is over `aibox-push/1`, the request's id and the number, a line feed between them."""

    number: str
    signature: str


class ProfileBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class KeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    scopes: list[Scope]
    days: int = 365
    models: list[str] | None = None
    budget_usd: Decimal | None = None


class UserBody(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    email: str
    password: str
    roles: tuple[str, ...] = ("member",)


class UserPatch(Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    roles: list[str] | None = None
    status: Status | None = None


class RoleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is what the role is called in the API and in the log; it stays."""

    name: str
    label: str
    permissions: RoleRights
    about: str = ""


class RolePatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is absent stays; `permissions` are replaced whole."""

    label: str | None = None
    about: str | None = None
    permissions: RoleRights | None = None


class InvitationBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is invited to what; the link is good for `days`."""

    email: str
    roles: list[str]
    days: int = 7


class InvitationList(Struct, frozen=True):
    invitations: list[Invitation]


class TokenBody(Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class AcceptBody(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    name: str
    password: str


class AcceptBySsoBody(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    idp: str


class Elsewhere(Struct, frozen=True):
    """Where the browser goes on."""

    address: str


class PasskeySignInBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`assertion` is what `navigator.credentials.get` gave, as JSON."""

    challenge_token: str
    assertion: dict[str, Any]


class PasskeyChallenge(Struct, frozen=True):
    """`webauthn` are the options for `navigator.credentials.get`."""

    challenge_token: str
    webauthn: dict[str, Any]


class SignInServiceView(Struct, frozen=True):
    """An issuer of the settings, without its secret."""

    alias: str
    name: str
    iss: str
    jwks_url: str
    authorization_url: str
    token_url: str
    client_id: str
    algs: list[str]
    audiences: list[str]
    clients: list[str]
    roles_claim: str
    roles: dict[str, str]
    default_role: str
    groups_claim: str
    groups: dict[str, str]
    is_set_here: bool
    health: KeyHealth


class SignInServiceList(Struct, frozen=True):
    """`callback` is the address to register with each issuer."""

    services: list[SignInServiceView]
    callback: str


class GroupsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`groups` are our roles by the issuer's name of a group; null for both goes back to the settings."""

    groups_claim: str | None
    groups: dict[str, str] | None


class TestBody(Struct, frozen=True, forbid_unknown_fields=True):
    test: str


class TenantSettings(Struct, frozen=True, rename="camel"):
    """Which groups have which roles, by the alias of each sign-in service (`/v1/admin/sso/idps` changes them)."""

    group_role_mapping: dict[str, dict[str, str]]


class OwnTenant(Struct, frozen=True):
    id: UUID
    name: str
    status: str
    created_at: datetime
    settings: TenantSettings


class TenantPatch(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class TenantBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The first owner gets an invitation."""

    name: str
    owner_email: str


class TenantStatusBody(Struct, frozen=True, forbid_unknown_fields=True):
    status: TenantStatus


class TenantMade(Struct, frozen=True):
    tenant: Tenant
    invited: Invited


class TenantList(Struct, frozen=True):
    tenants: list[Tenant]


class RoleList(Struct, frozen=True):
    roles: list[Role]


class Config(Struct, frozen=True, rename="camel"):
    password_login_enabled: bool
    setup_required: bool
    passkey_login_enabled: bool
    windows_login_enabled: bool
    tenant_asked: bool


class Offered(Struct, frozen=True, rename="camel"):
    allow_anonymous: bool
    entra_configured: bool


class AuthStatus(Struct, frozen=True):
    """What older clients ask for."""

    auth: Offered


class Idp(Struct, frozen=True, rename="camel"):
    alias: str
    display_name: str


class Pairing(Struct, frozen=True):
    """`qr` is what the QR code holds: the page that completes the pairing, with the code in its fragment."""

    code: str
    qr: str
    expires_in: int


class RecoveryCodes(Struct, frozen=True):
    """Shown this once; empty when there were some already."""

    recovery_codes: list[str]


class Devices(Struct, frozen=True):
    devices: list[Device]


class Approvals(Struct, frozen=True):
    challenges: list[PushRequest]


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
    recovery_codes: list[str] | UnsetType = UNSET


class Me(Struct, frozen=True, rename="camel"):
    """`csrfToken` is null when the caller did not come by a session, `visiting` unless they entered another tenant."""

    user: Person
    roles: list[str]
    permissions: dict[str, Any]
    csrf_token: str | None
    visiting: Tenant | None = None


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
    models: list[str] | None
    budget_usd: Decimal | None


class Keys(Struct, frozen=True):
    keys: list[KeyView]


class NewKey(Struct, frozen=True):
    """`key` is shown this once."""

    key: str


class PermissionsView(Struct, frozen=True):
    """What a person may do, all their roles together."""

    roles: list[str]
    permissions: dict[str, Any]


class UserView(Struct, frozen=True):
    """`pseudonym` is what events, usage and budgets call the person."""

    id: UUID
    pseudonym: str
    tenant_id: UUID
    handle: str
    email: str
    name: str
    roles: list[str]
    status: str
    created_at: datetime
    issuer: str


class Users(Struct, frozen=True):
    users: list[UserView]


def person(user: User) -> Person:
    return Person(id=user.id, handle=user.handle, email=user.email, display_name=user.name, tenant_id=user.tenant)


def user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        pseudonym=user.pseudonym,
        tenant_id=user.tenant,
        handle=user.handle,
        email=user.email,
        name=user.name,
        roles=list(user.roles),
        status=user.status,
        created_at=user.created_at,
        issuer=user.issuer,
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


def service_view(service: SignInService) -> SignInServiceView:
    row = service.issuer
    return SignInServiceView(
        alias=row.alias,
        name=row.name,
        iss=row.iss,
        jwks_url=row.jwks_url,
        authorization_url=row.authorization_url,
        token_url=row.token_url,
        client_id=row.client_id,
        algs=list(row.algs),
        audiences=list(row.audiences),
        clients=list(row.clients),
        roles_claim=row.roles_claim,
        roles=row.roles,
        default_role=row.default_role,
        groups_claim=service.groups_claim,
        groups=service.groups,
        is_set_here=service.is_set_here,
        health=service.health,
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
        models=None if key.models is None else list(key.models),
        budget_usd=key.budget_usd,
    )

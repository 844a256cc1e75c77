"""The table of trusted issuers, and what a token of one of them says once it is verified.

An issuer is found by its `iss` byte for byte, never by discovery. Who the person is here, and what they may, is
`federation.py`'s to say.
"""

import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from msgspec import Struct

from aibox.core.errors import BootRefused
from aibox.core.http import Client
from aibox.identity import (
    InvalidAudience,
    InvalidIssuer,
    InvalidRequest,
    InvalidToken,
    Issuer,
    KeyHealth,
    RoleNotMapped,
    Settings,
    TenancySettings,
    TenantNotProvisioned,
    WrongTokenType,
)
from aibox.identity.jwks import Jwks
from aibox.identity.roles import SHIPPED
from aibox.identity.tokens import LEEWAY, Parsed, check_times, parse
from aibox.identity.web import is_local

ALGORITHMS = frozenset({"ES256", "RS256", "PS256", "Ed25519", "EdDSA"})
TYPES = ("at+jwt", "JWT")
WINDOWS = "winbind:"
"""Who vouches for people with a Windows account, by their security identifier. They never administer."""
TOKEN_ROLES = {"user": "member", "tenant_admin": "owner", **{role: role for role in SHIPPED}}
"""What the roles of the shipped Keycloak realm are called here."""
BACKCHANNEL = "http://schemas.openid.net/event/backchannel-logout"
MAX_SUBJECT = 255

_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class Vouched(Struct, frozen=True, kw_only=True):
    """What an issuer vouches for: who, in which of our tenants, by which claims.

    `roles` are there once `Federation.decided` mapped them; None: they are ours to give. `signed_in` is when the person
    proved who they are, None when the token does not say.
    """

    iss: str
    subject: str
    tenant: UUID
    email: str
    name: str
    row: Issuer
    claims: Mapping[str, Any]
    sid: str
    issued: int
    expires: int
    signed_in: int | None
    amr: tuple[str, ...]
    proof_key: str | None = None
    roles: tuple[str, ...] | None = None
    handle: str = ""
    """What the person is called there, for one without an e-mail."""


class Groups(Struct, frozen=True, kw_only=True):
    """Which claim names a person's groups, and our role by the issuer's name of a group."""

    claim: str
    groups: Mapping[str, str]


class Issuers:
    """Verifies the tokens of the issuers in the table."""

    def __init__(
        self,
        rows: Sequence[Issuer],
        http: Client,
        tenancy: TenancySettings,
        *,
        production: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises `BootRefused` (`boot_bad_issuer`, B03) for a row that says too little or may be listened to."""
        for row in rows:
            _check(row, production=production)
        if len({row.iss for row in rows}) < len(rows) or len({row.alias for row in rows}) < len(rows):
            raise BootRefused("boot_bad_issuer", "Two issuers have the same `iss` or alias; give each its own.")
        self._rows: Mapping[str, Issuer] = {row.iss: row for row in rows}
        self._keys = {row.iss: Jwks(http, row.jwks_url) for row in rows}
        self._tenancy = tenancy
        self._clock = clock

    @property
    def offered(self) -> list[Issuer]:
        """The issuers that people can sign in with in a browser."""
        return [row for row in self._rows.values() if row.authorization_url and row.token_url]

    @property
    def all(self) -> list[Issuer]:
        return list(self._rows.values())

    def health(self, row: Issuer) -> KeyHealth:
        """What this process knows of the issuer's keys."""
        return self._keys[row.iss].health()

    async def check(self, row: Issuer) -> KeyHealth:
        """Fetch the issuer's keys, unless that was just tried."""
        await self._keys[row.iss].check()
        return self.health(row)

    def named(self, alias: str) -> Issuer:
        """The issuer with this alias. Raises `InvalidRequest`."""
        for row in self.offered:
            if row.alias == alias:
                return row
        raise InvalidRequest("There is no such sign-in service here.")

    async def access(self, token: str, parsed: Parsed) -> Vouched:
        """What an access token says. Raises `InvalidIssuer` before anything is fetched, and what T02 to T18 say."""
        row = self._row(parsed)
        await self._verify(row, token, parsed)
        claims = parsed.claims
        if not _is_access(row, parsed):
            raise WrongTokenType()
        _check_audience(claims, row.audiences)
        if claims.get("azp", claims.get("client_id", claims.get("appid"))) not in row.clients:
            raise InvalidAudience()
        check_times(claims, max_life=row.max_life, now=self._clock())
        return self._vouched(row, claims)

    async def sign_in(self, row: Issuer, token: str, *, nonce: str) -> Vouched:
        """What the ID token of a browser's sign-in says. Raises as `access` does, `InvalidToken` for another nonce."""
        parsed = parse(token)
        if parsed.claims.get("iss") != row.iss:
            raise InvalidIssuer()
        await self._verify(row, token, parsed)
        claims = parsed.claims
        _check_audience(claims, (row.client_id,))
        if claims.get("azp", row.client_id) != row.client_id:
            raise InvalidAudience()
        check_times(claims, max_life=24 * 3600, now=self._clock())
        sent = claims.get("nonce")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
            raise InvalidToken()
        return self._vouched(row, claims)

    async def logout(self, token: str) -> tuple[Issuer, str]:
        """(issuer, sid) of a back-channel logout token (OpenID Connect Back-Channel Logout 1.0, §2.4)."""
        parsed = parse(token)
        row = self._row(parsed)
        await self._verify(row, token, parsed)
        claims = parsed.claims
        events = claims.get("events")
        if parsed.header.get("typ") not in ("logout+jwt", "JWT") or "nonce" in claims:
            raise WrongTokenType()
        if not isinstance(events, dict) or BACKCHANNEL not in events or not isinstance(claims.get("sid"), str):
            raise WrongTokenType()
        _check_audience(claims, (row.client_id,))
        if type(claims.get("iat")) is not int or abs(claims["iat"] - self._clock()) > 300 + LEEWAY:
            raise InvalidToken()
        return row, claims["sid"]

    def tenant(self, row: Issuer, claims: Mapping[str, Any]) -> UUID:
        """The tenant of a person of this issuer. Raises `TenantNotProvisioned`."""
        if self._tenancy.mode == "single":
            return self._tenancy.single_tenant_id
        if row.tenant_rule == "pinned":
            return row.tenant or self._tenancy.single_tenant_id
        found = row.tenants.get(str(_at(claims, row.tenant_claim)))
        if found is None:
            raise TenantNotProvisioned()
        return found

    def _row(self, parsed: Parsed) -> Issuer:
        iss = parsed.claims.get("iss")
        row = self._rows.get(iss) if isinstance(iss, str) else None
        if row is None:
            raise InvalidIssuer()
        return row

    async def _verify(self, row: Issuer, token: str, parsed: Parsed) -> None:
        if parsed.header["alg"] not in row.algs:
            raise InvalidToken()  # before anything is fetched
        keys = await self._keys[row.iss].having(parsed.header["kid"])
        try:
            jwt.decode(token, keys, algorithms=row.algs)
        except (JoseError, ValueError):
            raise InvalidToken() from None

    def _vouched(self, row: Issuer, claims: Mapping[str, Any]) -> Vouched:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not _PRINTABLE.fullmatch(subject):
            raise InvalidToken()
        confirmation = claims.get("cnf")
        return Vouched(
            iss=row.iss,
            subject=subject,
            tenant=self.tenant(row, claims),
            email=_text(claims, "email", "preferred_username"),
            name=_text(claims, "name", "preferred_username", "email"),
            row=row,
            claims=claims,
            sid=_text(claims, "sid"),
            issued=claims["iat"],
            expires=claims["exp"],
            signed_in=claims.get("auth_time"),
            amr=_methods(row, claims),
            proof_key=str(confirmation.get("jkt", "")) if isinstance(confirmation, dict) else None,
        )


def table(settings: Settings, tenancy: TenancySettings) -> list[Issuer]:
    """The rows of the settings: the first with the values of the shipped Keycloak realm, then the further ones."""
    if not settings.issuer:
        return [*settings.additional_issuers]
    base = f"{settings.issuer}/protocol/openid-connect"
    first = Issuer(
        iss=settings.issuer,
        jwks_url=settings.jwks_url or f"{base}/certs",
        authorization_url=f"{base}/auth",
        token_url=f"{base}/token",
        client_secret=settings.client_secret,
        clients=("aibox-frontend", settings.password.ropc_client),
        tenant=tenancy.single_tenant_id,
        roles=TOKEN_ROLES,
        default_role=settings.default_role,
    )
    return [first, *settings.additional_issuers]


def mapped_roles(row: Issuer, claims: Mapping[str, Any], groups: Groups | None = None) -> tuple[str, ...] | None:
    """Our roles for the issuer's roles and groups; None when nothing is mapped. Raises `RoleNotMapped`.

    `groups` are those set in the tenant, which stand instead of the row's.
    """
    groups = groups or Groups(claim=row.groups_claim, groups=row.groups)
    if not row.roles and not groups.groups:
        return None
    found = {
        mapping[name]
        for claim, mapping in ((row.roles_claim, row.roles), (groups.claim, groups.groups))
        for name in _names(_at(claims, claim))
        if name in mapping
    }
    if not found:
        raise RoleNotMapped()
    return (*(role for role in SHIPPED if role in found), *sorted(found - SHIPPED.keys()))


def _check(row: Issuer, *, production: bool) -> None:
    for name, url in (
        ("iss", row.iss),
        ("jwks_url", row.jwks_url),
        ("authorization_url", row.authorization_url),
        ("token_url", row.token_url),
    ):
        if not url and name.endswith(("ation_url", "token_url")):
            continue  # an issuer of access tokens only
        parts = urlsplit(url)
        may_be_plain = not production and parts.scheme == "http" and is_local(parts.hostname or "")
        if not (parts.scheme == "https" or may_be_plain) or not parts.hostname:
            raise BootRefused("boot_bad_issuer", f"Write an https:// address as {name} of the issuer {row.iss!r}.")
    if not row.audiences or not row.clients or not row.algs or not set(row.algs) <= ALGORITHMS:
        wanted = ", ".join(sorted(ALGORITHMS))
        raise BootRefused("boot_bad_issuer", f"Give the issuer {row.iss} audiences, clients and algs of {wanted}.")
    if row.typ not in TYPES or (row.typ == "JWT" and not row.typ_claim):
        raise BootRefused(
            "boot_bad_issuer", f"Give the issuer {row.iss} typ `at+jwt`, or `JWT` with a typ_claim of access tokens."
        )
    if not {*row.roles.values(), *row.groups.values(), row.default_role} <= SHIPPED.keys():
        raise BootRefused("boot_bad_issuer", f"Map the roles of the issuer {row.iss} to {', '.join(SHIPPED)} only.")


def _is_access(row: Issuer, parsed: Parsed) -> bool:
    if parsed.header.get("typ") != row.typ:
        return False
    if row.typ != "JWT":
        return True
    name, _, value = row.typ_claim.partition("=")
    return str(parsed.claims.get(name)) == value if value else bool(parsed.claims.get(name))


def _check_audience(claims: Mapping[str, Any], wanted: Sequence[str]) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(name, str) and name in wanted for name in audiences):
        raise InvalidAudience()


def _methods(row: Issuer, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """How the person proved who they are: the token's `amr`, and `mfa` where its `acr` means that."""
    methods = _names(claims.get("amr")) or ["fed"]
    if str(claims.get("acr")) in row.mfa_acr and "mfa" not in methods:
        methods = [*methods, "mfa"]
    return tuple(methods)


def _names(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)][:1000] if isinstance(value, list) else []


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim at a dotted path; a claim whose own name has dots in it (a namespace) is found whole."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _text(claims: Mapping[str, Any], *names: str) -> str:
    """The first of these claims that is a text, without what cannot be stored or shown."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and (clean := "".join(c for c in value if c.isprintable()).strip()):
            return clean[:200]
    return ""

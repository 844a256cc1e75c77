"""Finds who presents a credential: cookie, access token or API key, looked up by the system's role.

Until a credential is found no tenant is known, so these look-ups stand outside row-level security, on named tables.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.keyring import Ring
from aibox.core.turn import Principal
from aibox.identity import InvalidApiKey, SessionRevoked, TenantNotProvisioned
from aibox.identity.definitions import DEFINED
from aibox.identity.federation import Federation
from aibox.identity.issuers import WINDOWS, Issuers
from aibox.identity.roles import rights_of, stored_rights
from aibox.identity.secrets import api_key_digests, digest, is_api_key
from aibox.identity.standing import Found
from aibox.identity.tokens import LEEWAY, AccessTokens, parse

NOTED_SECONDS = 60
"""How exact `seen_at` and `used_at` are: a busy session writes at most one row a minute."""

SESSION = f"""
SELECT s.id, s.tenant, s.user_id, s.kind, s.seen_at, s.expires_at, s.revoked_at, s.auth_time, s.amr, s.issuer,
       u.issuer AS person_issuer, u.pseudonym, u.roles, u.status, t.status AS tenant_status, {DEFINED}
FROM identity.session s
JOIN identity.user u ON u.tenant = s.tenant AND u.id = s.user_id
JOIN identity.tenant t ON t.tenant = s.tenant
"""  # noqa: S608 - DEFINED is ours
API_KEY = f"""
SELECT k.id, k.tenant, k.user_id, k.scopes, k.models, k.budget_usd, k.used_at, k.expires_at, k.revoked_at,
       u.issuer AS person_issuer, u.pseudonym, u.roles, u.status, t.status AS tenant_status, {DEFINED}
FROM identity.api_key k
JOIN identity.user u ON u.tenant = k.tenant AND u.id = k.user_id
JOIN identity.tenant t ON t.tenant = k.tenant
"""  # noqa: S608 - DEFINED is ours


class Credentials:
    """Each method gives the principal with the rights of now, or raises the 401 that the table names."""

    def __init__(
        self,
        connections: Connections,
        tokens: AccessTokens,
        issuers: Issuers,
        federation: Federation,
        keys: Ring,
        *,
        idle: timedelta,
    ) -> None:
        self._connections = connections
        self._tokens = tokens
        self._issuers = issuers
        self._federation = federation
        self._keys = keys
        self._idle = idle

    async def web_session(self, secret: str) -> Found:
        """Who signed in with this cookie. Raises `SessionRevoked`."""
        return await self._session(await self._one(f"{SESSION} WHERE s.digest = $1 AND s.kind = 'web'", digest(secret)))

    async def access_token(self, token: str) -> Found:
        """Whose access token this is. Nothing is looked up unless its signature and claims are good."""
        parsed = parse(token)
        if not self._tokens.is_own(parsed):
            vouched = await self._issuers.access(token, parsed)
            principal = await self._federation.principal(vouched)
            return Found(principal, vouched.expires + LEEWAY - datetime.now(UTC).timestamp())
        claims = self._tokens.verify_parsed(token, parsed)
        found = await self.session(claims.session)
        if found.principal.id != claims.user:
            raise SessionRevoked()
        return Found(found.principal, min(found.seconds, self._tokens.remaining(claims)))

    async def session(self, session_id: UUID) -> Found:
        """Who has this session. Raises `SessionRevoked`."""
        return await self._session(await self._one(f"{SESSION} WHERE s.id = $1", session_id))

    async def api_key(self, key: str) -> Found:
        """Whose API key this is. Raises `InvalidApiKey`."""
        if not is_api_key(key):
            raise InvalidApiKey()
        return await self._api_key(
            await self._one(f"{API_KEY} WHERE k.digest = ANY ($1)", api_key_digests(self._keys, key))
        )

    async def api_key_named(self, tenant: UUID, key_id: str) -> Found:
        """Whose API key has this id. Raises `InvalidApiKey`."""
        return await self._api_key(await self._one(f"{API_KEY} WHERE k.tenant = $1 AND k.id = $2", tenant, key_id))

    async def person(self, principal: Principal, since: datetime) -> Found:
        """Whom an issuer vouched for at `since`, with the rights of now. Raises `SessionRevoked`."""
        return Found(await self._federation.still(principal, since), float("inf"))

    async def _session(self, row: asyncpg.Record | None) -> Found:
        now = datetime.now(UTC)
        if row is None or row["revoked_at"] is not None or row["status"] != "active" or row["expires_at"] <= now:
            raise SessionRevoked()
        # The tokens of a client need no idleness limit: each lives for minutes, its refresh token is rotated.
        if row["kind"] == "web" and row["seen_at"] + self._idle <= now:
            raise SessionRevoked()
        if now - row["seen_at"] > timedelta(seconds=NOTED_SECONDS):
            await self._note("UPDATE identity.session SET seen_at = now() WHERE tenant = $1 AND id = $2", row)
        principal = _principal(
            row,
            session_id=str(row["id"]),
            issuer=row["issuer"],
            auth_time=int(row["auth_time"].timestamp()),
            amr=tuple(row["amr"]),
        )
        if row["kind"] == "device":  # a paired device never administers (identity.md, "Pairing")
            principal = replace(principal, permissions=replace(principal.permissions, admin=frozenset()))
        return Found(principal, (row["expires_at"] - now).total_seconds())

    async def _api_key(self, row: asyncpg.Record | None) -> Found:
        now = datetime.now(UTC)
        if row is None or row["revoked_at"] is not None or row["status"] != "active" or row["expires_at"] <= now:
            raise InvalidApiKey()
        if row["used_at"] is None or now - row["used_at"] > timedelta(seconds=NOTED_SECONDS):
            await self._note("UPDATE identity.api_key SET used_at = now() WHERE tenant = $1 AND id = $2", row)
        models = None if row["models"] is None else frozenset(row["models"])
        principal = _principal(
            row, key_id=row["id"], scopes=frozenset(row["scopes"]), models=models, key_usd=row["budget_usd"]
        )
        return Found(principal, (row["expires_at"] - now).total_seconds())

    async def _one(self, query: str, *arguments: object) -> asyncpg.Record | None:
        try:
            return await self._connections.system.fetchrow(query, *arguments)
        except LOST as error:
            raise StateUnavailable() from error

    async def _note(self, statement: str, row: asyncpg.Record) -> None:
        try:
            await self._connections.system.execute(statement, row["tenant"], row["id"])
        except LOST as error:
            raise StateUnavailable() from error


def _principal(row: asyncpg.Record, *, key_usd: Decimal | None = None, **credential: Any) -> Principal:
    if row["tenant_status"] != "active":
        raise TenantNotProvisioned()
    rights = rights_of(row["roles"], stored_rights(row["defined"]))
    permissions = rights.permissions
    if row["person_issuer"] == WINDOWS:  # NTLM gives no admin roles (identity.md), nor does a key made by its means
        permissions = replace(permissions, admin=frozenset())
    return Principal(
        kind="user",
        tenant=row["tenant"],
        id=row["user_id"],
        pseudonym=row["pseudonym"],
        roles=tuple(row["roles"]),
        permissions=permissions,
        limits=replace(rights.limits, key_usd=key_usd),
        **credential,
    )

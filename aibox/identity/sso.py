"""Signing in with another issuer: authorization code with PKCE for browsers, and a password check where it is allowed.

AIBox is the confidential client (a backend for the browser): codes and tokens of the issuer are exchanged and dropped
here, and the browser gets our own cookie.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from aibox.core.errors import ValidationFailed
from aibox.core.http import Broken, Client, Unreachable
from aibox.identity import IdpUnavailable, InvalidRequest, Issuer, MethodDisabled, PasswordSettings
from aibox.identity.issuers import Issuers, Vouched
from aibox.identity.secrets import digest, new_secret
from aibox.identity.tokens import parse
from aibox.stores import Cache

log = structlog.get_logger("aibox.identity.sso")

BEGUN_SECONDS = 600
ANSWER_SECONDS = 10.0
MAX_ANSWER = 100_000
CALLBACK = "/v1/auth/callback"

_LOCAL = re.compile(r"/(?![/\\])[A-Za-z0-9._~!$&'()*+,;=:@/?#%-]*")


class Begun(Struct, frozen=True, kw_only=True):
    """A browser's sign-in under way. `binding` is the digest of what its cookie holds."""

    alias: str
    nonce: str
    verifier: str
    redirect: str
    binding: bytes
    invitation: tuple[UUID, UUID] | None = None
    """(tenant, id) of the invitation that this sign-in accepts."""
    tester: tuple[UUID, UUID] | None = None
    """(tenant, person) of who only wants to see what comes back."""


class SingleSignOn:
    """Sends browsers to an issuer and takes them back. What is under way stands in the cache for ten minutes."""

    def __init__(self, issuers: Issuers, http: Client, cache: Cache, settings: PasswordSettings, base_url: str) -> None:
        self._issuers = issuers
        self._http = http
        self._cache = cache
        self._settings = settings
        self._callback = f"{base_url}{CALLBACK}"

    async def begin(
        self,
        alias: str,
        redirect: str,
        *,
        invitation: tuple[UUID, UUID] | None = None,
        tester: tuple[UUID, UUID] | None = None,
    ) -> tuple[str, str]:
        """(address of the issuer, secret for the browser's cookie). Raises `InvalidRequest` for a foreign page too."""
        row = self._issuers.named(alias)
        if not _LOCAL.fullmatch(redirect):
            raise InvalidRequest("The address to return to must be a page of this app.")
        state, binding, nonce, verifier = (new_secret() for _ in range(4))
        begun = Begun(
            alias=row.alias,
            nonce=nonce,
            verifier=verifier,
            redirect=redirect,
            binding=digest(binding),
            invitation=invitation,
            tester=tester,
        )
        await self._cache.set(_name(state), msgspec.json.encode(begun), ttl=BEGUN_SECONDS)
        query = {
            "response_type": "code",
            "client_id": row.client_id,
            "redirect_uri": self._callback,
            "scope": row.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
            .rstrip(b"=")
            .decode(),
            "code_challenge_method": "S256",
        }
        return f"{row.authorization_url}{'&' if '?' in row.authorization_url else '?'}{urlencode(query)}", binding

    async def complete(self, query: Mapping[str, str], binding: str | None) -> tuple[Vouched, Begun]:
        """(whom the issuer vouches for, what was begun). Raises `InvalidRequest` for what was not begun here."""
        state, code = query.get("state", ""), query.get("code", "")
        stored = await self._cache.get(_name(state))
        if stored is None or binding is None:
            raise InvalidRequest("This sign-in was not begun here, or took too long; begin again.")
        begun = msgspec.json.decode(stored, type=Begun)
        if not hmac.compare_digest(digest(binding), begun.binding):
            raise InvalidRequest("This sign-in was begun in another browser; begin again.")
        if not await self._cache.add(f"{_name(state)}:used", b"1", ttl=BEGUN_SECONDS):
            raise InvalidRequest("This sign-in was completed already; begin again.")
        await self._cache.delete(_name(state))
        row = self._issuers.named(begun.alias)
        if query.get("iss", row.iss if not row.sends_iss else None) != row.iss:
            raise InvalidRequest("The answer came from another sign-in service; begin again.")
        if not code:
            raise InvalidRequest("The sign-in service did not sign you in.")
        answer = await self._ask(
            row,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._callback,
                "code_verifier": begun.verifier,
            },
            client=row.client_id,
            secret=row.client_secret,
        )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise InvalidRequest("The sign-in service did not sign you in.")
        return await self._issuers.sign_in(row, token, nonce=begun.nonce), begun

    async def password(self, username: str, password: str) -> Vouched | None:
        """Whom the first issuer vouches for by a password (ROPC); None for a wrong one. Raises `MethodDisabled`."""
        rows = self._issuers.offered
        if not self._settings.ropc or not rows:
            raise MethodDisabled()
        row = rows[0]
        form = {"grant_type": "password", "username": username, "password": password, "scope": row.scopes}
        try:
            answer = await self._ask(row, form, client=self._settings.ropc_client, secret=self._settings.ropc_secret)
        except InvalidRequest:
            return None
        token = answer.get("access_token")
        return await self._issuers.access(token, parse(token)) if isinstance(token, str) else None

    async def _ask(self, row: Issuer, form: Mapping[str, str], *, client: str, secret: str) -> dict[str, Any]:
        """The token endpoint's answer. Raises `InvalidRequest` when it refuses, `IdpUnavailable` when it is away."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        body = dict(form)
        if secret:
            credential = f"{_quoted(client)}:{_quoted(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(credential.encode()).decode()}"
        else:
            body["client_id"] = client
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await self._http.send("POST", row.token_url, headers=headers, body=urlencode(body).encode())
                with contextlib.closing(reply):
                    text = await reply.whole(limit=MAX_ANSWER)
            answer = msgspec.json.decode(text)
        except (Unreachable, Broken, ValidationFailed, TimeoutError, msgspec.DecodeError) as error:
            log.warning("identity.token_endpoint_failed", issuer=row.alias, error=type(error).__name__)
            raise IdpUnavailable() from None
        if reply.status >= 500 or not isinstance(answer, dict):
            raise IdpUnavailable()
        if reply.status != 200:
            log.warning("identity.token_endpoint_refused", issuer=row.alias, code=str(answer.get("error"))[:100])
            raise InvalidRequest("The sign-in service did not sign you in.")
        return answer


def _name(state: str) -> str:
    return f"sso:{hashlib.sha256(state.encode('utf-8', 'replace')).hexdigest()}"


def _challenge(verifier: str) -> str:
    """PKCE's S256 (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _quoted(text: str) -> str:
    """A client's name or secret as RFC 6749 §2.3.1 wants it in Basic."""
    return urlencode({"": text})[1:]

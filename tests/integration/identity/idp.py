"""Another issuer in this process: it signs tokens shaped as Keycloak and Entra make them, and misbehaves on request."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey
from msgspec.structs import replace

from aibox.identity import Issuer

_KEYS = [RSAKey.generate_key(2048, {"kid": f"k{n}", "use": "sig", "alg": "RS256"}) for n in range(3)]
"""Made once: a key of 2,048 bits takes a tenth of a second."""


class Idp:
    """`mode` says how `/jwks` answers; `fetches` counts how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [_KEYS[0]]
        self.mode = "good"
        self.fetches = 0

    @property
    def row(self) -> Issuer:
        """The row of a Keycloak-like issuer whose roles are mapped."""
        return Issuer(
            iss=self.url,
            jwks_url=f"{self.url}/jwks",
            clients=("aibox-frontend",),
            roles={"user": "member", "tenant_admin": "owner"},
        )

    @property
    def entra(self) -> Issuer:
        """The row of an Entra-like issuer: `scp` marks access tokens, groups are mapped, `iss` is not sent."""
        return replace(
            self.row,
            typ_claim="scp",
            audiences=("api-client-id",),
            clients=("spa-client-id",),
            roles_claim="roles",
            roles={},
            groups={"group-of-members": "member"},
            sends_iss=False,
        )

    def keycloak_token(self, subject: str = "f:1:ada", *, key: RSAKey | None = None, **changes: Any) -> str:
        """An access token as Keycloak 26 makes it; `typ="ID"` makes its ID token. A change of None removes a claim."""
        now = int(time.time())
        claims = {
            "exp": now + 300,
            "iat": now,
            "auth_time": now - 5,
            "jti": str(uuid4()),
            "iss": self.url,
            "aud": ["aibox-frontend", "account"],
            "sub": subject,
            "typ": "Bearer",
            "azp": "aibox-frontend",
            "sid": "s-1",
            "acr": "1",
            "allowed-origins": ["https://ai.example"],
            "realm_access": {"roles": ["default-roles-aibox", "offline_access", "user"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "scope": "openid email profile",
            "email_verified": True,
            "name": "Ada Lovelace",
            "preferred_username": "ada",
            "email": "ada@example.org",
            **changes,
        }
        return self._signed("JWT", claims, key)

    def entra_token(self, subject: str = "AAAAsubject", *, key: RSAKey | None = None, **changes: Any) -> str:
        """An access token of version 2 as Entra ID makes it, with its `x5t`-less header."""
        now = int(time.time())
        claims = {
            "aud": "api-client-id",
            "iss": self.url,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "aio": "AXQAi/8TAAAA",
            "azp": "spa-client-id",
            "azpacr": "0",
            "groups": ["group-of-members", "other"],
            "name": "Ada Lovelace",
            "oid": "00000000-0000-0000-66f3-3332eca7ea81",
            "preferred_username": "ada@contoso.example",
            "rh": "0.AAAA",
            "scp": "access_as_user",
            "sub": subject,
            "tid": "9122040d-6c67-4c5b-b112-36a304b66dad",
            "uti": "fqiBqXLPj0eQa82S",
            "ver": "2.0",
            **changes,
        }
        return self._signed("JWT", claims, key)

    def _signed(self, typ: str, claims: dict[str, Any], key: RSAKey | None) -> str:
        signer = key or self.keys[0]
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": signer.kid, "typ": typ}, kept, signer)

    def rotate(self, *, keep: bool = True) -> RSAKey:
        """A new key signs; the old ones stay published, or do not. Returns the key that signed before."""
        before = self.keys[0]
        fresh = _KEYS[(_KEYS.index(before) + 1) % len(_KEYS)]
        self.keys = [fresh, *(self.keys if keep else [])]
        return before

    async def jwks(self, _: web.Request) -> web.StreamResponse:
        self.fetches += 1
        good = {"keys": [key.as_dict(private=False) for key in self.keys]}
        match self.mode:
            case "500":
                return web.Response(status=500)
            case "302":
                return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
            case "html":
                return web.Response(text="<html>Sign in</html>", content_type="text/html")
            case "huge":
                return web.Response(body=b'{"keys":[' + b" " * 50_000_000 + b"]}")
            case "many":
                return web.json_response({"keys": [{**good["keys"][0], "kid": f"m{n}"} for n in range(10_000)]})
            case "slow":
                await asyncio.sleep(20)
            case "empty":
                return web.json_response({"keys": []})
        return web.json_response(good)


@contextlib.asynccontextmanager
async def serving() -> AsyncGenerator[Idp]:
    """An issuer on a port of its own."""
    idp = Idp()
    app = web.Application()
    app.router.add_get("/jwks", idp.jwks)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    idp.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield idp
    finally:
        await runner.cleanup()

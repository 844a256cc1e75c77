"""Signed principals: on whose behalf a call to a part of ours outside the process is made, and to nothing else.

`X-Aibox-Principal: v1.<kid>.<b64url(payload)>.<b64url(tag)>` (identity.md, "Principal"). It names method, path and
module of one call and lives for at most a minute, so whoever sees it can do nothing further with it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from msgspec import Struct

from aibox.core.errors import AIBoxError, render
from aibox.core.events import canonical
from aibox.core.keyring import Ring
from aibox.core.turn import Turn
from aibox.identity import Call, InvalidPrincipal, MissingPrincipal, TenantMismatch
from aibox.identity.tokens import AccessTokens
from aibox.stores import Cache

DOMAIN = b"aibox-principal/v1\n"
LIFE_SECONDS = 60
LEEWAY = 5
MAX_STAMP = 4096


class Caller(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stamp says. `iss` and `sub` name the person, `aud` the module, `path_sha256` the path in hex."""

    iss: str
    sub: UUID
    tenant: UUID
    roles: tuple[str, ...]
    amr: tuple[str, ...]
    auth_time: int
    turn: UUID
    method: str
    path_sha256: str
    aud: str
    iat: int
    exp: int
    jti: str


class Stamps:
    """Makes stamps where a call leaves, and checks them where it arrives."""

    def __init__(
        self, ring: Ring, tokens: AccessTokens, cache: Cache, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._ring = ring
        self._tokens = tokens
        self._cache = cache
        self._clock = clock

    def headers(self, turn: Turn, call: Call, *, cap: str | None = None) -> dict[str, str]:
        """All that a call of `turn` carries: a service token as its bearer, never the person's own credential."""
        principal = turn.principal
        return {
            "Authorization": f"Bearer {self._tokens.issue_service(call.module)}",
            "X-Tenant-ID": str(principal.tenant),
            "X-User-Id": str(principal.id),
            "X-User-Roles": ",".join(principal.roles),
            "X-Aibox-Turn-Id": str(turn.id),
            "X-Aibox-Principal": self.principal(turn, call),
            **({} if cap is None else {"X-Aibox-Cap-Token": cap}),
        }

    def principal(self, turn: Turn, call: Call) -> str:
        """The stamp of one call."""
        now = int(self._clock())
        principal = turn.principal
        caller = Caller(
            iss=principal.issuer,
            sub=principal.id,
            tenant=principal.tenant,
            roles=principal.roles,
            amr=principal.amr,
            auth_time=principal.auth_time or 0,
            turn=turn.id,
            method=call.method,
            path_sha256=hashlib.sha256(call.path.encode()).hexdigest(),
            aud=call.module,
            iat=now,
            exp=now + LIFE_SECONDS,
            jti=secrets.token_hex(16),
        )
        kid, key = self._ring.current
        payload = canonical(msgspec.to_builtins(caller))
        return f"v1.{kid}.{_b64(payload)}.{_b64(_tag(key, kid, payload))}"

    async def check(self, headers: Sequence[tuple[bytes, bytes]], call: Call) -> Caller:
        """Who calls. Raises `MissingPrincipal`, `InvalidPrincipal`, `TenantMismatch`, or `StateUnavailable` when nobody
        can say whether the stamp came before."""
        sent = {name: [v for n, v in headers if n == name] for name in (PRINCIPAL, TURN, TENANT, b"authorization")}
        if not sent[PRINCIPAL]:
            raise MissingPrincipal()
        if any(len(values) != 1 for values in sent.values()):
            raise InvalidPrincipal()
        scheme, _, service = sent[b"authorization"][0].decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not self._tokens.is_service(service, call.module):
            raise InvalidPrincipal()
        caller = self._read(sent[PRINCIPAL][0].decode("latin-1"))
        now = self._clock()
        fits = (
            caller.aud == call.module
            and caller.method == call.method
            and hmac.compare_digest(caller.path_sha256, hashlib.sha256(call.path.encode()).hexdigest())
            and str(caller.turn) == sent[TURN][0].decode("latin-1").lower()
            and 0 < caller.exp - caller.iat <= LIFE_SECONDS
            and caller.iat <= now + LEEWAY
            and now < caller.exp
        )
        if not fits:
            raise InvalidPrincipal()
        if sent[TENANT][0].decode("latin-1").lower() != str(caller.tenant):
            raise TenantMismatch()
        if not await self._cache.add(f"stamp:{caller.jti}", b"1", ttl=LIFE_SECONDS + LEEWAY):
            raise InvalidPrincipal()
        return caller

    def _read(self, stamp: str) -> Caller:
        """The payload of a stamp whose tag is right under a key of the ring; it has one spelling."""
        version, _, rest = stamp.partition(".")
        parts = rest.split(".")
        if len(stamp) > MAX_STAMP or version != "v1" or len(parts) != 3:
            raise InvalidPrincipal()
        kid = parts[0]
        key = self._ring.get(kid) or bytes(32)  # an unknown id takes as long, and no key of ours is all zeros
        try:
            payload, tag = _unb64(parts[1]), _unb64(parts[2])
        except ValueError:
            raise InvalidPrincipal() from None
        if not hmac.compare_digest(_tag(key, kid, payload), tag) or self._ring.get(kid) is None:
            raise InvalidPrincipal()
        try:
            return msgspec.json.decode(payload, type=Caller)
        except msgspec.DecodeError:
            raise InvalidPrincipal() from None


class ModulePort:
    """Around a part of ours that listens outside the process: lets in calls with a stamp made for them (H14).

    What is let through finds its `Caller` in `scope["state"]["caller"]`.
    """

    def __init__(self, app: ASGIApp, module: str, stamps: Stamps) -> None:
        self._app = app
        self._module = module
        self._stamps = stamps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        try:
            call = Call(module=self._module, method=scope["method"], path=scope["path"])
            caller = await self._stamps.check(list(scope["headers"]), call)
        except AIBoxError as error:
            await _refuse(error, scope, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


PRINCIPAL, TURN, TENANT = b"x-aibox-principal", b"x-aibox-turn-id", b"x-tenant-id"


def _tag(key: bytes, kid: str, payload: bytes) -> bytes:
    return hmac.digest(key, DOMAIN + kid.encode("utf-8", "replace") + b"." + payload, "sha256")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    """Raises ValueError for anything but the one spelling."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    if _b64(data) != text:
        raise ValueError("not the canonical form")
    return data


async def _refuse(error: AIBoxError, scope: HTTPScope, send: Send) -> None:
    status, headers, body = render(error, path=scope["path"], turn_id=None)
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})

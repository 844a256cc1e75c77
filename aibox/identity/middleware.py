"""Begins a turn for each request: credential to Principal to Turn in `scope["state"]`; and ends it after the answer."""

import time
from collections.abc import Awaitable, Iterable
from urllib.parse import parse_qsl

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from aibox.core.errors import AIBoxError, AuditUnavailable, TurnEnded, render
from aibox.core.eventlog import EventLog
from aibox.core.turn import PLATFORM_TENANT, Principal, Turn, begin
from aibox.identity import HeaderStripped, Identity, InvalidRequest, TenantMismatch, is_api

log = structlog.get_logger("aibox.identity")

ANONYMOUS = Principal(kind="anonymous", tenant=PLATFORM_TENANT, id=PLATFORM_TENANT, pseudonym="anonymous")
_OPEN = (
    "config",
    "setup",
    "login",
    "login/2fa",
    "passkey",
    "passkey/options",
    "callback",
    "idps",
    "refresh",
    "pair/complete",
    "backchannel-logout",
    "invitation",
    "invitation/accept",
    "invitation/sso",
)
NO_CREDENTIALS = frozenset({*(f"/v1/auth/{name}" for name in _OPEN), "/egauth/ntlm", "/egauth/login"})
"""Public routes that a browser with an ended session, or a client with an expired token, must reach all the same."""

STRIPPED_SECONDS = 60.0

Headers = Iterable[tuple[bytes, bytes]]


class TurnMiddleware:
    """Plain ASGI around the Litestar application. `app` finds the Turn in `scope["state"]["turn"]`.

    A request without a credential is anonymous, and a wrong credential is a 401 even on a public route. An application
    that sets `scope["state"]["keeps_turn"]` ends the turn itself.
    """

    def __init__(self, app: ASGIApp, identity: Identity, event_log: EventLog) -> None:
        self.app = app
        self._identity = identity
        self._log = event_log
        self._noted: dict[tuple[str, ...], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        status = 500
        turn = begin(ANONYMOUS)
        is_known = False

        def send_with_turn(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = _added(scope["path"], status, turn, message["headers"], is_known=is_known)
                message = {**message, "headers": [*message["headers"], *added]}
            return send(message)

        try:
            try:
                if is_api(scope["path"]) and scope["path"] not in NO_CREDENTIALS:
                    is_known = any(name in (b"authorization", b"x-api-key", b"cookie") for name, _ in scope["headers"])
                    turn = await self._begin(scope)
            except AIBoxError as error:
                await _answer(error, scope["path"], turn, send_with_turn)
                return
            state["turn"] = turn
            await self.app(scope, receive, send_with_turn)
        except BaseException:
            status = 500  # an answer that broke off, whatever its head said
            raise
        finally:
            if not state.get("keeps_turn"):
                await self._end(turn, status)

    async def _begin(self, scope: HTTPScope) -> Turn:
        if b"access_token" in scope["query_string"] and _has_token(scope["query_string"]):
            raise InvalidRequest()
        principal = await self._identity.authenticate(list(scope["headers"]), scope["method"], scope["path"])
        if principal is None:
            return begin(ANONYMOUS)
        turn = begin(principal)
        claimed = scope["state"].get("claimed_tenant")
        if claimed is not None and claimed.lower() != str(principal.tenant):
            raise TenantMismatch()
        if scope["state"].get("stripped"):
            await self._note(turn, scope["state"]["stripped"])
        return turn

    async def _note(self, turn: Turn, headers: tuple[str, ...]) -> None:
        """Record that identity headers were sent: once a minute a person, for the log is not theirs to fill."""
        key = (turn.principal.pseudonym, *headers)
        now = time.monotonic()
        if now < self._noted.get(key, 0.0):
            return
        if len(self._noted) >= 1000:
            self._noted.clear()
        self._noted[key] = now + STRIPPED_SECONDS
        await self._log.log(turn, HeaderStripped(actor=f"user:{turn.principal.pseudonym}", headers=headers))

    async def _end(self, turn: Turn, status: int) -> None:
        outcome = "failed" if status >= 500 else "denied" if status in (401, 403) else "sealed"
        try:
            await self._log.end(turn, outcome)
        except (AuditUnavailable, TurnEnded):
            # The answer is out. The lease runs out, and the reaper seals what was durable as abandoned.
            log.warning("turn.not_ended", turn=str(turn.id))


def _added(path: str, status: int, turn: Turn, sent: Headers, *, is_known: bool) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if path.startswith("/v1/"):
        headers.append((b"x-aibox-turn-id", str(turn.id).encode()))
    if status == 401 and not any(name.lower() == b"www-authenticate" for name, _ in sent):
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"' if is_known else b"Bearer"))
    return headers


def _has_token(query: bytes) -> bool:
    return any(name == "access_token" for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))


async def _answer(error: AIBoxError, path: str, turn: Turn, send: Send) -> None:
    status, headers, body = render(error, path=path, turn_id=str(turn.id))
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})

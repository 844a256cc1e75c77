"""The first thing a request meets: refuses what can be read in two ways, and drops what only we may say.

Plain ASGI. What passes goes on with a new scope and a new header list, so nothing that the server adds to the old one
later (httptools appends chunked trailers) is ever seen. The rows H01 to H13 of identity.md are its tests.
"""

import functools
import ipaddress
import re
import urllib.parse
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from aibox.core.errors import AIBoxError, BadRequest, BootRefused, NotFound, TooLarge, render
from aibox.gateway import AmbiguousHeader, BadHost, HeadersTooLarge, Misdirected, Settings

BODY_LIMIT = 10 * 1024 * 1024
UPLOAD_LIMIT = 101 * 1024 * 1024
"""A file of 100 MiB in its multipart form."""

UPLOAD_PATHS = frozenset({b"/v1/knowledge/ingest"})
MAX_HEADERS, MAX_HEADER_BYTES, MAX_AUTHORIZATION = 100, 32 * 1024, 16 * 1024
HEALTH_PATHS = frozenset({"/healthz", "/v1/healthz", "/readyz"})
"""These answer under any host name: a load balancer asks by address."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_STAMPED = ("x-user-", "x-aibox-")
_SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "origin",
        "sec-fetch-site",
        "transfer-encoding",
        "x-api-key",
        "x-csrf-token",
        "x-tenant-id",
    }
)
"""Headers on which a decision rests: once each, and in their own spelling."""

Headers = list[tuple[bytes, bytes]]


class Guard:
    """Around the whole application. Refusals are ours to render; a body that grows too large is refused on reading."""

    def __init__(
        self, app: ASGIApp, settings: Settings, *, public_url: str, base_url: str, production: bool = False
    ) -> None:
        """`public_url` as set, maybe empty; `base_url` what stands for it. Raises `BootRefused` (B06)."""
        self.app = app
        self._hosts = {_authority(base_url), *(host.lower() for host in settings.hosts)}
        self._admits_local = not public_url and not production
        self._proxies = _networks(settings.proxies)
        self._added = _security_headers(base_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._http(scope, receive, send)
        else:  # the lifespan; `serve` offers no WebSocket
            await self.app(scope, receive, send)

    async def _http(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        def send_secured(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._added]}
            return send(message)

        try:
            admitted = self._admit(scope)
        except AIBoxError as error:
            await _answer(error, scope, send_secured)
            return
        await self.app(admitted, _limited(receive, _body_limit(scope["raw_path"])), send_secured)

    def _admit(self, scope: HTTPScope) -> HTTPScope:
        """The scope that goes on. Raises what the tables T28 and H say."""
        headers = list(scope["headers"])
        _check_size(headers)
        names = [_folded(name) for name, _ in headers]
        if not all(_VALUE.fullmatch(value) for _, value in headers):
            raise BadRequest()
        kept, stripped, tenant = _strip(names, headers)
        _check_framing(scope["http_version"], kept, _body_limit(scope["raw_path"]))
        path = _canonical_path(scope["raw_path"])
        self._check_host(kept, path)
        state: dict[str, Any] = {**scope.get("state", {})}
        if stripped:
            state["stripped"] = stripped
        if tenant is not None:
            state["claimed_tenant"] = tenant
        return {
            **scope,
            "path": path,
            "headers": kept,
            "client": self._client(scope, kept),
            "state": state,
        }

    def _check_host(self, headers: Headers, path: str) -> None:
        sent = [value for name, value in headers if name == b"host"]
        match = _HOST.fullmatch(sent[0].decode("latin-1")) if len(sent) == 1 else None
        if match is None or int(match[3] or 0) > 65535:
            raise BadHost()
        if path in HEALTH_PATHS or match[0].lower() in self._hosts:
            return
        if self._admits_local and _is_local(match[1] or match[2]):
            return
        raise Misdirected()

    def _client(self, scope: HTTPScope, headers: Headers) -> tuple[str, int] | None:
        """The peer, or behind listed proxies the right-most hop that is not one of them."""
        peer = scope.get("client")
        if not self._proxies or peer is None or not self._is_proxy(peer[0]):
            return peer
        hops = [
            hop.strip()
            for name, value in headers
            if name == b"x-forwarded-for"
            for hop in value.decode("latin-1").split(",")
        ]
        return next(((hop, 0) for hop in reversed(hops) if not self._is_proxy(hop)), peer)

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def _check_size(headers: Headers) -> None:
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge()
    if any(name in (b"authorization", b"x-api-key") and len(value) > MAX_AUTHORIZATION for name, value in headers):
        raise HeadersTooLarge()


@functools.lru_cache(1024)
def _folded(name: bytes) -> str:
    """The header's name as the least careful reader would take it: `_` and `.` are `-`."""
    if not _TOKEN.fullmatch(name):
        raise BadRequest()
    return name.decode().replace("_", "-").replace(".", "-")


def _is_stamped(folded: str) -> bool:
    return folded.startswith(_STAMPED)


def _strip(names: Sequence[str], headers: Headers) -> tuple[Headers, tuple[str, ...], str | None]:
    """(the headers that go on, the names dropped, the tenant claimed); raises `AmbiguousHeader`."""
    counts = Counter(names)
    kept: Headers = []
    stripped: list[str] = []
    tenant: str | None = None
    for folded, (name, value) in zip(names, headers, strict=True):
        if not (_is_stamped(folded) or folded in _SINGLE):
            kept.append((name, value))
            if folded == "connection":
                _check_connection(value)
            continue
        if folded.encode() != name:
            raise AmbiguousHeader()
        if counts[folded] > 1 and folded not in ("host", "authorization", "x-api-key"):
            # Two hosts are a bad host (H09); two credentials are told apart in identity (T25).
            raise AmbiguousHeader() if folded not in ("content-length", "transfer-encoding") else _closing(BadRequest)
        if folded == "x-tenant-id" or _is_stamped(folded):
            if not value.strip():
                raise AmbiguousHeader()
            if folded == "x-tenant-id":
                tenant = value.strip().decode("latin-1")
            else:
                stripped.append(folded)
            continue
        kept.append((name, value))
    return kept, tuple(sorted(stripped)), tenant


def _check_connection(value: bytes) -> None:
    """A hop would drop what `Connection` names: never a header that decides something (H05)."""
    for token in value.lower().split(b","):
        folded = token.strip().decode("latin-1").replace("_", "-").replace(".", "-")
        if _is_stamped(folded) or folded in _SINGLE:
            raise AmbiguousHeader()


def _body_limit(raw_path: bytes) -> int:
    return UPLOAD_LIMIT if raw_path in UPLOAD_PATHS else BODY_LIMIT


def _check_framing(version: str, headers: Headers, limit: int) -> None:
    """There is one reading of where the body ends. A refusal closes the connection: what follows is no request."""
    sent = {name: value for name, value in headers if name in (b"content-length", b"transfer-encoding")}
    encoding, length = sent.get(b"transfer-encoding"), sent.get(b"content-length")
    if encoding is not None and (encoding.lower() != b"chunked" or length is not None or version == "1.0"):
        raise _closing(BadRequest)
    if length is not None and not (length.isdigit() and len(length) < 20):
        raise _closing(BadRequest)
    if length is not None and int(length) > limit:
        raise _closing(TooLarge)


def _closing(error: type[AIBoxError]) -> AIBoxError:
    return error(headers={"Connection": "close"})


@functools.lru_cache(1024)
def _canonical_path(raw: bytes) -> str:
    """The path, decoded, when there is only one way to write it; otherwise there is nothing under it (H12)."""
    if not _PATH.fullmatch(raw) or b"//" in raw:
        raise NotFound()
    for match in _ESCAPE.finditer(raw):
        byte = int(match[1], 16)
        if byte in _UNRESERVED or byte in b"/\\;%" or byte < 0x20 or byte == 0x7F:
            raise NotFound()
    try:
        path = urllib.parse.unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise NotFound() from None
    if any(segment in (".", "..") for segment in path.split("/")) or (path.endswith("/") and path != "/"):
        raise NotFound()
    return path


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that raises `TooLarge` once more than the limit was read: the length may not have been said."""
    read = 0

    async def receive_limited() -> Any:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message["body"])
            if read > limit:
                raise _closing(TooLarge)
        return message

    return receive_limited


def _authority(url: str) -> str:
    """Host and, where it is not the scheme's own, port, as browsers write the `Host` header."""
    parts = urllib.parse.urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    is_default = parts.port is None or (parts.scheme, parts.port) in (("http", 80), ("https", 443))
    return host if is_default else f"{host}:{parts.port}"


def _is_local(host: str) -> bool:
    """`localhost`, or a literal address, which no name server can point at us."""
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _networks(proxies: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        networks = [ipaddress.ip_network(proxy) for proxy in proxies]
    except ValueError:
        raise BootRefused("boot_server", "gateway.proxies takes addresses and networks, never `*`.") from None
    if any(network.prefixlen == 0 for network in networks):
        raise BootRefused("boot_server", "gateway.proxies must not name every address.")
    return networks


def _security_headers(base_url: str) -> Headers:
    headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
    if base_url.startswith("https:"):
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers


async def _answer(error: AIBoxError, scope: HTTPScope, send: Send) -> None:
    status, headers, body = render(error, path=scope["path"], turn_id=None)
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})

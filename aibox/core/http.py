"""Outgoing HTTP: the one client that leaves the process, and the addresses it never connects to.

A host is parsed once, resolved once, every address of it is judged, and the connection goes to a judged address; no
redirect is ever followed (identity.md, "SSRF"). `http.internal_hosts` allows internal addresses by host; the children
that AIBox supervises itself are allowed call by call, by their exact address and port.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Meta, Struct
from yarl import URL

from aibox.core.errors import ValidationFailed


class Settings(Struct, frozen=True, kw_only=True):
    """Where AIBox may call out to."""

    internal_hosts: Annotated[
        tuple[str, ...], Meta(description="Hosts (or host:port) with internal addresses that may be called")
    ] = ()
    proxy: Annotated[str, Meta(description="The egress proxy that all other calls go through, `http://host:port`")] = ""
    enforce: Annotated[
        bool,
        Meta(description="Refuse to start without the proxy, or beside it", extra={"env": "EGRESS_ENFORCE"}),
    ] = False
    probe: Annotated[
        str,
        Meta(
            description="While enforced, no direct connection to this host:port may succeed at start; empty: not tried"
        ),
    ] = "1.1.1.1:443"


class AddressRefused(ValidationFailed):
    """The host has an internal address, or is written so that it could hide one."""

    code = "address_refused"
    sentence = "This address is internal; an operator can allow it in http.internal_hosts."


class Unreachable(Exception):
    """No answer began. The message completes "The provider cannot be reached: …" and is fit to show."""


class Broken(Exception):
    """The connection broke while the answer arrived."""


Ours = tuple[str, int]
"""The literal address and port of a child process of ours."""

_REFUSED_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata service lives there too
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform address: public by number, internal by nature
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_REFUSED_6: Final = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # unspecified, loopback, IPv4-compatible
        "64:ff9b:1::/48",  # local NAT64
        "100::/64",  # discard
        "2001::/23",  # protocol assignments: Teredo, ORCHID and others
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, deprecated but still routed by some
        "ff00::/8",  # multicast
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIXTOFOUR: Final = IPv6Network("2002::/16")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_internal(address: IPv4Address | IPv6Address) -> bool:
    """Whether AIBox must not connect to `address`, or to an IPv4 address that is embedded in it."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _REFUSED_4)
    if any(address in network for network in _REFUSED_6):
        return True
    embedded = _embedded(address)
    return embedded is not None and is_internal(embedded)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    number = int(address)
    if any(address in network for network in (_MAPPED, _TRANSLATED, _NAT64)):
        return IPv4Address(number & 0xFFFF_FFFF)
    if address in _SIXTOFOUR:
        return IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(number & 0xFFFF_FFFF)
    return None


class Reply:
    """An answer that has begun: its status and headers are known, its body is read piece by piece."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_type: str = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def redirect(self) -> str | None:
        """Where a 3xx answer points, absolute and without its query; None for any other answer."""
        if not 300 <= self.status < 400:
            return None
        try:
            target = self._response.url.join(URL(self.headers.get("Location", "")))
        except ValueError:
            return "an address that is none"
        return str(target.with_query(None).with_fragment(None).with_user(None))[:300]

    async def read(self) -> bytes:
        """The next piece of the body as it arrived, empty at its end. Raises `Broken`."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(type(error).__name__) from error

    async def whole(self, *, limit: int) -> bytes:
        """The rest of the body. Raises `Broken`, also for a body of more than `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise Broken(f"more than {limit} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Drop the connection at once; one whose answer was read to its end goes back to the pool instead."""
        self._response.close()


class Client(Protocol):
    """What modules ask of outgoing HTTP."""

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connect_seconds: float = 5.0,
        ours: Ours | None = None,
    ) -> Reply:
        """The answer as soon as its headers are here; the caller closes it.

        Only the time to connect is limited: how long an answer may take is the caller's to say. `ours` names the one
        internal address this call may go to. Raises `AddressRefused`, `Unreachable`.
        """
        ...


class Outgoing:
    """The client: one pool without a cap, no cookies, no redirects, bodies as they were sent."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(host.strip().lower() for host in settings.internal_hosts)
        self._proxy = URL(settings.proxy) if settings.proxy else None
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Hold the pool open for the time of the block."""
        connector = aiohttp.TCPConnector(limit=0, resolver=_JudgingResolver(self._allows), ttl_dns_cache=10)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            raise_for_status=False,
            headers={"User-Agent": "AIBox", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        connect_seconds: float = 5.0,
        ours: Ours | None = None,
    ) -> Reply:
        """See `Client`."""
        target = self._judged(url, ours)
        if self._session is None:
            raise Unreachable("AIBox is shutting down")
        try:
            response = await self._session.request(
                method,
                target,
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=self._proxy if self._is_outside(target, ours) else None,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds, sock_connect=connect_seconds),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(_reason(error, connect_seconds)) from error
        return Reply(response)

    def _allows(self, host: str, port: int) -> bool:
        is_proxy = self._proxy is not None and (host, port) == (self._proxy.raw_host, self._proxy.port)
        return is_proxy or host in self._allowed or f"{host}:{port}" in self._allowed

    def _is_outside(self, target: URL, ours: Ours | None) -> bool:
        """Whether a call goes through the proxy, which then judges its name: our own parts are called directly."""
        host, port = target.raw_host or "", target.port or 0
        return (host, port) != ours and not self._allows(host, port)

    def _judged(self, url: str, ours: Ours | None) -> URL:
        """`url` parsed. Judges a host that is an address; names are judged when they are resolved."""
        try:
            target = URL(url)
        except ValueError:
            raise ValidationFailed("This is not a URL.") from None
        host, port = target.raw_host, target.port
        if target.scheme not in ("http", "https") or not host or not port:
            raise ValidationFailed("This is not an http or https URL.")
        if (host, port) == ours or self._allows(host, port):
            return target
        try:
            address = ip_address(host.replace("%25", "%"))
        except ValueError:
            # Numbers that only the C library reads as an address (2130706433, 127.1) would never reach the resolver.
            if ":" in host or host.replace(".", "").isdigit():
                raise AddressRefused() from None
            return target
        if is_internal(address):
            raise AddressRefused()
        return target


class _JudgingResolver(AbstractResolver):
    """Resolves as the system does and refuses a name of which any address is internal."""

    def __init__(self, allows: "_Allows") -> None:
        self._allows = allows

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        addresses = [(kind, str(address[0])) for kind, _, _, _, address in found]
        if not self._allows(host, port) and any(is_internal(ip_address(address)) for _, address in addresses):
            raise AddressRefused()
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Allows(Protocol):
    def __call__(self, host: str, port: int) -> bool: ...


def _reason(error: BaseException, connect_seconds: float) -> str:
    match error:
        case aiohttp.ClientProxyConnectionError():
            return "the egress proxy cannot be reached"
        case aiohttp.ClientHttpProxyError(status=403):
            return "the egress proxy does not allow it"
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the egress proxy could not connect to it (status {status})"
        case aiohttp.ClientConnectorCertificateError():
            return "its TLS certificate is not valid"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "it does not speak TLS as we do"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "its name does not resolve"
        case TimeoutError():
            return f"no connection within {connect_seconds:g} s"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "the connection was refused"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "it closed the connection without an answer"
        case aiohttp.ClientResponseError():
            return "what it sent is not HTTP"
        case _:
            return "the connection failed"

"""The outgoing client: which addresses it refuses, however they are written, and what it does with an answer."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from ipaddress import ip_address

import pytest
from aiohttp import web

from aibox.core.errors import ValidationFailed
from aibox.core.http import AddressRefused, Broken, Outgoing, Settings, Unreachable, is_internal

INTERNAL = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::168.63.129.16",
    "64:ff9b:1::8.8.8.8",
    "2002:a9fe:a9fe::",
    "2002:7f00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2a00:1450::5efe:192.168.1.1",
    "2a00:1450::200:5efe:10.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "168.63.129.17",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
SPELLINGS = [
    "http://127.0.0.1:1/",
    "http://2130706433:1/",
    "http://0x7f.1:1/",
    "http://0177.0.0.1:1/",
    "http://127.1:1/",
    "http://①②⑦.⓪.⓪.①:1/",
    "http://127。0。0。1:1/",
    "http://localhost:1/",
    "http://LOCALHOST:1/",
    "http://[::1]:1/",
    "http://[::ffff:7f00:1]:1/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[fe80::1%25lo]:1/",
    "http://169.254.169.254/latest/meta-data/",
    "https://user:password@10.0.0.1/",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_internal_however_it_is_embedded(address: str) -> None:
    assert is_internal(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not_internal(address: str) -> None:
    assert not is_internal(ip_address(address))


@pytest.mark.parametrize("url", SPELLINGS)
async def test_no_spelling_of_an_internal_host_gets_a_connection(url: str) -> None:
    client = Outgoing(Settings())
    async with client.run():
        with pytest.raises(AddressRefused):
            await client.send("GET", url)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://", "http://x:99999/", "http://a\\@b/", "file:///etc/hosts"]
)
async def test_what_is_no_http_url_is_refused(url: str) -> None:
    client = Outgoing(Settings())
    async with client.run():
        with pytest.raises(ValidationFailed):
            await client.send("GET", url)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(serve: Serve) -> AsyncGenerator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def site(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_host_that_the_operator_allows_is_called() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with site(hello) as port:
        client = Outgoing(Settings(internal_hosts=(f"LocalHost:{port}",)))
        async with client.run():
            reply = await client.send("GET", f"http://localhost:{port}/")
            assert (reply.status, await reply.whole(limit=100)) == (200, b"hello")
            with pytest.raises(AddressRefused):
                await client.send("GET", f"http://127.0.0.1:{port}/")


async def test_our_own_child_is_called_only_by_its_exact_address() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with site(hello) as port:
        client = Outgoing(Settings())
        async with client.run():
            ours = ("127.0.0.1", port)
            reply = await client.send("GET", f"http://127.0.0.1:{port}/", ours=ours)
            assert await reply.whole(limit=100) == b"hello"
            for url in (f"http://127.0.0.1:{port}/", f"http://127.0.0.2:{port}/"):
                with pytest.raises(AddressRefused):
                    await client.send("GET", url, ours=None if "0.1" in url else ours)


async def test_a_redirect_is_shown_and_not_followed() -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/other?secret=1"})

    async with site(elsewhere) as port:
        client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
        async with client.run():
            reply = await client.send("POST", f"http://127.0.0.1:{port}/first", body=b"x")
            reply.close()
    assert (reply.status, reply.redirect, seen) == (307, f"http://127.0.0.1:{port}/other", ["/first"])


async def test_no_cookie_is_kept_and_no_compression_is_asked_for() -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def sets(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Cookie"), request.headers.get("Accept-Encoding")))
        return web.Response(headers={"Set-Cookie": "a=1"})

    async with site(sets) as port:
        client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
        async with client.run():
            for _ in range(2):
                reply = await client.send("GET", f"http://127.0.0.1:{port}/")
                await reply.whole(limit=10)
    assert seen == [(None, "identity"), (None, "identity")]


async def test_an_answer_that_was_read_whole_leaves_its_connection_for_the_next() -> None:
    peers: set[object] = set()

    async def hello(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="hello")

    async with site(hello) as port:
        client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
        async with client.run():
            for _ in range(3):
                reply = await client.send("GET", f"http://127.0.0.1:{port}/")
                await reply.whole(limit=10)
                reply.close()
    assert len(peers) == 1


async def test_a_body_cut_short_is_broken_and_one_beyond_the_limit_too() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        writer.close()

    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1000)

    client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
    async with client.run(), served(cut) as cut_port, site(long) as long_port:
        reply = await client.send("GET", f"http://127.0.0.1:{cut_port}/")
        with pytest.raises(Broken):
            await reply.whole(limit=1000)
        reply = await client.send("GET", f"http://127.0.0.1:{long_port}/")
        with pytest.raises(Broken, match="999"):
            await reply.whole(limit=999)
        reply.close()


async def test_each_way_to_be_unreachable_has_its_reason() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
    async with client.run():
        async with served(silent) as port:
            with pytest.raises(Unreachable, match="without an answer"):
                await client.send("GET", f"http://127.0.0.1:{port}/")
        with pytest.raises(Unreachable, match="refused"):
            await client.send("GET", f"http://127.0.0.1:{port}/")
        async with served(nonsense) as port:
            with pytest.raises(Unreachable, match="not HTTP"):
                await client.send("GET", f"http://127.0.0.1:{port}/")
            with pytest.raises(Unreachable, match="TLS"):
                await client.send("GET", f"https://127.0.0.1:{port}/")
        with pytest.raises(Unreachable, match="does not resolve"):
            await client.send("GET", "http://nowhere.invalid/")
    with pytest.raises(Unreachable, match="shutting down"):
        await client.send("GET", "http://127.0.0.1:1/")


async def test_a_certificate_that_nobody_vouches_for_is_refused(self_signed: ssl.SSLContext) -> None:
    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=self_signed)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = Outgoing(Settings(internal_hosts=("127.0.0.1",)))
        async with client.run():
            with pytest.raises(Unreachable, match="certificate"):
                await client.send("GET", f"https://127.0.0.1:{port}/")


@pytest.fixture
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS context whose certificate is signed by itself."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "pair.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    return context

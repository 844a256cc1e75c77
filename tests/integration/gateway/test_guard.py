"""The header attacks of identity.md (rows H01 to H15, T28), as raw bytes against the real server."""

import asyncio
import contextlib
import resource

import pytest

from aibox.gateway import Settings
from tests.integration.gateway.door import Door, answer, guarded, opened

TENANT = "00000000-0000-7000-8000-000000000001"


@pytest.mark.parametrize("name", ["X-User-Id", "X-Aibox-Turn-Id", "X-Aibox-Cap-Token", "x-user-roles"])
async def test_h01_an_identity_header_sent_once_is_stripped_and_reported(door: Door, name: str) -> None:
    answer = await door.get("/v1/echo", f"{name}: admin")
    assert answer.status == 200
    assert name.lower() not in dict(answer.json["headers"])
    assert answer.json["state"]["stripped"] == [name.lower()]


async def test_h01_the_tenant_header_is_taken_out_and_kept_for_comparing(door: Door) -> None:
    answer = await door.get("/v1/echo", f"X-Tenant-ID: {TENANT}")
    assert answer.status == 200
    assert "x-tenant-id" not in dict(answer.json["headers"])
    assert answer.json["state"]["claimed_tenant"] == TENANT


async def test_h02_a_foreign_principal_reaches_no_handler(door: Door) -> None:
    answer = await door.get("/v1/echo", "X-Aibox-Principal: v1.k1.e30.AAAA")
    assert (answer.status, "x-aibox-principal" in dict(answer.json["headers"])) == (200, False)


@pytest.mark.parametrize(
    "lines",
    [
        ("X-User-Id: a", "X-User-Id: b"),
        ("X-User-Id: a", "x-USER-id: a"),
        ("X-Tenant-ID: a", "X-Tenant-ID: a"),
        ("X-Aibox-Principal: ",),
        ("X-Tenant-ID:  ",),
        ("Origin: http://a", "Origin: http://b"),
        ("Cookie: aibox=1", "Cookie: aibox=2"),
        ("X-CSRF-Token: a", "X-CSRF-Token: b"),
    ],
)
async def test_h03_a_deciding_header_twice_or_empty_is_refused(door: Door, lines: tuple[str, ...]) -> None:
    answer = await door.get("/v1/echo", *lines)
    assert (answer.status, answer.code) == (400, "ambiguous_header")


@pytest.mark.parametrize(
    "name",
    ["X_Tenant_ID", "x.tenant.id", "X-Tenant_Id", "X_User_Id", "x.aibox.principal", "X_Api_Key", "sec_fetch_site"],
)
async def test_h04_a_spelling_that_another_reader_would_fold_is_refused(door: Door, name: str) -> None:
    answer = await door.get("/v1/echo", f"{name}: a")
    assert (answer.status, answer.code) == (400, "ambiguous_header")


@pytest.mark.parametrize("name", ["X-Tenant-ID", "x-aibox-principal", "X_User_Id", "Authorization", "close, X-Api-Key"])
async def test_h05_connection_may_not_name_a_deciding_header(door: Door, name: str) -> None:
    request = f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nConnection: {name}\r\n\r\n"
    answer = await door.send(request.encode())
    assert (answer.status, answer.code) == (400, "ambiguous_header")


@pytest.mark.parametrize(
    "line",
    [
        b"X-A: b\nX-Tenant-ID: evil",
        b"X-A: b\rX-Tenant-ID: evil",
        b"X-A: b\x00c",
        b"X-A: b\r\n folded",
        b"X-A : b",
        b"X(A): b",
        b"X A: b",
        b"X-\xc3\xa4: b",
        b": b",
        b"X-A: b\x07",
    ],
)
async def test_h06_a_malformed_header_is_refused(door: Door, line: bytes) -> None:
    head = f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\n".encode()
    answer = await door.send(head + line + b"\r\n\r\n")
    assert answer.status == 400


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Content-Length: 4, 4\r\n\r\nabcd",
        b"Content-Length: 0x4\r\n\r\nabcd",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\nabcd",
        b"Transfer-Encoding: identity\r\n\r\nabcd",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcdX\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\nabcd\n0\n\n",
    ],
)
async def test_h07_ambiguous_framing_is_refused_and_the_connection_closed(door: Door, framing: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/json\r\n".encode()
    follow_up = f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode()
    writer.write(head + framing + follow_up)
    first = await answer(reader)
    assert first.status == 400
    async with asyncio.timeout(5):
        rest = await reader.read()
    writer.close()
    assert rest == b"", "what followed was answered as a request"


async def test_h07_chunked_in_http_1_0_is_refused(door: Door) -> None:
    head = f"POST /v1/echo HTTP/1.0\r\nHost: {door.host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert (await door.send(head.encode())).status == 400


@pytest.mark.parametrize("trailer", [f"X-Tenant-ID: {TENANT}", "Authorization: Bearer evil", "X-Aibox-Principal: v1"])
async def test_h08_no_handler_sees_a_trailer(door: Door, trailer: str) -> None:
    request = (
        f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/json\r\n"
        f"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n"
    )
    answer = await door.send(request.encode())
    assert answer.status == 200
    assert answer.json["body"] == 2
    assert trailer.partition(":")[0].lower() not in dict(answer.json["headers"])


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("localhost", "localhost"),
        ("localhost", "evil.example"),
        ("a/admin?x=",),
        ("user@localhost",),
        ("",),
        ("local host",),
        ("localhost:99999",),
        ("localhost:",),
        ("[::1",),
        ("localhost,evil",),
    ],
)
async def test_h09_a_host_that_is_none_or_two_is_refused(door: Door, hosts: tuple[str, ...]) -> None:
    lines = ["GET /v1/echo HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    answer = await door.send("\r\n".join(lines).encode())
    assert (answer.status, answer.code) == (400, "bad_host")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8080", "127.0.0.1.nip.io"])
async def test_h10_a_foreign_host_is_misdirected_whatever_a_proxy_header_says(door: Door, host: str) -> None:
    answer = await door.get("/v1/echo", "X-Forwarded-Host: localhost:8080", "Forwarded: host=localhost", host=host)
    assert (answer.status, answer.code) == (421, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "LOCALHOST:8080", "192.168.7.9:8080", "[::1]:8080"])
async def test_a_first_run_answers_under_localhost_and_any_literal_address(door: Door, host: str) -> None:
    assert (await door.get(host=host)).status == 200


async def test_health_answers_under_any_name(door: Door) -> None:
    assert (await door.get("/healthz", host="10-0-0-7.cluster.internal")).status == 200


async def test_with_a_public_url_only_its_host_and_the_listed_ones_are_ours() -> None:
    settings = Settings(hosts=("box.lan:8443",))
    async with opened(guarded(settings, public_url="https://ai.example", base_url="https://ai.example")) as door:
        statuses = {host: (await door.get(host=host)).status for host in ("ai.example", "box.lan:8443", "localhost")}
        assert statuses == {"ai.example": 200, "box.lan:8443": 200, "localhost": 421}
        assert (await door.get(host="ai.example:8080")).status == 421
        assert "strict-transport-security" in (await door.get(host="ai.example")).headers


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-For: 8.8.8.8",
        "X-Real-IP: 8.8.8.8",
        "X-Original-URL: /v1/items",
        "X-Rewrite-URL: /v1/items",
        "X-HTTP-Method-Override: DELETE",
        "X-Method-Override: DELETE",
        "Forwarded: for=8.8.8.8",
    ],
)
async def test_h11_proxy_and_override_headers_change_nothing(door: Door, line: str) -> None:
    answer = await door.get("/v1/echo", line)
    assert (answer.status, answer.json["client"], answer.json["path"], answer.json["method"]) == (
        200,
        "127.0.0.1",
        "/v1/echo",
        "GET",
    )


async def test_behind_a_listed_proxy_the_client_is_the_right_most_untrusted_hop() -> None:
    async with opened(guarded(Settings(proxies=("127.0.0.1", "10.0.0.0/8")))) as door:
        answer = await door.get("/v1/echo", "X-Forwarded-For: 1.1.1.1, 8.8.8.8, 10.1.2.3")
        assert answer.json["client"] == "8.8.8.8"


@pytest.mark.parametrize(
    "path",
    [
        "//v1/echo",
        "/v1//echo",
        "/v1/%2e%2e/v1/echo",
        "/v1/./echo",
        "/v1/x/../echo",
        "/v1/echo;x",
        "/%761/echo",
        "/v1%2fecho",
        "/v1%2Fecho",
        "/v1%5cecho",
        "/v1\\echo",
        "/v1/echo%00",
        "/v1/echo%0a",
        "/v1/echo/",
        "/V1/echo",
        "/v1/%ff",
        "/v1/ec%68o",
        "/v1/echo%",
        "/v1/echo%zz",
        "/v1/%252e",
        "/v1/echo%3bx",
    ],
)
async def test_h12_a_path_has_one_spelling(door: Door, path: str) -> None:
    answer = await door.get(path)
    assert answer.status in (400, 404)
    assert answer.status == 400 or answer.code == "not_found"


async def test_h12_an_absolute_uri_gets_the_verdict_of_its_path_and_of_the_host_header(door: Door) -> None:
    assert (await door.get("http://evil.example/v1/echo")).json["path"] == "/v1/echo"
    assert (await door.get("http://localhost/v1/echo", host="evil.example")).status == 421
    assert (await door.get("http://localhost//v1/echo")).status == 404


async def test_h13_a_turn_id_of_the_clients_own_is_dropped(door: Door) -> None:
    answer = await door.get("/v1/echo", "X-Aibox-Turn-Id: 00000000-0000-7000-8000-00000000dead")
    assert (answer.status, "x-aibox-turn-id" in dict(answer.json["headers"])) == (200, False)


async def test_h15_forty_megabytes_of_header_are_cut_off_with_memory_flat(door: Door) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    sent = 0
    with contextlib.suppress(ConnectionError):
        writer.write(f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nX-Large: ".encode())
        for _ in range(640):
            writer.write(b"a" * 65536)
            sent += 65536
            await writer.drain()
    reply = b""
    with contextlib.suppress(ConnectionError):
        reply = await asyncio.wait_for(reader.read(65536), 10)
    writer.close()
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sent < 40 * 1024 * 1024, "the server read all of it"
    assert reply == b"" or reply.startswith(b"HTTP/1.1 431 ")
    assert grown_kib < 16 * 1024


async def test_h15_a_header_just_beyond_the_limit_says_431(door: Door) -> None:
    answer = await door.send(f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nX-A: {'a' * 80_000}\r\n\r\n".encode())
    assert answer.status == 431


async def test_h15_an_endless_trailer_or_chunk_extension_is_cut_off(door: Door) -> None:
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nTransfer-Encoding: chunked\r\n"
    for begin in ("Content-Type: application/json\r\n\r\n0\r\nX-T: ", "Content-Type: application/json\r\n\r\n2;x="):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        with contextlib.suppress(ConnectionError):
            writer.write((head + begin).encode())
            for _ in range(40):
                writer.write(b"a" * 65536)
                await writer.drain()
        reply = b""
        with contextlib.suppress(ConnectionError):
            reply = await asyncio.wait_for(reader.read(65536), 10)
        writer.close()
        assert reply == b"" or reply.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "lines",
    [
        [f"X-{n}: a" for n in range(110)],
        [f"X-{n}: {'a' * 1000}" for n in range(34)],
        [f"Authorization: Bearer {'a' * 16_400}"],
        [f"X-Api-Key: {'a' * 16_400}"],
    ],
)
async def test_t28_large_headers_are_refused(door: Door, lines: list[str]) -> None:
    answer = await door.get("/v1/echo", *lines)
    assert (answer.status, answer.code) == (431, "headers_too_large")


async def test_a_body_over_ten_mebibytes_is_refused_by_its_length(door: Door) -> None:
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/json\r\n"
    answer = await door.send(f"{head}Content-Length: 10485761\r\n\r\n".encode())
    assert (answer.status, answer.code, answer.headers["connection"]) == (413, "too_large", "close")


async def test_a_body_over_ten_mebibytes_is_refused_by_counting_when_its_length_is_not_said(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(161):
            writer.write(chunk)
            await writer.drain()
    refused = await answer(reader)
    writer.close()
    assert (refused.status, refused.code) == (413, "too_large")


async def test_a_body_of_exactly_ten_mebibytes_passes(door: Door) -> None:
    head = f"POST /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = await door.send(f"{head}Content-Length: 10485760\r\n\r\n".encode() + b"a" * 10485760)
    assert (answer.status, answer.json["body"]) == (200, 10485760)


async def test_two_requests_on_one_connection_are_each_their_own(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for n in range(2):
        writer.write(f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nX-N: {n}\r\n\r\n".encode())
        assert dict((await answer(reader)).json["headers"])["x-n"] == str(n)
    writer.close()


async def test_an_upgrade_is_answered_as_a_plain_request_and_closes(door: Door) -> None:
    head = f"GET /v1/echo HTTP/1.1\r\nHost: {door.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    answer = await door.send(
        f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert (answer.status, answer.headers["connection"]) == (200, "close")

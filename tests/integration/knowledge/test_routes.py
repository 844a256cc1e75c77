"""`/v1/knowledge` over HTTP on a whole server: shapes, status codes, refusals, permissions, and large uploads."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from aibox.core.connections import Urls
from tests.conftest import new_database
from tests.system import Served, served
from tests.unit.knowledge import papers

WAIT = {"wait": "true"}


@pytest.fixture(scope="module")
async def one(cluster: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with new_database(cluster) as urls, served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running


async def upload(client: httpx.AsyncClient, name: str, data: bytes, **form: Any) -> httpx.Response:
    return await client.post("/v1/knowledge/ingest", params=WAIT, files={"file": (name, data)}, data=form)


async def test_an_upload_is_read_searched_and_downloaded(one: Served) -> None:
    data = papers.pdf([[("Wiring", 20), ("Use the blue cable for the pump.", 10)]])
    form = {"title": "Guide", "tags": ["pumps", "wiring"], "visibility_mode": "restricted", "audience_tags": "sales"}

    answer = await upload(one.client, "guide.pdf", data, **form)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["title"], body["stage"], body["chunks_indexed"]) == ("Guide", "indexed", 1)
    assert body["jobId"]
    item = (await one.client.get(f"/v1/knowledge/items/{body['document_id']}")).json()
    assert (item["tags"], item["audience_tags"], item["may_manage"]) == (["pumps", "wiring"], ["sales"], True)
    search = await one.client.post("/v1/knowledge/search", json={"query": "blue cable", "tags": ["wiring"]})
    (result,) = search.json()["results"]
    assert (result["document_id"], result["title"], result["page"]) == (body["document_id"], "Guide", 1)
    assert result["score"] > 0
    assert set(result["scores"]) == {"meaning", "meaning_rank", "words_rank", "fused", "rerank"}
    original = await one.client.get(f"/v1/knowledge/items/{body['document_id']}/original")
    assert original.content == data
    assert original.headers["content-type"] == "application/octet-stream"
    assert original.headers["content-disposition"].startswith("attachment")
    chunks = (await one.client.get(f"/v1/knowledge/items/{body['document_id']}/chunks")).json()
    assert (len(chunks["passages"]), chunks["next_cursor"]) == (1, None)


async def test_an_upload_without_waiting_is_accepted_with_its_stage(one: Served) -> None:
    answer = await one.client.post("/v1/knowledge/ingest", files={"file": ("a.txt", b"Some words.")})

    assert answer.status_code == 202
    assert (answer.json()["stage"], answer.json()["chunks_indexed"], answer.json()["title"]) == ("uploaded", 0, "a.txt")


async def test_an_unreadable_upload_is_422_with_its_code_and_stays_to_be_tried_again(one: Served) -> None:
    answer = await upload(one.client, "locked.pdf", papers.pdf([[("x", 10)]], password="key"))

    assert (answer.status_code, answer.json()["code"]) == (422, "document_encrypted")
    listed = (await one.client.get("/v1/knowledge/items", params={"stage": "failed", "q": "locked"})).json()["items"]
    assert listed[0]["error"]["code"] == "document_encrypted"
    retried = await one.client.post(f"/v1/knowledge/items/{listed[0]['id']}/retry")
    assert (retried.status_code, retried.json()["stage"]) == (202, "uploaded")


async def test_the_chat_answers_and_nothing_is_lost_while_hostile_files_are_read(one: Served) -> None:
    kept = await upload(one.client, "kept.md", b"The turbine hall is blue.")
    hostile = [
        upload(one.client, "bomb.docx", papers.zip_bomb(600)),
        upload(one.client, "broken.pdf", b"%PDF-1.7\n" + b"\x00\xff" * 100_000),
        upload(one.client, "locked.docx", papers.locked_office(megabytes=3)),
    ]
    chat = one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": "hello"}]})

    answer, *refused = await asyncio.gather(chat, *hostile)

    assert answer.status_code == 200, answer.text
    assert [(reply.status_code, reply.json()["code"]) for reply in refused] == [
        (422, "document_too_complex"),
        (422, "document_unreadable"),
        (422, "document_encrypted"),
    ]
    listed = (await one.client.get("/v1/knowledge/items", params={"stage": "failed"})).json()["items"]
    assert {"bomb.docx", "broken.pdf", "locked.docx"} <= {item["title"] for item in listed}
    found = await one.client.post("/v1/knowledge/search", json={"query": "turbine hall"})
    assert [result["document_id"] for result in found.json()["results"]][:1] == [kept.json()["document_id"]]


async def test_a_file_of_two_gigabytes_is_refused_before_it_is_sent(one: Served) -> None:
    url = httpx.URL(one.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"POST /v1/knowledge/ingest HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nAuthorization: Bearer {one.key}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 2147483648\r\n\r\n".encode()
    )
    await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    writer.close()

    assert head.startswith(b"HTTP/1.1 413")


async def test_a_file_that_grows_too_large_on_the_way_is_cut_off(one: Served) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while sent < 400 << 20:
            yield b"x" * (1 << 20)
            sent += 1 << 20

    try:
        answer = await one.client.post(
            "/v1/knowledge/ingest", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # cut off while we still wrote

    assert sent < 200 << 20


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/ingest/text", {"title": "", "content": "x"}, 422, "validation_failed"),
        ("/ingest/text", {"title": "x", "content": "x", "colour": 1}, 422, "unknown_field"),
        ("/ingest/text", {"title": "x", "content": "x", "audience_tags": ["a,b"]}, 422, "validation_failed"),
        ("/ingest/url", {"url": "http://127.0.0.1:1/x"}, 422, "address_refused"),
        ("/ingest/url", {"url": "ftp://example.com/x"}, 422, "validation_failed"),
        ("/search", {"query": ""}, 422, "validation_failed"),
        ("/search", {"query": "x", "limit": 51}, 422, "validation_failed"),
        ("/items/share", {"item_ids": [], "visibility_mode": "shared"}, 422, "validation_failed"),
        ("/items/share", {"item_ids": [str(uuid4())], "visibility_mode": "shared"}, 422, "confirm_tenant_wide"),
        ("/items/share", {"item_ids": [str(uuid4())], "visibility_mode": "private"}, 404, "not_found"),
    ],
)
async def test_bad_requests_are_refused_with_their_codes(
    one: Served, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await one.client.post(f"/v1/knowledge{path}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_form_without_a_file_or_with_a_broken_body_is_refused(one: Served) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    empty = await one.client.post("/v1/knowledge/ingest", content=b"--x--\r\n", headers=kind)
    broken = await one.client.post("/v1/knowledge/ingest", content=b"nonsense", headers=kind)
    as_json = await one.client.post("/v1/knowledge/ingest", json={"file": "x"})

    assert empty.status_code in (400, 422)
    assert broken.status_code in (400, 422)
    assert as_json.status_code == 415


async def test_rights_are_edited_and_act_on_the_next_search(one: Served) -> None:
    text = {"title": "Plan", "content": "The zeppelin departs at dawn."}
    document = (await one.client.post("/v1/knowledge/ingest/text", params=WAIT, json=text)).json()["document_id"]
    query = {"query": "zeppelin departs"}
    async with await one.member("rights@example.com", "knowledge") as ben:
        before = (await ben.post("/v1/knowledge/search", json=query)).json()["results"]
        changed = await one.client.patch(f"/v1/knowledge/items/{document}", json={"visibility_mode": "shared"})
        after = (await ben.post("/v1/knowledge/search", json=query)).json()["results"]
        theirs = await ben.patch(f"/v1/knowledge/items/{document}", json={"title": "Mine"})
        await one.client.patch(f"/v1/knowledge/items/{document}", json={"visibility_mode": "private"})
        gone = await ben.get(f"/v1/knowledge/items/{document}")

    assert changed.json()["visibility_mode"] == "shared"
    assert (before, [result["document_id"] for result in after]) == ([], [document])
    assert (theirs.status_code, gone.status_code) == (403, 404)


async def test_audiences_and_indexes_are_the_administrators(one: Served) -> None:
    async with await one.member("plain@example.com", "knowledge") as ben:
        for method, path in (
            ("GET", "/audiences"),
            ("PUT", "/audiences/sales"),
            ("GET", "/generations"),
            ("POST", "/reindex"),
        ):
            assert (await ben.request(method, f"/v1/knowledge{path}", json={"user_ids": []})).status_code == 403
    user = str(uuid4())

    assert (await one.client.put("/v1/knowledge/audiences/sales", json={"user_ids": [user]})).status_code == 204
    assert (await one.client.get("/v1/knowledge/audiences")).json()["audiences"] == [
        {"tag": "sales", "user_ids": [user]}
    ]
    await upload(one.client, "some.txt", b"Some words.")
    (generation,) = (await one.client.post("/v1/knowledge/reindex")).json()["generations"]
    assert (generation["state"], generation["dimension"]) == ("active", 384)


async def test_a_key_without_the_scope_reaches_nothing(one: Served) -> None:
    async with await one.member("chat@example.com", "chat") as ben:
        answer = await ben.get("/v1/knowledge/items")

    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_pages_of_the_wiki_over_http(one: Served) -> None:
    page = {"topic": "Duty", "content": "# Duty\n\nRing the bell."}
    made = await one.client.post("/v1/knowledge/wiki", json=page)
    saved = await one.client.post("/v1/knowledge/wiki", json={**page, "content": "Whistle.", "base_version": 1})
    stale = await one.client.post("/v1/knowledge/wiki", json={**page, "base_version": 1})

    assert (made.status_code, saved.status_code, saved.json()["version"]) == (201, 200, 2)
    assert (stale.status_code, stale.json()["code"]) == (409, "wiki_stale")
    assert (await one.client.get("/v1/knowledge/wiki/duty", params={"version": 1})).json()["title"] == "Duty"
    assert [one["topic"] for one in (await one.client.get("/v1/knowledge/wiki")).json()["pages"]] == ["duty"]
    diff = await one.client.get("/v1/knowledge/wiki/duty/diff", params={"old": 1, "new": 2})
    assert "+Whistle." in diff.json()["diff"]
    assert len((await one.client.get("/v1/knowledge/wiki/duty/versions")).json()["versions"]) == 2
    assert (await one.client.delete("/v1/knowledge/wiki/duty")).status_code == 204
    assert (await one.client.get("/v1/knowledge/wiki/duty")).status_code == 404

"""The audit's routes in a served System: a chat that is replayed, opened, found and exported, and who may do so."""

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import httpx
import pytest

from aibox.audit import ExternalAct, Filter, verifier
from aibox.audit.download import UsageError, download
from aibox.audit.trail import PAGE
from aibox.core.connections import Urls
from aibox.core.turn import begin
from aibox.identity import SessionRevoked
from tests.system import Served, served

QUESTION = {"messages": [{"role": "user", "content": "What is the answer?"}]}


@pytest.fixture
async def one(urls: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running


async def test_a_chat_is_replayed_with_its_question_and_its_answer(one: Served) -> None:
    turn_id = (await one.client.post("/v1/chat", json=QUESTION)).json()["turn_id"]

    events = (await one.client.get(f"/v1/audit/turns/{turn_id}/replay")).json()["events"]

    shown = {event["type"]: (event["event_id"], event["artifacts"]) for event in events if event["artifacts"]}
    assert [(art["kind"], art["text"]) for art in shown["question.asked"][1]] == [("prompt", "What is the answer?")]
    event_id, (answer,) = shown["model_response"]
    assert "The answer is forty-two." in answer["text"]
    raw = await one.client.get(f"/v1/audit/turns/{turn_id}/artifacts/{event_id}/response")
    assert raw.text == answer["text"]


async def test_the_receipt_of_a_chat_opens_for_its_owner_and_verifies(one: Served) -> None:
    turn_id = (await one.client.post("/v1/chat", json=QUESTION)).json()["turn_id"]
    assert await one.outcome(turn_id) == "sealed"

    opened = await one.client.get(f"/v1/receipts/{turn_id}/proof?open=all")
    policy = await one.client.get("/v1/audit/policy")

    assert verifier.verify(opened.content, policy.content).ok
    contents = [base64.b64decode(opening["data"]) for opening in opened.json()["openings"]]
    assert b"What is the answer?" in contents


async def _many_events(one: Served) -> None:
    """More than one page of an export."""
    turn = one.turn
    acts = [ExternalAct(action="counted", resource_type="n", resource_id=str(n), result="") for n in range(PAGE + 100)]
    await one.system.log.log(turn, *acts)
    await one.system.log.end(turn, "sealed")


async def test_an_export_ends_where_the_key_that_asked_for_it_is_revoked(one: Served) -> None:
    await _many_events(one)
    bearer = [(b"authorization", f"Bearer {one.key}".encode())]
    principal = await one.system.identity.authenticate(bearer, "GET", "/v1/admin/audit/export")
    assert principal is not None
    turn = begin(principal)
    lines = await one.system.trail.export(turn, Filter(), "ndjson")
    assert [await anext(lines), (await anext(lines)).count(b"\n")] == [b"", PAGE]

    await one.system.identity.revoke_key(turn, user_id=principal.id, key_id=one.key.split("_")[1])

    with pytest.raises(SessionRevoked):
        await anext(lines)


async def test_an_export_that_breaks_off_is_no_whole_file_for_its_reader(one: Served, urls: Urls) -> None:
    await _many_events(one)
    owner = await asyncpg.connect(urls.owner)
    await owner.execute(
        "UPDATE core.event SET data = '{' WHERE row_id = (SELECT max(row_id) FROM core.event WHERE type = $1)",
        "external.counted",
    )
    await owner.close()

    with pytest.raises(httpx.RemoteProtocolError):
        await one.client.get("/v1/admin/audit/export?format=csv")

    url = f"{one.url}/v1/admin/audit/export?format=csv"
    with pytest.raises(UsageError, match="broke off"):
        await asyncio.to_thread(download, url, key=one.key, limit=10**8, what="the export")


async def test_an_owner_finds_exports_and_verifies_what_happened(one: Served) -> None:
    turn_id = (await one.client.post("/v1/chat", json=QUESTION)).json()["turn_id"]
    await one.outcome(turn_id)

    found = (await one.client.get("/v1/admin/audit?action=question.*")).json()["events"]
    exported = await one.client.get("/v1/admin/audit/export?action=question.*")
    checked = (await one.client.get("/v1/admin/audit/verify")).json()

    assert [event["turn_id"] for event in found] == [turn_id]
    assert [json.loads(line) for line in exported.text.splitlines()] == found
    assert checked["ok"], checked
    lines = (await one.client.get("/v1/admin/audit/verify/progress")).text.splitlines()
    assert [json.loads(line)["ok"] for line in lines] == [True] * 2
    assert json.loads(lines[-1])["checked"] == json.loads(lines[-1])["total"] >= checked["checked"]
    assert checked["checked"] > 1
    trace = await one.events(exported.headers["x-aibox-turn-id"])
    assert [event["type"] for event in trace[:2]] == ["turn_started", "audit.exported"]
    assert trace[1]["body"] == {"filters": {"action": "question.*"}, "format": "ndjson"}


async def test_a_member_sees_no_turn_of_another_and_no_log_of_all(one: Served) -> None:
    turn_id = (await one.client.post("/v1/chat", json=QUESTION)).json()["turn_id"]
    async with await one.member("bob@example.com", "audit:read") as bob:
        for path in (f"/v1/audit/turns/{turn_id}/replay", f"/v1/receipts/{turn_id}/proof?open=all"):
            assert (await bob.get(path)).status_code == 404
        for path in ("", "/export", "/verify"):
            assert (await bob.get(f"/v1/admin/audit{path}")).status_code == 403
        assert (await bob.post("/v1/audit", json={"action": "x"})).json()["code"] == "insufficient_scope"


async def test_an_act_of_another_program_has_a_receipt_of_its_own(one: Served) -> None:
    body = {"action": "invoice.paid", "resource_type": "invoice", "resource_id": "4711", "result": "ok"}
    reported = await one.client.post("/v1/audit", json=body)

    assert reported.status_code == 201
    assert await one.outcome(reported.json()["turn_id"]) == "sealed"
    refused = await one.client.post("/v1/audit", json={**body, "action": "Not a name"})
    unknown = await one.client.post("/v1/audit", json={**body, "tenant": "x"})
    assert (refused.status_code, unknown.json()["code"]) == (422, "unknown_field")


async def test_an_act_about_a_sealed_turn_is_added_to_it_and_in_its_proof(one: Served) -> None:
    turn_id = (await one.client.post("/v1/chat", json=QUESTION)).json()["turn_id"]
    await one.outcome(turn_id)
    body = {"action": "answer.rated", "result": "good", "detail": {"stars": 5}, "turn_id": turn_id}

    reported = await one.client.post("/v1/audit", json=body)
    await one.outcome(reported.headers["x-aibox-turn-id"])

    assert (reported.status_code, reported.json()["turn_id"]) == (201, turn_id)
    summary = (await one.client.get(f"/v1/receipts/{turn_id}")).json()
    (late,) = summary["addenda"]
    assert (late["first"], late["events"]) == (summary["events"], 1)
    proof = await one.client.get(f"/v1/receipts/{turn_id}/proof?open=all")
    verdict = verifier.verify(proof.content, (await one.client.get("/v1/audit/policy")).content)
    assert verdict.ok, verdict.summary
    opened = [base64.b64decode(opening["data"]) for opening in proof.json()["openings"]]
    assert json.dumps(body["detail"], separators=(",", ":")).encode() in opened
    async with await one.member("eve@example.com", "audit:write") as eve:
        assert (await eve.post("/v1/audit", json=body)).status_code == 404
    nobody = await one.client.post("/v1/audit", json={**body, "turn_id": "00000000-0000-7000-8000-0000000000ff"})
    assert nobody.status_code == 404

"""The audit's routes, over HTTP and the real database."""

import base64
import csv
import io
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import cbor2
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from litestar import Litestar, Request, Response
from litestar.di import Provide

from aibox.audit import AuditTrail, Erasures, KeyRetired, Receipts, merkle, notes, verifier
from aibox.audit.routes import ROUTES
from aibox.core.errors import AIBoxError
from aibox.core.keyring import Ring
from aibox.core.turn import Turn, begin
from tests.integration.audit.conftest import ANN, AUDITOR, BOB, OTHER_TENANT, STRANGER, TENANT, Bench

PEOPLE = {"ann": ANN, "bob": BOB, "auditor": AUDITOR, "stranger": STRANGER}


def render(request: Request[Any, Any, Any], error: AIBoxError) -> Response[dict[str, str]]:
    return Response({"code": error.code}, status_code=error.status)


@pytest.fixture
async def client(bench: Bench) -> AsyncGenerator[httpx.AsyncClient]:
    """An app of these routes alone, where the header `x-person` says who asks."""

    async def receipts() -> Receipts:
        return bench.audit

    async def trail() -> AuditTrail:
        return bench.trail

    async def erasures() -> Erasures:
        raise NotImplementedError("nothing is erased here: test_erasure.py does")

    async def turn(request: Request[Any, Any, Any]) -> Turn:
        return begin(PEOPLE[request.headers["x-person"]])

    app: Any = Litestar(
        ROUTES,
        dependencies={
            "receipts": Provide(receipts),
            "trail": Provide(trail),
            "erasures": Provide(erasures),
            "turn": Provide(turn),
        },
        exception_handlers={AIBoxError: render},
        openapi_config=None,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        client.headers["x-person"] = "ann"
        yield client


async def test_the_proof_that_is_downloaded_verifies_under_the_policy_that_is_downloaded(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()

    proof = await client.get(f"/v1/receipts/{turn.id}/proof")
    policy = await client.get("/v1/audit/policy")

    assert proof.headers["content-type"].startswith("application/json")
    assert f"receipt-{turn.id}.json" in proof.headers["content-disposition"]
    assert verifier.verify(proof.content, policy.content).ok


async def test_the_summary_names_entry_and_log(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()

    body = (await client.get(f"/v1/receipts/{turn.id}")).json()

    assert {name: body[name] for name in ("turn_id", "state", "outcome", "idx", "events")} == {
        "turn_id": str(turn.id),
        "state": "sealed",
        "outcome": "sealed",
        "idx": 1,
        "events": 3,
    }
    assert body["log"].startswith("aibox.test/audit/l/")
    assert body["sealed_at"].endswith("Z")


async def test_the_newest_head_is_plain_text_that_c2sp_tools_read(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    origin = (await bench.audit.receipt(turn, turn.id)).log or ""

    answer = await client.get(f"/v1/audit/logs/{origin.split('/')[3]}/checkpoint")

    assert answer.headers["content-type"].startswith("text/plain")
    assert notes.parse_checkpoint(answer.text).origin == origin


async def test_an_unsealed_turn_answers_409_and_a_strangers_404(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()

    early = await client.get(f"/v1/receipts/{turn.id}/proof")
    stranger = await client.get(f"/v1/receipts/{turn.id}/proof", headers={"x-person": "bob"})
    nonsense = await client.get("/v1/receipts/not-a-turn")

    assert (early.status_code, early.json()) == (409, {"code": "not_sealed"})
    assert (stranger.status_code, stranger.json()) == (404, {"code": "not_found"})
    assert nonsense.status_code == 404


async def test_opened_proofs_show_the_owner_what_was_said_and_still_verify(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.asked(text="Which supplier delivers by Friday?")
    await bench.audit.sealer.seal_pending()

    closed = await client.get(f"/v1/receipts/{turn.id}/proof?open=none")
    opened = await client.get(f"/v1/receipts/{turn.id}/proof?open=all")
    auditor = await client.get(f"/v1/receipts/{turn.id}/proof?open=all", headers={"x-person": "auditor"})

    assert (closed.json()["openings"], verifier.verify(closed.content).ok) == ([], True)
    (opening,) = opened.json()["openings"]
    assert base64.b64decode(opening["data"]) == b"Which supplier delivers by Friday?"
    assert verifier.verify(opened.content).steps[8].detail == "1 opened, each as it was committed to"
    assert verifier.verify(opened.content).ok
    assert (auditor.status_code, auditor.json()["code"]) == (403, "not_the_owner")


async def test_an_erased_artifact_is_missing_from_an_opened_proof_that_verifies(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.asked()
    await bench.audit.sealer.seal_pending()
    await bench.kernel.connections.system.execute("DELETE FROM core.artifact WHERE turn = $1", turn.id)

    opened = await client.get(f"/v1/receipts/{turn.id}/proof?open=all")
    replayed = (await client.get(f"/v1/audit/turns/{turn.id}/replay")).json()

    assert opened.json()["openings"] == []
    assert verifier.verify(opened.content).ok
    assert [art["state"] for event in replayed["events"] for art in event["artifacts"]] == ["erased"]


async def test_a_proof_as_plain_text_is_a_tlog_proof_of_the_envelope(bench: Bench, client: httpx.AsyncClient) -> None:
    (turn, *_) = await bench.many(5)
    await bench.audit.sealer.seal_pending()

    answer = await client.get(f"/v1/receipts/{turn.id}/proof", headers={"accept": "text/plain"})

    assert answer.headers["content-type"].startswith("text/plain")
    proof, _, note = answer.text.partition("\n\n")
    first, extra, index, *path = proof.split("\n")
    envelope = base64.b64decode(extra.removeprefix("extra "))
    head = notes.parse_checkpoint(note)
    assert (first, json.loads(envelope)["turn"]) == ("c2sp.org/tlog-proof@v1", str(turn.id))
    assert merkle.verify_inclusion(
        verifier.leaf_hash(envelope),
        int(index.removeprefix("index ")),
        head.size,
        [base64.b64decode(step) for step in path],
        head.root,
    )


async def test_two_heads_of_a_log_are_proved_consistent(bench: Bench, client: httpx.AsyncClient) -> None:
    heads = []
    for count in (2, 4):
        (turn, *_) = await bench.many(count)
        await bench.audit.sealer.seal_pending()
        log_id = ((await bench.audit.receipt(turn, turn.id)).log or "").split("/")[3]
        heads.append(notes.parse_checkpoint(await bench.audit.checkpoint(turn, log_id)))
    old, new = heads

    proof = (await client.get(f"/v1/audit/logs/{log_id}/consistency?from={old.size}&to={new.size}")).json()
    newest = (await client.get(f"/v1/audit/logs/{log_id}/consistency?from={old.size}")).json()
    path = [bytes.fromhex(step) for step in proof["path"]]

    assert (proof["log"], proof["from"], proof["to"]) == (new.origin, old.size, new.size)
    assert newest == proof
    assert merkle.verify_consistency(old.size, new.size, path, old.root, new.root)
    assert not merkle.verify_consistency(old.size, new.size, path, new.root, new.root)


@pytest.mark.parametrize("sizes", ["from=0", "from=4", "from=3&to=2", "from=1&to=4"])
async def test_sizes_that_the_log_never_had_between_them_are_refused(
    bench: Bench, client: httpx.AsyncClient, sizes: str
) -> None:
    (turn, _) = await bench.many(2)
    await bench.audit.sealer.seal_pending()
    log_id = ((await bench.audit.receipt(turn, turn.id)).log or "").split("/")[3]

    answer = await client.get(f"/v1/audit/logs/{log_id}/consistency?{sizes}")
    stranger = await client.get(f"/v1/audit/logs/{log_id}/consistency?from=1", headers={"x-person": "stranger"})

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert stranger.status_code == 404


async def test_a_replay_shows_every_event_in_order_with_what_was_said(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.asked(text="Which supplier?")

    replayed = (await client.get(f"/v1/audit/turns/{turn.id}/replay")).json()

    assert [(event["seq"], event["type"]) for event in replayed["events"]] == [
        (0, "turn_started"),
        (1, "external.ask"),
        (2, "turn_sealed"),
    ]
    (shown,) = replayed["events"][1]["artifacts"]
    assert (shown["kind"], shown["state"], shown["text"]) == ("detail", "opened", "Which supplier?")


async def test_one_artifact_is_served_as_bytes_that_no_browser_runs(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.asked(text="<script>alert(1)</script>")
    event = (await client.get(f"/v1/audit/turns/{turn.id}/replay")).json()["events"][1]["event_id"]

    answer = await client.get(f"/v1/audit/turns/{turn.id}/artifacts/{event}/detail")
    other_kind = await client.get(f"/v1/audit/turns/{turn.id}/artifacts/{event}/response")

    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert other_kind.status_code == 404


@pytest.mark.parametrize("person", ["bob", "stranger"])
async def test_anothers_turn_is_not_there_to_replay(bench: Bench, client: httpx.AsyncClient, person: str) -> None:
    turn = await bench.asked()
    event = (await client.get(f"/v1/audit/turns/{turn.id}/replay")).json()["events"][1]["event_id"]

    for path in ("replay", f"artifacts/{event}/detail"):
        answer = await client.get(f"/v1/audit/turns/{turn.id}/{path}", headers={"x-person": person})
        assert (answer.status_code, answer.json()) == (404, {"code": "not_found"})


async def test_an_auditor_who_opens_anothers_contents_leaves_a_trace_and_an_owner_none(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.asked()
    await client.get(f"/v1/audit/turns/{turn.id}/replay")
    assert await traces(bench) == []

    answer = await client.get(f"/v1/audit/turns/{turn.id}/replay", headers={"x-person": "auditor"})

    assert answer.json()["events"][1]["artifacts"][0]["state"] == "opened"
    assert await traces(bench) == [("p-auditor", {"opened": str(turn.id), "count": 1})]


async def test_an_act_of_another_program_is_in_the_log_and_its_detail_is_not(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    body = {"action": "invoice.paid", "resource_type": "invoice", "resource_id": "4711", "detail": {"iban": "DE02"}}
    answer = await client.post("/v1/audit", json={**body, "result": "ok"})

    assert answer.status_code == 201
    row = await bench.kernel.connections.system.fetchrow(
        "SELECT type, data FROM core.event WHERE turn = $1 AND seq = 1", UUID(answer.json()["turn_id"])
    )
    assert row is not None
    event = json.loads(row["data"])
    assert (row["type"], event["ev"]) == ("external.invoice.paid", answer.json()["event_id"])
    assert event["body"] == {
        "action": "invoice.paid",
        "resource_id": "4711",
        "resource_type": "invoice",
        "result": "ok",
    }
    assert b"DE02" not in row["data"]
    assert len(event["arts"]) == 1


@pytest.mark.parametrize("action", ["", "Pay", "a..b", "../x", "a" * 41])
async def test_an_action_that_is_no_name_is_refused(client: httpx.AsyncClient, action: str) -> None:
    assert (await client.post("/v1/audit", json={"action": action})).status_code == 400  # rendered 422 by the gateway


async def test_events_are_found_by_person_action_and_time(bench: Bench, client: httpx.AsyncClient) -> None:
    client.headers["x-person"] = "auditor"
    asked, other = await bench.asked(ANN), await bench.ended(BOB)
    await bench.asked(STRANGER)

    async def found(**wanted: object) -> list[tuple[str, str]]:
        answer = await client.get("/v1/admin/audit", params={name: str(value) for name, value in wanted.items()})
        return [(event["turn_id"], event["type"]) for event in answer.json()["events"]]

    ours = [(str(asked.id), kind) for kind in ("turn_sealed", "external.ask", "turn_started")]
    theirs = [(str(other.id), kind) for kind in ("turn_sealed", "turn_failed", "turn_started")]
    assert await found() == theirs + ours
    assert await found(user_id=ANN.id) == ours
    assert await found(action="turn_failed") == theirs[1:2]
    assert await found(action="turn_*") == [*theirs, ours[0], ours[2]]
    assert await found(limit=2, offset=2) == [theirs[2], ours[0]]
    assert await found(tenant_id=TENANT, action="external.*") == ours[1:2]
    now = datetime.now(UTC)
    assert await found(since=(now + timedelta(minutes=1)).isoformat()) == []
    assert await found(until=(now - timedelta(minutes=1)).isoformat()) == []
    assert len(await found(since=(now - timedelta(minutes=1)).isoformat())) == 6


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"tenant_id={OTHER_TENANT}", 404),
        (f"user_id={STRANGER.id}", 404),
        ("action=%27%3B--", 422),
        ("since=2026-01-01T00:00:00", 422),
    ],
    ids=["another tenant", "a stranger", "no action", "no time zone"],
)
async def test_another_tenant_is_not_there_and_a_filter_that_means_nothing_is_refused(
    client: httpx.AsyncClient, query: str, status: int
) -> None:
    answer = await client.get(f"/v1/admin/audit?{query}", headers={"x-person": "auditor"})

    assert answer.status_code == status


async def test_an_export_holds_all_events_once_and_leaves_a_trace_first(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    client.headers["x-person"] = "auditor"
    turns = await bench.many(400)  # 1200 events, more than two pages

    lines = (await client.get("/v1/admin/audit/export", params={"format": "ndjson"})).text.splitlines()

    events = [json.loads(line) for line in lines]
    places = [(event["turn_id"], event["seq"]) for event in events if event["principal"] == "p-ann"]
    assert places == [(str(one), seq) for one in sorted(turn.id for turn in turns) for seq in range(3)]
    assert events[-1]["type"] == "audit.exported"
    assert events[-1]["body"] == {"format": "ndjson", "filters": {}}


async def test_an_export_for_spreadsheets_has_no_cell_that_begins_a_formula(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    client.headers["x-person"] = "auditor"
    await bench.asked()

    answer = await client.get("/v1/admin/audit/export", params={"format": "csv", "action": "external.*"})

    assert answer.headers["content-type"].startswith("text/csv")
    head, row = csv.reader(io.StringIO(answer.text))
    assert head == ["at", "event_id", "turn_id", "seq", "type", "source", "principal", "body"]
    assert (row[4], row[6], json.loads(row[7])["action"]) == ("external.ask", "p-ann", "ask")


async def test_an_export_as_ocsf_has_the_fields_that_its_classes_require(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    client.headers["x-person"] = "auditor"
    await bench.asked()

    answer = await client.get("/v1/admin/audit/export", params={"format": "ocsf", "action": "external.*"})

    (event,) = [json.loads(line) for line in answer.text.splitlines()]
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] == 600399
    assert event["api"]["operation"] == "external.ask"
    assert event["actor"]["user"]["uid"] == "p-ann"
    assert {"metadata", "severity_id", "time", "category_uid", "src_endpoint"} <= event.keys()


async def test_a_sound_log_is_verified_over_http(bench: Bench, client: httpx.AsyncClient) -> None:
    await bench.many(3)
    await bench.audit.sealer.seal_pending()

    answer = await client.get("/v1/admin/audit/verify", headers={"x-person": "auditor"})

    assert answer.json() == {"ok": True, "checked": 4, "total": 4, "first_bad": None}


async def traces(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """Who opened whose contents."""
    rows = await bench.kernel.connections.system.fetch(
        "SELECT t.principal, e.data FROM core.event e JOIN core.turn t ON t.turn = e.turn"
        " WHERE e.type = 'audit.contents_opened'"
    )
    return [(row["principal"], json.loads(row["data"])["body"]) for row in rows]


async def test_a_proof_as_cose_is_a_receipt_of_the_envelope(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()

    answer = await client.get(f"/v1/receipts/{turn.id}/proof", headers={"accept": "application/scitt-receipt+cose"})

    assert answer.headers["content-type"] == "application/scitt-receipt+cose"
    protected, unprotected, payload, signature = cbor2.loads(answer.content).value
    size, index, path = cbor2.loads(unprotected[396][-1][0])
    bundle = json.loads(await bench.audit.proof(turn, turn.id))
    root = verifier.climb(verifier.leaf_hash(bundle["envelope"].encode()), index, size, path)
    vkey = notes.VerifierKey.parse(bundle["vkeys"][0])
    key = Ed25519PublicKey.from_public_bytes(vkey.public)
    assert payload is None
    assert cbor2.loads(protected)[4] == vkey.id
    key.verify(signature, cbor2.dumps(["Signature1", protected, b"", root]))


async def test_a_cose_receipt_by_a_key_that_left_the_ring_is_refused(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    later = bench.replica(Ring("audit", (("k2", bytes(range(32))),)))

    with pytest.raises(KeyRetired):
        await later.cose_receipt(turn, turn.id)


async def test_tiles_of_hashes_and_of_entries_are_served_by_their_paths(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    receipt = await bench.audit.receipt(turn, turn.id)
    log = f"/v1/audit/logs/{(receipt.log or '').split('/')[-2]}"

    hashes = await client.get(f"{log}/tile/0/000.p/2")
    entries = await client.get(f"{log}/tile/entries/000.p/2")
    missing = await client.get(f"{log}/tile/0/000")

    assert (hashes.status_code, len(hashes.content)) == (200, 64)
    assert hashes.headers["content-type"] == "application/octet-stream"
    envelope = json.loads(await bench.audit.proof(turn, turn.id))["envelope"].encode()
    assert entries.content.endswith(len(envelope).to_bytes(2) + envelope)
    assert verifier.leaf_hash(envelope) == hashes.content[32:]
    assert missing.status_code == 404

"""Money over HTTP: what a client sees of budgets, and an administrator of usage, traces and the books."""

import asyncio
import contextlib
import csv
import io
import tempfile
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aibox.core.connections import Urls
from aibox.observability import Price
from tests.conftest import new_database
from tests.stub_upstream import says
from tests.system import Served, served

BASE = "/v1/admin/observability"
SECRET = "the blue heron nests at dawn"
PRICE = Price(input_usd=Decimal(2), output_usd=Decimal(10))


def asking(*, stream: bool = False, **more: Any) -> dict[str, Any]:
    return {"model": "ok", "stream": stream, "messages": [{"role": "user", "content": SECRET}], **more}


@pytest.fixture(scope="module")
async def one(cluster: Urls, scratch: Path) -> AsyncGenerator[Served]:
    """A server whose model `ok` has a price: its answer of 11 and 5 tokens costs 0.000072 dollars."""
    async with new_database(cluster) as urls, served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        await running.system.catalogue.set_price(running.turn, "ok", PRICE)
        yield running


async def test_what_a_provider_says_of_an_end_stands_in_no_event_unless_it_is_a_word(one: Served) -> None:
    said = {"index": 0, "delta": {}, "finish_reason": "Ada Lovelace asked for it"}
    one.stub.next_frames = [[*says("Hello.")[:-1], {**says("Hello.")[-1], "choices": [said]}]]

    answer = await one.client.post("/v1/chat/completions", json=asking(stream=True))

    assert answer.status_code == 200
    (ended,) = [
        event for event in await one.events(answer.headers["x-aibox-turn-id"]) if event["type"] == "model_response"
    ]
    assert ended["body"]["finish_reason"] == "other"


@pytest.fixture(autouse=True)
async def without_budgets(one: Served) -> None:
    one.stub.forget()
    for budget in (await one.client.get(f"{BASE}/budgets")).json()["budgets"]:
        assert (await one.client.delete(f"{BASE}/budgets/{budget['id']}")).status_code == 204


async def limit(one: Served, usd: str, **terms: Any) -> dict[str, Any]:
    answer = await one.client.post(
        f"{BASE}/budgets", json={"subject": "tenant", "period": "month", "limit_usd": usd, **terms}
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def delivered(one: Served) -> None:
    await one.system.delivery.drain("observability")


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [
        ("/v1/chat/completions", asking(), lambda error: (error["error"]["code"], error["error"]["message"])),
        ("/v1/chat/completions", asking(stream=True), lambda error: (error["code"], error["error"]["message"])),
        ("/v1/responses", {"model": "ok", "input": SECRET}, lambda error: (error["code"], error["error"]["message"])),
        (
            "/v1/messages",
            asking(max_tokens=50),
            lambda error: (error["code"] + "/" + error["error"]["type"], error["error"]["message"]),
        ),
    ],
    ids=["chat", "stream", "responses", "messages"],
)
async def test_a_used_up_budget_refuses_before_the_model_hears_anything(
    one: Served, path: str, body: dict[str, Any], read: Any
) -> None:
    await limit(one, "0")
    answer = await one.client.post(path, json=body)
    code, sentence = read(answer.json())
    assert (answer.status_code, code.split("/")[0]) == (402, "budget_exceeded")
    assert code in ("budget_exceeded", "budget_exceeded/billing_error")
    assert sentence.startswith("The monthly budget of the organisation does not cover this request")
    assert answer.json()["budget"]["subject"] == "tenant"
    assert one.stub.requests == []
    turn_id = answer.headers["x-aibox-turn-id"]
    types = [event["type"] for event in await one.events(turn_id)]
    assert "model_invoked" not in types
    assert types.index("budget_decision") < types.index("turn_failed")
    assert await one.outcome(turn_id) == "denied"


async def test_a_call_within_the_budget_is_decided_before_it_and_booked_after_it(one: Served) -> None:
    before = (await one.client.get(f"{BASE}/balance")).json()
    budget = await limit(one, "5", subject="key", subject_id=one.key.split("_")[1], period="day")
    answer = await one.client.post("/v1/chat/completions", json=asking())
    assert answer.status_code == 200
    events = await one.events(answer.headers["x-aibox-turn-id"])
    types = [event["type"] for event in events]
    assert types.index("budget_decision") == types.index("model_invoked") - 1
    calls = {event["body"]["call"] for event in events if "call" in event["body"]}
    assert len(calls) == 1
    await delivered(one)
    state = (await one.client.get(f"{BASE}/budgets/{budget['id']}")).json()
    assert state["reserved_usd"] == "0"
    assert Decimal(state["spent_usd"]) % Decimal("0.000072") == 0
    after = (await one.client.get(f"{BASE}/balance")).json()
    assert Decimal(after["spent_usd"]) - Decimal(before["spent_usd"]) == Decimal("0.000072")
    assert (after["is_balanced"], after["unbooked_responses"], after["open_reservations"]) == (True, 0, 0)


async def test_a_stream_and_embeddings_are_reserved_and_booked_too(one: Served) -> None:
    await one.system.catalogue.set_price(
        one.turn, "stub/embedding", Price(input_usd=Decimal(100), output_usd=Decimal(0))
    )
    await delivered(one)  # what the tests before this one spent
    budget = await limit(one, "5")
    start = Decimal(budget["spent_usd"])
    assert (await one.client.post("/v1/chat/completions", json=asking(stream=True))).status_code == 200
    answer = await one.client.post("/v1/embeddings", json={"model": "stub/embedding", "input": [SECRET]})
    assert answer.status_code == 200
    await delivered(one)
    state = (await one.client.get(f"{BASE}/budgets/{budget['id']}")).json()
    assert Decimal(state["spent_usd"]) - start == Decimal("0.000072") + Decimal("0.0007")
    await one.client.patch(f"{BASE}/budgets/{budget['id']}", json={"limit_usd": "0"})
    answer = await one.client.post("/v1/embeddings", json={"model": "stub/embedding", "input": [SECRET]})
    assert (answer.status_code, answer.json()["code"]) == (402, "budget_exceeded")


async def test_an_unpriced_model_of_another_house_is_refused_under_a_budget_that_blocks(one: Served) -> None:
    await limit(one, "5", action="warn")
    assert (await one.client.post("/v1/chat/completions", json=asking(model="echo"))).status_code == 200
    await limit(one, "5", period="day")
    answer = await one.client.post("/v1/chat/completions", json=asking(model="echo"))
    assert (answer.status_code, answer.json()["code"]) == (409, "price_unknown")


async def test_budgets_are_made_read_changed_and_removed(one: Served) -> None:
    made = await limit(one, "12.50", subject="user", subject_id="p-ada", soft_pct=90, action="warn")
    assert (made["limit_usd"], made["soft_pct"], made["state"], made["remaining_usd"]) == ("12.5", 90, "ok", "12.5")
    path = f"{BASE}/budgets/{made['id']}"
    changed = (await one.client.patch(path, json={"limit_usd": "3"})).json()
    assert (changed["limit_usd"], changed["soft_pct"], changed["action"]) == ("3", 90, "warn")
    again = await one.client.post(
        f"{BASE}/budgets", json={"subject": "user", "subject_id": "p-ada", "period": "month", "limit_usd": "1"}
    )
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await one.client.delete(path)).status_code == 204
    assert (await one.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "tenant", "period": "year", "limit_usd": "1"},
        {"subject": "tenant", "period": "day", "limit_usd": "a lot"},
        {"subject": "tenant", "period": "day", "limit_usd": "-1"},
        {"subject": "tenant", "period": "day"},
        {"subject": "tenant", "period": "day", "limit_usd": "1", "colour": "red"},
    ],
    ids=["period", "words", "negative", "missing", "unknown"],
)
async def test_a_budget_that_cannot_be_is_refused_with_its_field(one: Served, body: dict[str, Any]) -> None:
    answer = await one.client.post(f"{BASE}/budgets", json=body)
    assert (answer.status_code, answer.json()["code"] in ("validation_failed", "unknown_field")) == (422, True)


async def test_a_member_sees_only_their_own_usage(one: Served) -> None:
    async with await one.member("eve@example.com", "models", "chat") as eve:
        assert (await eve.post("/v1/chat/completions", json=asking())).status_code == 200
        await delivered(one)
        own = (await eve.get("/v1/usage/me")).json()
        assert (own["requests"], own["cost_usd"]) == (1, "0.000072")
        for path in ("usage", "traces", "prices", "budgets", "balance"):
            assert (await eve.get(f"{BASE}/{path}")).status_code == 403


async def test_usage_comes_as_json_and_as_csv_with_the_same_numbers(one: Served) -> None:
    await one.client.post("/v1/chat/completions", json=asking())
    await delivered(one)
    report = (await one.client.get(f"{BASE}/usage", params={"by": "day,model"})).json()
    assert report["by"] == ["model", "day"]
    answer = await one.client.get(f"{BASE}/usage", params={"by": "day,model", "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["model"], row["cost_usd"], row["requests"]) for row in rows] == [
        (row["model"], row["cost_usd"], str(row["requests"])) for row in report["rows"]
    ]
    wrong = await one.client.get(f"{BASE}/usage", params={"by": "colour"})
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (422, "by")
    assert (await one.client.get(f"{BASE}/usage", params={"from": "yesterday"})).status_code in (400, 422)


async def test_a_trace_shows_what_ran_when_and_no_word_of_anyone(one: Served) -> None:
    await limit(one, "5")
    answer = await one.client.post("/v1/chat/completions", json=asking())
    turn_id = answer.headers["x-aibox-turn-id"]
    await one.outcome(turn_id)
    found = await one.client.get(f"{BASE}/traces/{turn_id}")
    trace = found.json()
    root, *spans = trace["spans"]
    assert (root["kind"], root["status"], root["end_us"], trace["is_over"]) == (
        "turn",
        "ok",
        trace["duration_us"],
        True,
    )
    (model,) = [span for span in spans if span["kind"] == "model"]
    assert {"provider": "stub", "model": "ok", "input_tokens": 11, "cost_usd": "0.000072"}.items() <= model[
        "attributes"
    ].items()
    assert 0 <= model["start_us"] < model["end_us"] <= root["end_us"]
    assert {"budget", "guardrail", "event"} <= {span["kind"] for span in spans}
    assert all(span["parent"] == root["id"] for span in spans)
    assert "heron" not in found.text
    await delivered(one)
    listed = (await one.client.get(f"{BASE}/traces", params={"limit": 1})).json()
    assert listed["traces"][0]["turn_id"] == turn_id
    assert listed["next_cursor"] == turn_id
    assert (await one.client.get(f"{BASE}/traces/00000000-0000-7000-8000-00000000dead")).status_code == 404


async def test_a_chat_turn_over_budget_ends_denied_with_the_sentence(one: Served) -> None:
    await limit(one, "0")
    answer = await one.client.post(
        "/v1/chat/stream", json={"messages": [{"role": "user", "content": SECRET}], "session_id": None}
    )
    assert "budget_exceeded" in answer.text
    assert await one.outcome(answer.headers["x-aibox-turn-id"]) == "denied"
    assert one.stub.requests == []


async def test_a_keys_own_budget_is_for_its_whole_life_and_no_other_keys(one: Served) -> None:
    users = await one.system.identity.users(one.turn)
    key = await one.system.identity.create_key(
        one.turn, user_id=users[0].id, name="small", scopes=["models"], budget_usd=Decimal("0.001")
    )
    headers = {"Authorization": f"Bearer {key}"}
    answers = [
        await one.client.post("/v1/chat/completions", json=asking(max_tokens=80), headers=headers) for _ in range(12)
    ]
    statuses = [answer.status_code for answer in answers]
    refused = answers[-1].json()
    assert (statuses[0], statuses[-1], refused["code"]) == (200, 402, "budget_exceeded")
    assert refused["error"]["message"].startswith("The budget of this API key does not cover this request")
    assert refused["budget"] == {"subject": "key", "period": "total", "resets_at": None}
    assert statuses.count(200) * Decimal("0.000072") <= Decimal("0.001")
    assert (await one.client.post("/v1/chat/completions", json=asking(max_tokens=80))).status_code == 200


async def test_the_books_balance_after_calls_that_fail_in_every_way(one: Served) -> None:
    """Whole and streamed, answered, retried, refused, cut, stalled, and left by the client in the middle."""
    before = await one.client.get(f"{BASE}/balance")
    models = ["ok", "flaky-1", "500", "cut", "usage-less", "error-event", "garbage", "unfinished", "html", "slow"]
    for model in models:
        await one.system.catalogue.set_price(one.turn, f"stub/{model}", PRICE)
    await limit(one, "5")

    async def call(model: str, *, stream: bool) -> None:
        body = asking(stream=stream) | {"model": f"stub/{model}"}
        # What matters is what the books say afterwards; a client that leaves hears nothing.
        with contextlib.suppress(httpx.HTTPError):
            timeout = 0.3 if model == "slow" else 30
            await one.client.post("/v1/chat/completions", json=body, timeout=timeout)

    await asyncio.gather(*(call(model, stream=stream) for model in models * 3 for stream in (False, True)))
    async with asyncio.timeout(30):
        while True:
            await delivered(one)
            after = (await one.client.get(f"{BASE}/balance")).json()
            if after["open_reservations"] == 0 and after["unbooked_responses"] == 0:
                break
            await asyncio.sleep(0.1)
    assert (after["reserved_usd"], after["problems"]) == ("0", [])
    spent = Decimal(after["spent_usd"]) - Decimal(before.json()["spent_usd"])
    responses = await one.system.connections.system.fetch(
        "SELECT data FROM core.event WHERE type = 'model_response' ORDER BY row_id"
    )
    costs = [msgspec.json.decode(row["data"])["body"]["cost_usd"] for row in responses]
    assert sum(Decimal(cost) for cost in costs if cost) == Decimal(after["spent_usd"])
    assert spent >= 12 * Decimal("0.000072")

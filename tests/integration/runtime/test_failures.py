"""Bad input and failure: each has a clear error with its stable code, the turn is sealed, and nothing hangs."""

import asyncio
import contextlib
import json
import signal
import time
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from aibox.core.connections import Urls
from tests.installation import Installation, events, installed
from tests.system import Served

QUESTION = {"messages": [{"role": "user", "content": "What is the answer?"}]}


def completion(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, **QUESTION, **more}


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("no-such-model", 404, "model_unknown"),
        ("vision", 409, "role_not_configured"),
        ("html", 502, "backend_malformed"),
        ("redirect", 502, "upstream_redirect"),
        ("500", 502, "backend_failed"),
        ("401", 409, "provider_key_missing"),
        ("400", 400, "backend_refused"),
        ("silent", 504, "backend_timeout"),
        ("error-first", 502, "backend_failed"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
async def test_a_call_that_cannot_be_answered_gets_a_coded_error_and_a_failed_turn(
    shared: Served, model: str, status: int, code: str, streaming: bool
) -> None:
    if model == "error-first" and not streaming:
        pytest.skip("an error event is a stream's")
    answer = await shared.client.post("/v1/chat/completions", json=completion(model, stream=streaming))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["error"]["message"]
    turn = answer.headers["x-aibox-turn-id"]
    if await shared.events(turn):
        assert await shared.outcome(turn) == "failed"


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("cut", "backend_cut"),
        ("reset", "backend_cut"),
        ("garbage", "backend_malformed"),
        ("error-event", "backend_failed"),
        ("unfinished", "backend_cut"),
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_frame_and_no_done(one: Served, model: str, code: str) -> None:
    async with one.client.stream("POST", "/v1/chat/completions", json=completion(model, stream=True)) as answer:
        assert answer.status_code == 200
        lines = [line async for line in answer.aiter_lines() if line]
    assert json.loads(lines[-1].removeprefix("data: "))["code"] == code
    assert "data: [DONE]" not in lines
    turn = answer.headers["x-aibox-turn-id"]
    assert await one.outcome(turn) == "failed"
    response = next(event for event in await one.events(turn) if event["type"] == "model_response")
    assert response["body"]["ok"] is False


@pytest.mark.parametrize(
    ("model", "codes"),
    [
        ("cut", {"backend_cut"}),
        ("html", {"backend_malformed"}),
        ("500", {"role_no_backend"}),
        ("silent", {"role_no_backend"}),
        ("stall", {"backend_timeout"}),
    ],
)
async def test_a_chat_run_whose_provider_fails_says_so_and_keeps_its_part(
    one: Served, model: str, codes: set[str]
) -> None:
    await one.use(model)
    async with one.client.stream("POST", "/v1/chat/stream", json=QUESTION) as answer:
        told = list(events([line async for line in answer.aiter_lines()]))
        run, session = answer.headers["x-aibox-turn-id"], answer.headers["x-aibox-session-id"]
    assert told[-1][0] == "error"
    assert told[-1][1]["code"] in codes
    assert await one.outcome(run) == "failed"
    runs = (await one.client.get(f"/v1/conversations/{session}/runs")).json()["runs"]
    assert runs[0]["status"] == "failed"
    sync = await one.client.post("/v1/chat", json=QUESTION)
    assert sync.status_code in (502, 503, 504)
    assert sync.json()["code"] in codes


async def test_a_role_without_a_model_says_so(one: Served) -> None:
    await one.use(None)
    answer = await one.client.post("/v1/chat", json=QUESTION)
    assert (answer.status_code, answer.json()["code"]) == (409, "role_not_configured")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat", "{", 400, "bad_request"),
        ("/v1/chat/completions", "{", 400, "bad_request"),
        ("/v1/chat", '{"message": "hi"}', 422, None),
        ("/v1/chat", '{"messages": []}', 422, "validation_failed"),
        ("/v1/chat", '{"messages": [{"role": "user", "content": "hi"}], "colour": "red"}', 422, "unknown_field"),
        ("/v1/chat", '{"messages": [{"role": "assistant", "content": "hi"}]}', 422, "validation_failed"),
        ("/v1/chat", '{"messages": [{"role": "user", "content": " "}]}', 422, "validation_failed"),
        ("/v1/chat/completions", '{"model": "ok"}', 422, "validation_failed"),
        ("/v1/chat/completions", '{"model": "ok", "messages": []}', 422, "validation_failed"),
        ("/v1/chat/completions", '{"model": "ok", "messages": [7]}', 422, "validation_failed"),
    ],
)
async def test_a_body_that_is_no_request_is_refused_with_its_code(
    shared: Served, path: str, body: str, status: int, code: str | None
) -> None:
    answer = await shared.client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.json()["code"] == code
    assert shared.stub.requests == []


async def test_a_client_that_leaves_a_completion_cancels_the_call_and_is_billed(one: Served) -> None:
    async with one.client.stream("POST", "/v1/chat/completions", json=completion("slow", stream=True)) as answer:
        turn = answer.headers["x-aibox-turn-id"]
        await anext(answer.aiter_lines())
    assert await one.outcome(turn) == "abandoned"
    assert one.stub.left == 1
    response = next(event for event in await one.events(turn) if event["type"] == "model_response")
    assert response["body"]["input_tokens"] > 0
    assert response["body"]["estimated"] is True


async def test_a_client_that_leaves_before_the_answer_cancels_the_call(one: Served) -> None:
    asking = asyncio.create_task(one.client.post("/v1/chat/completions", json=completion("slow")))
    async with asyncio.timeout(10):
        while not one.stub.requests:
            await asyncio.sleep(0.02)
        asking.cancel()
        while not one.stub.left:
            await asyncio.sleep(0.02)
    turn = await one.system.connections.system.fetchval(
        "SELECT turn::text FROM core.turn ORDER BY started_us DESC LIMIT 1"
    )
    assert await one.outcome(turn) == "abandoned"


async def test_a_turn_survives_that_all_connections_to_the_database_are_cut(one: Served, urls: Urls) -> None:
    one.stub.token_delay = 0.3
    cutter = await asyncpg.connect(urls.owner.replace("aibox_owner@", "postgres@"))
    async with one.client.stream("POST", "/v1/chat/stream", json=QUESTION) as answer:
        lines: list[str] = []
        async for line in answer.aiter_lines():
            lines.append(line)
            if '"ask"' in line:
                await cutter.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
    await cutter.close()
    told = list(events(lines))
    assert told[-1][0] == "done", told[-3:]
    assert await one.outcome(told[-1][1]["turn_id"]) == "sealed"


@pytest.mark.timeout(240)
def test_what_is_killed_comes_back_and_nothing_acknowledged_is_lost() -> None:
    """The server itself mid-answer, then the model process, then PostgreSQL: one installation, the real local model."""
    with installed() as real:
        key = real.key("chat", "models", "audit:read")
        long = {"messages": [{"role": "user", "content": "Write a long story about the sea, in many paragraphs."}]}
        with real.client(key) as client:
            acknowledged = [client.post("/v1/chat", json=QUESTION).json()["turn_id"]]
            with client.stream("POST", "/v1/chat/stream", json=long) as answer:
                left = answer.headers["x-aibox-turn-id"]
                for event in events(answer.iter_lines()):
                    if event[0] == "token":
                        break
                child = real.local_model()
                real.stop(signal.SIGKILL)
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running(), "the local model outlived its server"
        real.environment["AIBOX_AUDIT_GRACE_SECONDS"] = "0"
        real.start()
        asyncio.run(_end_lease(real, left))

        with real.client(key) as client:
            assert _sealed(client, acknowledged[0]) == "sealed"
            with client.stream("POST", "/v1/chat/stream", json=long) as answer:
                turn = answer.headers["x-aibox-turn-id"]
                told: list[tuple[str, dict[str, Any], int]] = []
                for event in events(answer.iter_lines()):
                    if event[0] == "token" and not any(name == "token" for name, _, _ in told):
                        real.local_model().kill()
                    told.append(event)
            assert told[-1][0] == "error"
            assert told[-1][1]["code"] in ("backend_cut", "backend_unreachable", "role_no_backend")
            assert _sealed(client, turn) == "failed"
            assert _answers(client), "the local model did not come back"

            acknowledged.append(client.post("/v1/chat", json=QUESTION).json()["turn_id"])
            postmaster = real.postmaster()
            for victim in [*postmaster.children(recursive=True), postmaster]:
                with contextlib.suppress(psutil.NoSuchProcess):  # the postmaster ends the others when one dies
                    victim.kill()
            assert _answers(client), "PostgreSQL did not come back"
            assert [_sealed(client, turn) for turn in acknowledged] == ["sealed", "sealed"]

            assert _sealed(client, left, seconds=30) == "abandoned"
            assert client.get(f"/v1/receipts/{left}/proof").status_code == 200


async def _end_lease(real: Installation, turn: str) -> None:
    """As if the minute had passed for which the killed server held the turn."""
    owner = await asyncpg.connect(f"postgresql://aibox_owner@/aibox?host={real.folder}/data/postgres")
    ended = await owner.execute(
        "UPDATE core.turn SET lease_until = now()"
        " WHERE turn = $1::text::uuid AND state = 'open' AND lease_until > now()",
        turn,
    )
    await owner.close()
    assert ended == "UPDATE 1"


def _answers(client: httpx.Client) -> bool:
    """Whether a chat is answered within a minute; in between, only coded 5xx answers are seen."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = client.post("/v1/chat", json=QUESTION)
        if answer.status_code == 200:
            return True
        assert answer.status_code in (502, 503, 504), answer.text
        assert answer.json()["code"] in (
            "state_unavailable",
            "audit_unavailable",
            "role_no_backend",
            "backend_unavailable",
            "backend_unreachable",
            "backend_cut",
        ), answer.text
        time.sleep(0.3)
    return False


def _sealed(client: httpx.Client, turn: str, *, seconds: float = 15) -> str | None:
    """The outcome of a turn, once it is sealed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        receipt = client.get(f"/v1/receipts/{turn}")
        if receipt.status_code == 200 and receipt.json()["state"] in ("sealed", "anchored"):
            return str(receipt.json()["outcome"])
        time.sleep(0.2)
    return None

"""What comes at the wrong moment, or cannot be stored: the run still ends, its turn is sealed, and all goes on."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from aibox.core.connections import Urls
from tests.installation import events
from tests.system import Served

NUL = "\x00"


def question(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def test_a_conversation_that_is_deleted_while_it_is_answered_stops_nothing_else(one: Served) -> None:
    one.stub.token_delay = 0.3
    async with one.client.stream("POST", "/v1/chat/stream", json=question("What is the answer?")) as answer:
        run, session = answer.headers["x-aibox-turn-id"], answer.headers["x-aibox-session-id"]
        lines = answer.aiter_lines()
        async for line in lines:
            if '"ask"' in line:
                assert (await one.client.delete(f"/v1/sessions/{session}")).status_code == 204
        assert await one.outcome(run) == "sealed"
    await asyncio.sleep(0.5)
    assert one.system.chat._live == {}
    assert (await one.client.post("/v1/chat", json=question("And now?"))).status_code == 200


async def test_a_run_that_is_stopped_twice_is_stopped_once(one: Served, urls: Urls) -> None:
    await one.use("slow")
    lock = await asyncpg.connect(urls.owner)
    async with one.client.stream("POST", "/v1/chat/stream", json=question("What is the answer?")) as answer:
        run, session = answer.headers["x-aibox-turn-id"], answer.headers["x-aibox-session-id"]
        lines: list[str] = []
        async for line in answer.aiter_lines():
            lines.append(line)
            if '"ask"' in line:
                path = f"/v1/conversations/{session}/runs/{run}/cancel"
                async with lock.transaction():
                    await lock.execute("LOCK TABLE runtime.item IN EXCLUSIVE MODE")
                    for _ in range(2):
                        assert (await one.client.post(path)).status_code == 202
                        await asyncio.sleep(0.2)
    await lock.close()
    assert list(events(lines))[-1][1].get("finish_reason") == "cancelled"
    assert await one.outcome(run) == "sealed"
    runs = (await one.client.get(f"/v1/conversations/{session}/runs")).json()["runs"]
    assert [run["status"] for run in runs] == ["cancelled"]


async def test_a_run_that_is_stopped_after_its_last_word_is_done(one: Served, urls: Urls) -> None:
    lock = await asyncpg.connect(urls.owner)
    async with one.client.stream("POST", "/v1/chat/stream", json=question("What is the answer?")) as answer:
        run, session = answer.headers["x-aibox-turn-id"], answer.headers["x-aibox-session-id"]
        lines: list[str] = []
        async with lock.transaction():
            await lock.execute("LOCK TABLE audit.log IN EXCLUSIVE MODE")  # the receipt takes its time
            async for line in answer.aiter_lines():
                lines.append(line)
                if line == "event: usage":
                    await asyncio.sleep(0.1)
                    stopped = await one.client.post(f"/v1/conversations/{session}/runs/{run}/cancel")
                    assert (stopped.status_code, stopped.json()["code"]) == (409, "run_ended")
    await lock.close()
    name, data, _ = list(events(lines))[-1]
    assert (name, data["finish_reason"]) == ("done", "stop")
    assert await one.outcome(run) == "sealed"


async def test_an_answer_with_a_character_that_no_table_takes_is_stored_without_it(one: Served) -> None:
    one.stub.words = ("forty", NUL, "two")
    told = (await one.client.post("/v1/chat", json=question(f"What{NUL} is it?"))).json()
    assert told["message"]["content"] == "fortytwo"
    items = (await one.client.get(f"/v1/conversations/{told['session_id']}/items")).json()["items"]
    assert [item["content"] for item in items] == ["What is it?", "fortytwo"]
    assert one.stub.requests[-1]["messages"][-1]["content"] == "What is it?"


async def test_a_question_that_cannot_be_taken_on_leaves_no_open_turn(one: Served) -> None:
    stranger = question("hi", session_id="0190f1e0-0000-7000-8000-000000000000")
    answer = await one.client.post("/v1/chat", json=stranger, headers={"X-User-Id": "somebody else"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    turn = answer.headers["x-aibox-turn-id"]
    assert [event["type"] for event in await one.events(turn)][:2] == ["turn_started", "auth.header_stripped"]
    assert await one.outcome(turn) == "sealed"


@pytest.mark.parametrize("after", [-3, 10**12])
async def test_a_place_in_a_run_that_does_not_exist_is_its_beginning_or_its_end(one: Served, after: int) -> None:
    done = (await one.client.post("/v1/chat", json=question("What is the answer?"))).json()
    path = f"/v1/conversations/{done['session_id']}/runs/{done['run_id']}/events"
    while one.system.chat._live:
        await asyncio.sleep(0.05)
    answer = await one.client.get(path, params={"after": after})
    numbers = [number for _, _, number in events(answer.text.splitlines())]
    assert answer.status_code == 200
    assert numbers[:1] == ([1] if after < 0 else [])


@pytest.mark.parametrize(
    "body",
    [b'{"model":"ok","messages":[{"role":"user","content":"\xff"}]}', b'{"x":' + b"[" * 100_000],
    ids=["not UTF-8", "deeper than any"],
)
async def test_bytes_that_are_no_json_are_a_bad_request(one: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await one.client.post("/v1/chat/completions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert json.loads(answer.content)["error"]["message"]


async def test_a_memory_that_is_indexed_later_leaves_no_open_turn(one: Served) -> None:
    kept = await one.client.post("/v1/memory", json={"content": "I live in Berlin.", "memory_type": "user"})
    assert kept.status_code == 201, kept.text
    await one.system.connections.system.execute("UPDATE memory.memory SET is_indexed = false")
    assert await one.system.memories.sweep() == 1
    open_turns = await one.system.connections.system.fetchval("SELECT count(*) FROM core.turn WHERE state = 'open'")
    embeddings = await one.system.connections.system.fetchval(
        "SELECT count(*) FROM core.event e JOIN core.turn t USING (tenant, turn)"
        " WHERE e.type = 'model_response' AND t.principal = 'system'"
    )
    assert (open_turns, embeddings) == (0, 1)


async def test_a_character_that_no_table_takes_is_the_callers_mistake(one: Served) -> None:
    refused = await one.client.post("/v1/sessions", json={"title": f"a{NUL}b"})
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    refused = await one.client.get("/v1/sessions", params={"q": NUL})
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")


async def test_an_answer_stands_although_it_cannot_be_remembered(one: Served, urls: Urls) -> None:
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("ALTER TABLE memory.memory ADD CONSTRAINT nothing_goes_in CHECK (false) NOT VALID")
    await owner.close()
    answer = await one.client.post("/v1/chat", json=question("My favourite colour is teal."))
    assert (answer.status_code, answer.json()["finish_reason"]) == (200, "stop")
    assert await one.outcome(answer.json()["turn_id"]) == "sealed"
    runs = (await one.client.get(f"/v1/conversations/{answer.json()['session_id']}/runs")).json()["runs"]
    assert [run["status"] for run in runs] == ["completed"]

"""A recorded prompt asked again: a new turn, another answer, and what differs, word by word."""

import json
from typing import Any

from tests.system import Served

QUESTION = {"messages": [{"role": "user", "content": "What is the answer?"}]}


async def asked(one: Served) -> str:
    answer = await one.client.post("/v1/chat", json=QUESTION)
    assert answer.status_code == 200, answer.text
    await one.outcome(answer.json()["turn_id"])
    return str(answer.json()["turn_id"])


async def again(one: Served, turn_id: str) -> dict[str, Any]:
    answer = await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_the_same_answer_to_the_same_prompt_is_the_same(one: Served) -> None:
    turn_id = await asked(one)
    sent = one.stub.requests[-1]["messages"]

    shown = await again(one, turn_id)

    assert one.stub.requests[-1]["messages"] == sent
    assert (shown["is_same"], shown["replayed_turn"]) == (True, turn_id)
    assert shown["turn_id"] != turn_id
    assert [change["op"] for change in shown["changes"]] == ["equal"]
    events = [event["type"] for event in await one.events(shown["turn_id"])]
    assert events.index("audit.replay_started") < events.index("model_invoked") < events.index("model_response")
    assert await one.outcome(shown["turn_id"]) == "sealed"


async def test_another_answer_is_shown_word_by_word(one: Served) -> None:
    turn_id = await asked(one)
    one.stub.words = ("The", " answer", " was", " forty-two", ".")

    shown = await again(one, turn_id)

    assert not shown["is_same"]
    changes = [(change["op"], change["recorded"], change["replayed"]) for change in shown["changes"]]
    assert changes == [
        ("equal", "The answer", "The answer"),
        ("replace", "is", "was"),
        ("equal",) + ("forty-two.",) * 2,
    ]


async def test_a_call_of_another_client_is_asked_again_without_its_tools(one: Served) -> None:
    tool = {"type": "function", "function": {"name": "rm", "parameters": {"type": "object"}}}
    body = {"model": "ok", **QUESTION, "tools": [tool]}
    first = await one.client.post("/v1/chat/completions", json=body)
    turn_id = first.headers["x-aibox-turn-id"]
    await one.outcome(turn_id)

    await again(one, turn_id)

    assert "tools" not in one.stub.requests[-1]
    assert json.dumps(QUESTION["messages"]) == json.dumps(one.stub.requests[-1]["messages"])


async def test_a_turn_of_another_or_without_a_prompt_or_erased_is_not_asked_again(one: Served) -> None:
    turn_id = await asked(one)
    reported = (await one.client.post("/v1/audit", json={"action": "a.b"})).json()["turn_id"]
    async with await one.member("bob@example.com", "models") as bob:
        assert (await bob.post(f"/v1/audit/turns/{turn_id}/replay/live")).status_code == 404
    assert (await one.client.post(f"/v1/audit/turns/{reported}/replay/live")).json()["code"] == "not_replayable"

    await one.client.post("/v1/audit/erase", json={})

    assert (await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live")).json()["code"] == "not_replayable"

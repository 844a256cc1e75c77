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


async def again(one: Served, turn_id: str, **wishes: bool) -> dict[str, Any]:
    answer = await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live", json=wishes or None)
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


async def test_a_chat_that_kept_a_memory_is_compared_by_its_answer(one: Served) -> None:
    """Keeping it asks the embedder after the model: that is no answer to compare with."""
    answer = await one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": "I live in Bergen."}]})
    turn_id = answer.json()["turn_id"]
    await one.outcome(turn_id)

    shown = await again(one, turn_id)

    assert (shown["is_same"], shown["recorded"]["text"]) == (True, "The answer is forty-two.")


async def test_a_call_of_another_client_is_asked_again_without_its_tools(one: Served) -> None:
    tool = {"type": "function", "function": {"name": "rm", "parameters": {"type": "object"}}}
    body = {"model": "ok", **QUESTION, "tools": [tool]}
    first = await one.client.post("/v1/chat/completions", json=body)
    turn_id = first.headers["x-aibox-turn-id"]
    await one.outcome(turn_id)

    await again(one, turn_id)

    assert "tools" not in one.stub.requests[-1]
    assert json.dumps(QUESTION["messages"]) == json.dumps(one.stub.requests[-1]["messages"])


TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def calling(*calls: tuple[str, str]) -> list[dict[str, Any]]:
    """The choices of an answer that calls tools and says nothing."""
    listed = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": listed}
    return [{"index": 0, "message": message, "finish_reason": "tool_calls"}]


async def called(one: Served, *calls: tuple[str, str], stream: bool = False) -> str:
    """A turn of another client whose model called tools."""
    one.stub.choices = calling(*calls)
    body = {"model": "ok", **QUESTION, "tools": [TOOL], "tool_choice": "auto", "stream": stream}
    first = await one.client.post("/v1/chat/completions", json=body)
    assert first.status_code == 200, first.text
    await one.outcome(first.headers["x-aibox-turn-id"])
    return str(first.headers["x-aibox-turn-id"])


async def test_the_recorded_tools_are_offered_again_when_they_are_asked_for(one: Served) -> None:
    turn_id = await called(one, ("look_up", '{"what":"gate","n":1}'))
    count = len(one.stub.requests)

    shown = await again(one, turn_id, tools=True)

    sent = one.stub.requests[-1]
    assert (sent["tools"], sent["tool_choice"]) == ([TOOL], "auto")
    assert len(one.stub.requests) == count + 1  # what the model called was not carried out
    assert (shown["tools"], shown["is_same"], shown["recorded"]["finish_reason"]) == (1, True, "tool_calls")
    assert [(change["op"], change["replayed"]["name"]) for change in shown["calls"]] == [("equal", "look_up")]
    without = await again(one, turn_id)
    assert without["tools"] == 0
    assert "tools" not in one.stub.requests[-1]


async def test_other_tool_calls_are_shown_call_by_call(one: Served) -> None:
    turn_id = await called(one, ("look_up", '{"what":"gate","n":1}'), ("look_up", '{"n":2}'), ("look_up", "{"))
    one.stub.choices = calling(("look_up", '{ "n": 1, "what": "gate" }'), ("erase", '{"n":2}'))

    shown = await again(one, turn_id, tools=True)

    assert not shown["is_same"]
    changes = [
        (one["op"], *(one[side] and one[side]["name"] for side in ("recorded", "replayed"))) for one in shown["calls"]
    ]
    assert changes == [
        ("equal", "look_up", "look_up"),
        ("replace", "look_up", "erase"),
        ("delete", "look_up", None),
    ]
    assert shown["calls"][2]["recorded"]["arguments"] == "{"


async def test_an_unknown_wish_is_refused(one: Served) -> None:
    turn_id = await asked(one)

    answer = await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live", json={"tool": True})

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_field")


async def test_a_turn_of_another_or_without_a_prompt_or_erased_is_not_asked_again(one: Served) -> None:
    turn_id = await asked(one)
    reported = (await one.client.post("/v1/audit", json={"action": "a.b"})).json()["turn_id"]
    async with await one.member("bob@example.com", "models", "audit:read") as bob:
        assert (await bob.post(f"/v1/audit/turns/{turn_id}/replay/live")).status_code == 404
    assert (await one.client.post(f"/v1/audit/turns/{reported}/replay/live")).json()["code"] == "not_replayable"

    await one.client.post("/v1/audit/erase", json={})

    assert (await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live")).json()["code"] == "not_replayable"


async def test_a_key_for_models_alone_does_not_read_what_a_turn_answered(one: Served) -> None:
    turn_id = await asked(one)
    for scopes, status in ((("models",), 403), (("audit:read",), 403), (("models", "audit:read"), 200)):
        turn = one.turn
        ada = await one.system.identity.user_by_email(turn, "ada@example.com")
        key = await one.system.identity.create_key(turn, user_id=ada.id, name="narrow", scopes=scopes)
        await one.system.log.end(turn, "sealed")
        headers = {"Authorization": f"Bearer {key}"}
        answer = await one.client.post(f"/v1/audit/turns/{turn_id}/replay/live", headers=headers)
        assert answer.status_code == status, scopes
        assert ("forty-two" in answer.text) == (status == 200)

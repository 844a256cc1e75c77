"""An answer under way ends with the credential that asked for it, in every dialect."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.system import Served

ADA = "ada@example.com"
HELLO = [{"role": "user", "content": "Hello"}]
STREAMS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "ok", "stream": True, "messages": HELLO}),
    ("/v1/responses", {"model": "ok", "stream": True, "input": "Hello"}),
    ("/v1/messages", {"model": "ok", "stream": True, "max_tokens": 100, "messages": HELLO}),
    ("/v1/chat/stream", {"messages": HELLO}),
]


async def revocable(one: Served) -> httpx.AsyncClient:
    turn = one.turn
    ada = await one.system.identity.user_by_email(turn, ADA)
    key = await one.system.identity.create_key(turn, user_id=ada.id, name="lost", scopes=["chat", "models"])
    await one.system.log.end(turn, "sealed")
    return httpx.AsyncClient(base_url=one.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


async def revoke(one: Served) -> None:
    turn = one.turn
    ada = await one.system.identity.user_by_email(turn, ADA)
    (key,) = [key for key in await one.system.identity.keys(turn, user_id=ada.id) if key.name == "lost"]
    await one.system.identity.revoke_key(turn, user_id=ada.id, key_id=key.id)
    await one.system.log.end(turn, "sealed")


async def begun(one: Served) -> None:
    """Wait until the provider answers."""
    while not one.stub.in_flight:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("path", "body"), STREAMS, ids=[path for path, _ in STREAMS])
async def test_a_stream_ends_when_its_key_is_revoked(one: Served, path: str, body: dict[str, Any]) -> None:
    one.stub.words, one.stub.token_delay = ("word ",) * 100, 0.1
    async with await revocable(one) as client, client.stream("POST", path, json=body) as answer:
        await begun(one)
        await revoke(one)
        text = "".join([line async for line in answer.aiter_lines()])
    assert "session_revoked" in text
    assert text.count("word ") < 100
    if path != "/v1/chat/stream":  # a run outlives its reader
        assert await one.outcome(answer.headers["x-aibox-turn-id"]) == "denied"


async def test_a_whole_answer_is_not_given_to_a_key_that_was_revoked_meanwhile(one: Served) -> None:
    one.stub.words, one.stub.token_delay = ("word ",) * 40, 0.1
    async with await revocable(one) as client:
        asking = asyncio.create_task(client.post("/v1/chat", json={"messages": HELLO}))
        await begun(one)
        await revoke(one)
        answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked")

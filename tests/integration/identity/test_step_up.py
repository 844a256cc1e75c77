"""What asks for a fresh sign-in on the whole application, and with which scope a key passes (T27)."""

from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import httpx
import pytest

from aibox.core.connections import Urls
from aibox.identity.standing import EVERYBODY
from tests.system import PASSWORD, Served, served


@pytest.fixture
async def one(urls: Urls, tmp_path: Path) -> AsyncGenerator[Served]:
    async with served(urls, tmp_path) as one:
        yield one


async def signed_in(one: Served, urls: Urls, *, minutes: int) -> httpx.AsyncClient:
    """The owner's client, who signed in that long ago."""
    async with httpx.AsyncClient(base_url=one.url) as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada@example.com", "password": PASSWORD})
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE identity.session SET auth_time = now() - make_interval(mins => $1)", minutes)
    await owner.close()
    one.system.identity._standing.forget(EVERYBODY)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.AsyncClient(base_url=one.url, headers=bearer, timeout=30)


async def of_key(one: Served, *scopes: str) -> httpx.AsyncClient:
    user = await one.system.identity.user_by_email(one.turn, "ada@example.com")
    key = await one.system.identity.create_key(one.turn, user_id=user.id, name="k", scopes=scopes)
    return httpx.AsyncClient(base_url=one.url, headers={"X-Api-Key": key}, timeout=30)


async def asked(http: httpx.AsyncClient, turn_id: str) -> list[tuple[int, str]]:
    """What exporting the log, asking a turn again and erasing answer, in this order."""
    answers = [
        await http.get("/v1/admin/audit/export"),
        await http.post(f"/v1/audit/turns/{turn_id}/replay/live"),
        await http.post("/v1/audit/erase", json={}),
    ]
    return [(answer.status_code, "" if answer.is_success else answer.json()["code"]) for answer in answers]


async def a_turn(one: Served) -> str:
    answer = await one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": "Hello"}]})
    turn_id: str = answer.json()["turn_id"]
    await one.outcome(turn_id)
    return turn_id


async def test_t27_an_old_sign_in_neither_exports_nor_replays_nor_erases_and_a_fresh_one_does(
    one: Served, urls: Urls
) -> None:
    turn_id = await a_turn(one)
    async with await signed_in(one, urls, minutes=11) as stale:
        assert await asked(stale, turn_id) == [(401, "insufficient_user_authentication")] * 3
    async with await signed_in(one, urls, minutes=9) as fresh:
        assert await asked(fresh, turn_id) == [(200, "")] * 3


async def test_t27_a_key_is_no_sign_in_and_passes_by_its_scope(one: Served) -> None:
    turn_id = await a_turn(one)
    async with await of_key(one, "admin", "audit:read", "models") as without:
        assert await asked(without, turn_id) == [(200, ""), (200, ""), (403, "insufficient_scope")]
    async with await of_key(one, "erase") as eraser:
        assert await asked(eraser, turn_id) == [
            (403, "insufficient_scope"),
            (403, "insufficient_scope"),
            (200, ""),
        ]


async def test_t27_no_key_makes_keys_or_changes_second_factors(one: Served) -> None:
    async with await of_key(one, "admin", "erase") as key:
        answers = [
            await key.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]}),
            await key.post("/v1/auth/2fa/totp"),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "insufficient_scope")] * 2

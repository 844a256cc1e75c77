"""What keeps tenants and people apart below and behind the routes: rows of P that no walk over the API shows."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from aibox.core.connections import Connections, Urls
from aibox.core.connections import Settings as DatabaseSettings
from aibox.core.db import Database
from aibox.core.turn import Turn, system_turn, uuid7
from tests.conftest import Kernel
from tests.integration.identity.house import House
from tests.system import PASSWORD, Served, served

OF_A_TENANT = """
SELECT n.nspname || '."' || c.relname || '"' FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname !~ '^(pg_|information_schema)'
  AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1
"""
"""Tables and views with a tenant that the role who asks may read."""


async def test_p11_without_a_tenant_the_apps_role_sees_no_row_of_any_table(urls: Urls, scratch: Path) -> None:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        asked = {"messages": [{"role": "user", "content": "What is the answer?"}]}
        chat = (await one.client.post("/v1/chat", json=asked)).json()
        await one.client.post("/v1/memory", json={"content": "I like tea", "memory_type": "user"})
        await one.outcome(chat["turn_id"])
        app, owner = await asyncpg.connect(urls.app), await asyncpg.connect(urls.owner)
        try:
            tables = [row[0] for row in await app.fetch(OF_A_TENANT)]
            stored = {name: await owner.fetchval(f"SELECT count(*) FROM {name}") for name in tables}
            seen = {name: await app.fetchval(f"SELECT count(*) FROM {name}") for name in tables}
            await app.execute("SELECT set_config('app.tenant', $1, false)", str(uuid7()))
            elsewhere = {name: await app.fetchval(f"SELECT count(*) FROM {name}") for name in tables}
        finally:
            await app.close()
            await owner.close()
    assert len(tables) > 20
    assert sum(count > 0 for count in stored.values()) > 8
    assert {name: count for name, count in seen.items() if count} == {}
    assert {name: count for name, count in elsewhere.items() if count} == {}


class Broken(Exception):
    """What goes wrong in the middle of a Work."""


async def test_p12_a_pooled_connection_that_broke_in_one_tenant_shows_nothing_of_it_to_the_next(
    kernel: Kernel, urls: Urls, house: House
) -> None:
    """Whatever ends a Work or a read, the one connection of the pool goes back without a tenant."""
    await house.person("ada")
    links = Connections(DatabaseSettings(pool=1))
    async with links.run(urls):
        db = Database(links, kernel.log)
        for end in (_raises, _is_refused, _is_cancelled, _ends_well):
            await end(db, house.console)
            async with links.app() as connection:
                assert await connection.fetchval("SELECT current_setting('app.tenant', true)") in (None, "")
                assert await connection.fetchval("SELECT count(*) FROM identity.user") == 0
            async with db.read(system_turn(uuid7())) as session:
                assert await session.scalar(text("SELECT count(*) FROM identity.user")) == 0


async def _raises(db: Database, turn: Turn) -> None:
    with contextlib.suppress(Broken):
        async with db.work(turn) as work:
            assert await work.session.scalar(text("SELECT count(*) FROM identity.user")) == 1
            raise Broken


async def _is_refused(db: Database, turn: Turn) -> None:
    with pytest.raises(Exception, match="division by zero"):
        async with db.work(turn) as work:
            await work.session.execute(text("SELECT 1 / 0"))


async def _is_cancelled(db: Database, turn: Turn) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), db.read(turn) as session:
            await session.execute(text("SELECT pg_sleep(30)"))


async def _ends_well(db: Database, turn: Turn) -> None:
    async with db.read(turn) as session:
        assert await session.scalar(text("SELECT count(*) FROM identity.user")) == 1


async def test_p13_live_replay_of_anothers_turn_runs_as_the_caller_and_without_tools(urls: Urls, scratch: Path) -> None:
    tool = {"type": "function", "function": {"name": "rm", "parameters": {"type": "object"}}}
    body = {"model": "ok", "messages": [{"role": "user", "content": "What is the answer?"}], "tools": [tool]}
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        async with await one.member("bob@example.com", "models") as bob:
            turn_id = (await bob.post("/v1/chat/completions", json=body)).headers["x-aibox-turn-id"]
            await one.outcome(turn_id)
            assert one.stub.requests[-1]["tools"] == [tool]
        people = {user.email: user.pseudonym for user in await one.system.identity.users(one.turn)}
        async with await _signed_in(one) as ada:  # asking again takes a fresh sign-in, or a key of its scope
            answer = await ada.post(f"/v1/audit/turns/{turn_id}/replay/live")
        assert answer.status_code == 200, answer.text
        begun = (await one.events(answer.json()["turn_id"]))[0]
    assert (begun["type"], begun["body"]["principal"]) == ("turn_started", people["ada@example.com"])
    assert "tools" not in one.stub.requests[-1]


async def _signed_in(one: Served) -> httpx.AsyncClient:
    async with httpx.AsyncClient(base_url=one.url) as http:
        login = {"username": "ada@example.com", "password": PASSWORD}
        granted: dict[str, Any] = (await http.post("/v1/auth/login", json=login)).json()
    return httpx.AsyncClient(
        base_url=one.url, headers={"Authorization": f"Bearer {granted['access_token']}"}, timeout=30
    )


async def test_p15_an_alias_opens_no_model_that_the_key_may_not_use(urls: Urls, scratch: Path) -> None:
    """The alias `title` leads to the model `echo`. A key of `ok` gets there by no name, and nothing is asked."""
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        turn = one.turn
        await one.system.catalogue.set_role(turn, "title", "echo")
        (owner,) = await one.system.identity.users(turn)
        key = await one.system.identity.create_key(
            turn, user_id=owner.id, name="confined", scopes=["chat", "models"], models=["ok"]
        )
        await one.system.log.end(turn, "sealed")
        body = {"messages": [{"role": "user", "content": "What is the answer?"}]}
        bearer = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=one.url, headers=bearer, timeout=30) as http:
            before = len(one.stub.requests)
            refused = [
                await http.post("/v1/chat/completions", json={**body, "model": name})
                for name in ("title", "echo", "stub/echo", "aibox/title")
            ]
            allowed = await http.post("/v1/chat/completions", json={**body, "model": "ok"})
            asked = len(one.stub.requests) - before
        foreign = await one.client.post("/v1/chat/completions", json={**body, "model": "of-another-tenant"})
        unknown = await one.client.post("/v1/chat/completions", json={**body, "model": "of-nobody-at-all-"})
    assert [answer.status_code for answer in refused[:3]] == [403] * 3
    assert refused[3].status_code in (403, 404)
    assert (allowed.status_code, asked) == (200, 1)
    assert foreign.status_code == unknown.status_code == 404

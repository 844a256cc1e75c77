"""`Database.ask`: one function of the database, confined to the turn's tenant, on one way there and back."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from aibox.core.errors import StateUnavailable
from aibox.core.turn import system_turn
from tests.conftest import Kernel


async def test_a_function_sees_the_turns_tenant_alone_and_leaves_nothing_behind(kernel: Kernel) -> None:
    ours, theirs, user = system_turn(uuid4()), system_turn(uuid4()), uuid4()
    owner = await asyncpg.connect(kernel.urls.owner)
    for turn, is_off in ((ours, True), (theirs, False)):
        await owner.execute("INSERT INTO memory.switch VALUES ($1, $2, $3)", turn.tenant, user, is_off)
    await owner.close()

    for turn, expected in ((ours, [True]), (theirs, [False]), (ours, [True]), (system_turn(uuid4()), [])):
        rows = await kernel.db.ask(turn, "memory.switched_off", user)
        assert [row["is_off"] for row in rows] == expected
        async with kernel.connections.app() as connection:
            assert not await connection.fetchval("SELECT current_setting('app.tenant', true)")
            assert await connection.fetchval("SELECT count(*) FROM memory.switch") == 0


async def test_a_caller_that_leaves_spoils_no_connection(kernel: Kernel) -> None:
    owner = await asyncpg.connect(kernel.urls.owner)
    await owner.execute(
        "CREATE FUNCTION public.slow(of_tenant uuid) RETURNS TABLE (done text) LANGUAGE sql AS"
        " 'SELECT pg_sleep(60)::text'"
    )
    await owner.close()
    turn = system_turn(uuid4())
    for _ in range(20):  # more than the pool has
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await kernel.db.ask(turn, "public.slow")

    assert await kernel.db.ask(turn, "memory.switched_off", uuid4()) == []


async def test_a_database_that_takes_no_connection_is_unavailable(kernel: Kernel) -> None:
    admin = await asyncpg.connect(kernel.urls.owner.replace("aibox_owner@", "postgres@"))
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")

    with pytest.raises(StateUnavailable):
        await kernel.db.ask(system_turn(), "memory.switched_off", uuid4())

    await admin.close()

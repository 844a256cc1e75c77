"""Boot refusals that need a database or a network, by the rows of identity.md's table B."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from aibox.boot import check_database, check_egress
from aibox.core.connections import Urls
from aibox.core.errors import BootRefused
from aibox.core.http import Settings as HttpSettings
from aibox.stores.postgres import buffers_megabytes


async def execute(urls: Urls, *statements: str) -> None:
    """As the superuser of the test's PostgreSQL, in the test's database."""
    connection = await asyncpg.connect(urls.owner.replace("aibox_owner@", "postgres@"))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def role(urls: Urls) -> AsyncGenerator[str]:
    """A role like the app's, for the test to spoil: roles belong to all databases of the run."""
    name = f"app_{secrets.token_hex(4)}"
    await execute(urls, f"CREATE ROLE {name} LOGIN IN ROLE aibox_app")
    yield name
    await execute(urls, f"REASSIGN OWNED BY {name} TO aibox_owner", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def refusal(urls: Urls) -> tuple[str, str]:
    with pytest.raises(BootRefused) as refused:
        await check_database(urls)
    return refused.value.code, str(refused.value)


async def test_a_new_embedded_database_keeps_as_many_pages_as_its_machine_lets_it_at_once(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.app)
    kept = await connection.fetchval("SELECT setting::int / 128 FROM pg_settings WHERE name = 'shared_buffers'")
    await connection.close()
    assert kept == buffers_megabytes()


async def test_the_roles_that_migrations_make_are_accepted(urls: Urls) -> None:
    await check_database(urls)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        ("ALTER ROLE {role} BYPASSRLS", "NOBYPASSRLS"),
        ("ALTER ROLE {role} SUPERUSER", "SUPERUSER"),
        ("ALTER ROLE {role} CREATEROLE", "CREATEROLE"),
        ("ALTER TABLE identity.session OWNER TO {role}", "identity.session"),
        ("GRANT aibox_owner TO {role}", "own no table"),
        ("GRANT UPDATE ON core.event TO {role}", "core.event"),
        ("GRANT UPDATE (data) ON core.event TO {role}", "core.event"),
        ("GRANT DELETE ON core.event TO {role}", "core.event"),
        ("GRANT DELETE ON audit.log TO {role}", "audit.log"),
        ("ALTER TABLE identity.session NO FORCE ROW LEVEL SECURITY", "identity.session"),
        ("ALTER TABLE identity.session DISABLE ROW LEVEL SECURITY", "identity.session"),
    ],
)
async def test_b07_an_app_role_that_could_do_more_than_it_needs_does_not_start(
    urls: Urls, role: str, spoil: str, named: str
) -> None:
    await execute(urls, spoil.format(role=role))
    code, sentence = await refusal(replace(urls, app=urls.app.replace("aibox_app@", f"{role}@")))
    assert code == "boot_db_role"
    assert named in sentence


async def test_b07_a_system_role_that_could_rewrite_events_does_not_start(urls: Urls, role: str) -> None:
    await execute(urls, f"GRANT UPDATE ON core.event TO {role}")
    code, sentence = await refusal(replace(urls, system=urls.app.replace("aibox_app@", f"{role}@")))
    assert (code, "core.event" in sentence) == ("boot_db_role", True)


async def test_b08_commits_that_do_not_wait_for_the_disk_do_not_start(urls: Urls, role: str) -> None:
    await execute(urls, f"ALTER ROLE {role} SET synchronous_commit = off")
    code, sentence = await refusal(replace(urls, app=urls.app.replace("aibox_app@", f"{role}@")))
    assert (code, "synchronous_commit" in sentence) == ("boot_db_durability", True)


async def test_b08_a_server_with_fsync_off_does_not_start(urls: Urls) -> None:
    await execute(urls, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        await _settled(urls, "off")
        assert (await refusal(urls))[0] == "boot_db_durability"
    finally:
        await execute(urls, "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        await _settled(urls, "on")


async def _settled(urls: Urls, value: str) -> None:
    """A reload reaches new connections a moment later."""
    async with asyncio.timeout(10):
        while True:
            connection = await asyncpg.connect(urls.app)
            shown = await connection.fetchval("SHOW fsync")
            await connection.close()
            if shown == value:
                return
            await asyncio.sleep(0.02)


async def test_b09_enforced_egress_with_a_way_past_the_proxy_does_not_start() -> None:
    async def welcome(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = HttpSettings(proxy="http://proxy:3128", enforce=True, probe=f"127.0.0.1:{port}")
    async with server:
        with pytest.raises(BootRefused) as refused:
            await check_egress(settings)
        await check_egress(replace(settings, enforce=False))
    assert refused.value.code == "boot_egress"
    await check_egress(settings)  # nobody answers any more: the way is closed

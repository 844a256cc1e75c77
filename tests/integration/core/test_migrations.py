"""Every lane goes up and down, and every tenant table is confined."""

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from aibox.core.connections import Urls
from aibox.core.errors import BootRefused
from aibox.stores import migrations

SCHEMAS = "nspname NOT LIKE 'pg_%' AND nspname NOT IN ('information_schema', 'public')"


async def test_all_lanes_go_down_to_nothing_and_up_again(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    try:
        before = await connection.fetch(f"SELECT nspname FROM pg_namespace WHERE {SCHEMAS} ORDER BY 1")
        await migrations.migrate(urls.owner, "base")
        assert await connection.fetch(f"SELECT nspname FROM pg_namespace WHERE {SCHEMAS}") == []
        with pytest.raises(BootRefused, match="aibox migrate"):
            await migrations.check(urls.owner)
        await migrations.migrate(urls.owner)
        await migrations.check(urls.app)
        assert await connection.fetch(f"SELECT nspname FROM pg_namespace WHERE {SCHEMAS} ORDER BY 1") == before
    finally:
        await connection.close()


async def test_the_lanes_are_read_as_alembic_reads_them() -> None:
    """The server does not load it to see that its database is at its newest."""
    script = ScriptDirectory.from_config(migrations.config())
    theirs = {}
    for revision in script.walk_revisions():
        below = (revision.down_revision, revision.dependencies)
        theirs[revision.revision] = {name for one in below if one for name in ((one,) if isinstance(one, str) else one)}
    assert {name: set(below) for name, below in migrations.revisions().items()} == theirs


async def test_a_database_of_a_newer_version_refuses_the_start(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    await connection.execute("INSERT INTO public.migration VALUES ('from_the_future')")
    await connection.close()
    with pytest.raises(BootRefused) as refused:
        await migrations.check(urls.owner)
    assert refused.value.code == "boot_schema_new"


async def test_every_table_with_a_tenant_forces_row_level_security_and_keys_by_tenant(urls: Urls) -> None:
    connection = await asyncpg.connect(urls.owner)
    try:
        tables = await connection.fetch(f"""
            SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relrowsecurity, c.relforcerowsecurity,
                   EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant'
                           AND a.attnotnull) AS has_tenant
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND {SCHEMAS}""")
        global_tables = {"core.cursor", "identity.tenant", "stores.collection"}
        for table in tables:
            if table["name"] in global_tables:
                continue
            assert table["has_tenant"], f"{table['name']} has no tenant column"
            assert table["relrowsecurity"], table["name"]
            assert table["relforcerowsecurity"], table["name"]
            keys = await connection.fetch(
                "SELECT indexrelid::regclass::text AS name, 'tenant' = ANY (SELECT attname FROM pg_attribute"
                " WHERE attrelid = indrelid AND attnum = ANY (indkey)) AS by_tenant,"
                " ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey))"
                " AS columns"
                " FROM pg_index WHERE indrelid = $1 AND indisunique",
                table["oid"],
            )
            # A log's origin holds a random id and belongs to one tenant: a key by origin meets no other tenant's.
            unkeyed = {
                key["name"]
                for key in keys
                if not key["by_tenant"] and key["name"] != "core.ix_event_order" and "origin" not in key["columns"]
            }
            assert not unkeyed, f"{table['name']}: {unkeyed}"
        assert len(tables) > 10
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["aibox_app", "aibox_system"])
async def test_no_role_of_the_server_owns_a_table(urls: Urls, role: str) -> None:
    connection = await asyncpg.connect(urls.owner)
    try:
        owned = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tableowner = $1", role)
        bypasses = await connection.fetchval("SELECT rolbypassrls FROM pg_roles WHERE rolname = $1", role)
    finally:
        await connection.close()
    assert owned == 0
    assert bypasses is (role == "aibox_system")

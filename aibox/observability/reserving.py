"""One queue to the books: calls that ask at the same time are decided together, in one round trip."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from aibox.core.errors import AIBoxError, StateUnavailable
from aibox.core.tasks import beside
from aibox.observability.books import Ask, Books, Verdict

log = structlog.get_logger("aibox.observability.reserving")

MOST_AT_ONCE: Final = 256
MOST_WAITING: Final = 20_000
SIBLINGS, SIBLINGS_SECONDS = 2, 0.002
"""Where more than so many asked together last time, others are waited for: as the event log does."""


class Desk:
    """Takes what asks, in order, and hands each its verdict. All rows of a budget are locked by one connection then."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._waiting: asyncio.Queue[tuple[Ask, asyncio.Future[Verdict | None]]] = asyncio.Queue(MOST_WAITING)
        self._left: asyncio.Queue[tuple[UUID, str]] = asyncio.Queue()
        """Calls that have a reservation and a caller that went away before it heard of it."""
        self._is_open = False

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Decide until the block ends; who still waits then hears `StateUnavailable`."""
        try:
            async with beside(tasks, {"budgets.reserve": self._serve(), "budgets.free": self._free()}):
                self._is_open = True
                yield
        finally:
            self._is_open = False
            while not self._waiting.empty():
                _fail([self._waiting.get_nowait()], StateUnavailable())

    async def ask(self, ask: Ask) -> Verdict | None:
        """The verdict of the books. Raises `StateUnavailable`: what cannot be decided is not allowed.

        What is reserved for a caller that is cancelled meanwhile is free again soon after.
        """
        if not self._is_open or self._waiting.full():
            raise StateUnavailable()
        verdict: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((ask, verdict))
        try:
            return await verdict
        except asyncio.CancelledError:
            if verdict.done() and not verdict.cancelled() and verdict.exception() is None:
                self._leave(ask, verdict.result())
            raise

    def _leave(self, ask: Ask, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.verdict != "refused":
            self._left.put_nowait((ask.tenant, ask.call))

    async def _serve(self) -> None:
        siblings = 0
        while True:
            batch = [await self._waiting.get()]
            if siblings > SIBLINGS:
                await asyncio.sleep(SIBLINGS_SECONDS)
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            siblings = len(batch)
            # One whose caller has left asks for nothing any more.
            batch = [(ask, verdict) for ask, verdict in batch if not verdict.done()]
            try:
                verdicts = await self._books.reserve([ask for ask, _ in batch]) if batch else []
            except AIBoxError as error:
                _fail(batch, error)
            except asyncpg.PostgresError as error:
                log.error("budgets.refused_by_database", error=str(error))
                _fail(batch, StateUnavailable())
            except asyncio.CancelledError:
                _fail(batch, StateUnavailable())
                raise
            except Exception:
                # Every caller of every later batch relies on this task going on.
                log.exception("budgets.failed")
                _fail(batch, StateUnavailable())
            else:
                for (ask, waiting), verdict in zip(batch, verdicts, strict=True):
                    if waiting.done():
                        self._leave(ask, verdict)
                    else:
                        waiting.set_result(verdict)

    async def _free(self) -> None:
        """End the reservations of callers that went away: such a call is never announced, so it costs nothing."""
        while True:
            left = [await self._left.get()]
            while not self._left.empty():
                left.append(self._left.get_nowait())
            try:
                await self._books.settle((), left)
            except Exception as error:
                # Every budget relies on this task going on; what it could not free ends at its expiry.
                known = isinstance(error, (AIBoxError, asyncpg.PostgresError))
                log.warning("budgets.not_freed", error=type(error).__name__, exc_info=not known)


def _fail(batch: list[tuple[Ask, asyncio.Future[Verdict | None]]], error: AIBoxError) -> None:
    for _, waiting in batch:
        if not waiting.done():
            waiting.set_exception(type(error)())

"""One queue to the books: calls that ask at the same time are decided together, in one round trip."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import asyncpg
import structlog

from aibox.core.errors import AIBoxError, StateUnavailable
from aibox.observability.books import Ask, Books, Verdict

log = structlog.get_logger("aibox.observability.reserving")

MOST_AT_ONCE: Final = 256
MOST_WAITING: Final = 20_000


class Desk:
    """Takes what asks, in order, and hands each its verdict. All rows of a budget are locked by one connection then."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._waiting: asyncio.Queue[tuple[Ask, asyncio.Future[Verdict | None]]] = asyncio.Queue(MOST_WAITING)
        self._is_open = False

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Decide until the block ends; who still waits then hears `StateUnavailable`."""
        serving = tasks.create_task(self._serve(), name="budgets.reserve")
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            while not self._waiting.empty():
                _fail([self._waiting.get_nowait()], StateUnavailable())

    async def ask(self, ask: Ask) -> Verdict | None:
        """The verdict of the books. Raises `StateUnavailable`: what cannot be decided is not allowed."""
        if not self._is_open or self._waiting.full():
            raise StateUnavailable()
        verdict: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((ask, verdict))
        return await verdict

    async def _serve(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
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
                for (_, waiting), verdict in zip(batch, verdicts, strict=True):
                    if not waiting.done():
                        waiting.set_result(verdict)


def _fail(batch: list[tuple[Ask, asyncio.Future[Verdict | None]]], error: AIBoxError) -> None:
    for _, waiting in batch:
        if not waiting.done():
            waiting.set_exception(type(error)())

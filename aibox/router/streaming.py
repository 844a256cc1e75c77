"""A streamed answer: reads the provider under time limits, checks that it ends as it must, hands on its chunks."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final, Self

from aibox.core.errors import AIBoxError
from aibox.core.http import Broken
from aibox.observability import Usage
from aibox.router import BackendCut, BackendFailed, BackendMalformed, BackendTimeout, Chunk, ToolCall
from aibox.router.adapters.port import Reading
from aibox.router.dialects import chat, sse
from aibox.router.dialects.exchange import Writer
from aibox.router.invocation import Invocation
from aibox.router.upstream import Answering, FailedError

DRAIN_SECONDS: Final = 0.2


class Watch:
    """Reads an answer, and drops it when its next piece does not come in time.

    One timer looks after all pieces: one for each would be a twentieth of what a chunk costs.
    """

    def __init__(self, answer: Answering, *, idle_seconds: float, deadline: float) -> None:
        self._answer = answer
        self._idle_seconds = idle_seconds
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        """When the piece that is waited for must be here."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False

    async def read(self) -> bytes:
        """The next piece, empty at the end. Raises `TimeoutError`, `Broken`."""
        self._due = min(self._loop.time() + self._idle_seconds, self._deadline)
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)
        try:
            return await self._answer.read()
        except Broken:
            if self._is_late:
                raise TimeoutError from None
            raise
        finally:
            self._due = None

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
            return
        self._is_late = True
        self._answer.close()


class LiveStream:
    """See `ModelStream`. Made by `open_stream`; closed by the router when the caller's block ends."""

    def __init__(
        self,
        invocation: Invocation,
        answer: Answering,
        *,
        reading: Reading,
        writer: Writer | None,
        wants_usage: bool,
        ends_turn: bool,
        omitted: tuple[str, ...],
        idle_seconds: float,
        deadline: float,
    ) -> None:
        self.provider = invocation.route.entry.provider.name
        self.model = invocation.route.model.id
        self.attempts = invocation.attempt
        self.context = invocation.route.model.context
        self.omitted = omitted
        self._invocation = invocation
        self._answer = answer
        self._reading = reading
        self._writer = writer
        self._wants_usage = wants_usage
        self._ends_turn = ends_turn
        self._watch = Watch(answer, idle_seconds=idle_seconds, deadline=deadline)
        self._deadline = deadline
        self._splitter = sse.Splitter()
        self._ready: deque[Chunk] = deque()
        self._last: list[Chunk] = []
        self._is_over = False
        self._failure: AIBoxError | None = None
        self._was_cut = False
        self._is_closed = False

    @property
    def usage(self) -> Usage | None:
        return self._invocation.usage

    @property
    def cost_usd(self) -> str | None:
        return self._invocation.cost_usd

    @property
    def finish_reason(self) -> str | None:
        return self._invocation.finish_reason

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        return [ToolCall(**call) for call in self._invocation.transcript.tool_calls]

    @property
    def has_more(self) -> bool:
        return bool(self._ready)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            await (self._end() if self._is_over else self._advance())
        return self._ready.popleft()

    async def begin(self, *, until: float) -> None:
        """Read until the first chunk is here, `until` at the latest. Raises `FailedError` when the stream has none."""
        while not self._ready and not self._is_over:
            await self._advance(until=min(until, self._deadline))
        if not self._ready and not self._last:
            failure = self._failure or BackendMalformed(f"The provider {self.provider} sent an empty answer.")
            raise FailedError(failure, retry=self._was_cut, down=self._was_cut)

    async def close(self) -> None:
        """Drop the provider's call if it still runs, and settle it as left by its caller."""
        if self._is_closed:
            return
        self._is_closed = True
        self._watch.stop()
        self._answer.close()
        await self._invocation.abandon()

    async def _end(self) -> None:
        """Settle; the last chunks are ready then. Raises what the stream failed with."""
        self._is_closed = True
        self._watch.stop()
        self._answer.close()
        if self._failure is not None:
            await self._invocation.settle(code=self._failure.code)
            raise self._failure
        await self._invocation.settle(ends_turn=self._ends_turn)
        if self._writer is not None:
            self._last = self._writer.close(self._reading.end(), self._invocation.usage)
        self._ready.extend(self._last)

    async def _advance(self, *, until: float | None = None) -> None:
        """Take in the next piece: more chunks are ready then, or it is over."""
        try:
            if until is None:
                piece = await self._watch.read()
            else:
                async with asyncio.timeout_at(until):
                    piece = await self._answer.read()
            events = self._splitter.feed(piece) if piece else self._splitter.end()
        except TimeoutError:
            self._fail(BackendTimeout(f"The provider {self.provider} stopped answering."))
            return
        except Broken:
            self._cut()
            return
        except sse.TooLongError:
            self._fail(BackendMalformed(f"The provider {self.provider} sent what is no answer."))
            return
        for data in events:
            self._take(data, is_last_breath=not piece)
            if self._is_over:
                break
        if not piece and not self._is_over:
            self._finish()
        elif self._is_over and self._failure is None and piece:
            await self._drain()

    def _take(self, data: bytes, *, is_last_breath: bool) -> None:
        try:
            seen = self._reading.take(data)
            steps = self._reading.steps() if self._writer is not None else ()
        except chat.MalformedError:
            if is_last_breath:  # a piece of an event: the cut went through it
                self._cut()
            else:
                self._fail(BackendMalformed(f"The provider {self.provider} sent what is no answer."))
            return
        if seen.error is not None:
            self._fail(BackendFailed(f"The provider {self.provider} failed: {seen.error}"))
            return
        if seen.is_last:
            self._is_over = True
            if not self._reading.is_complete:
                self._cut()
                return
        if data == chat.DONE:
            return
        self._invocation.hear(seen)
        if self._writer is not None:
            self._ready.extend(self._writer.write(steps))
        elif self._wants_usage or not seen.is_usage_only:
            chunk = Chunk(data, seen.text, seen.finish_reason, seen.usage, seen.event, seen.is_last)
            (self._last if seen.is_last else self._ready).append(chunk)

    def _finish(self) -> None:
        """The body ended without saying so."""
        if self._reading.is_complete:
            self._is_over = True
        else:
            self._cut()

    def _cut(self) -> None:
        self._was_cut = True
        self._fail(BackendCut(f"The provider {self.provider} cut its answer short."))

    def _fail(self, failure: AIBoxError) -> None:
        self._is_over = True
        self._failure = failure

    async def _drain(self) -> None:
        """Read the end of the body, which mostly is here already: the connection can serve the next call then."""
        with contextlib.suppress(Broken, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while await self._answer.read():
                    pass

"""One call of another AI client as an ASGI application, whatever it speaks: its work, its errors, its turn's end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from litestar.types import Receive, Scope, Send

from aibox.core.errors import AIBoxError, Internal, StateUnavailable, error_body, render
from aibox.core.eventlog import EventLog
from aibox.core.events import TurnFailed
from aibox.core.turn import Turn
from aibox.guardrail import Blocked
from aibox.observability import BudgetExceeded
from aibox.router import Answer, AnswerStream, Counted, Embedded, ModelStream

log = structlog.get_logger("aibox.runtime.calls")

CHECK_SECONDS = 1.0
"""How often it is asked whether the caller's credential still stands, as for the streams of the chat (`sse.py`)."""

MOST_NAMED = 1000
"""The longest list of what was left out, in bytes: a client chose the names."""


class Reply:
    """What goes back to the client. `stream` writes an error that comes after the answer began."""

    def __init__(self, send: Send) -> None:
        self.is_started = False
        self.stream: AnswerStream | None = None
        self._send = send

    async def start(self, headers: list[tuple[bytes, bytes]], *, status: int = 200) -> None:
        self.is_started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def push(self, data: bytes) -> None:
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


Check = Callable[[Turn], Awaitable[None]]
"""Raises when the turn's credential has ended, or its person may do less."""


class Watch:
    """Cancels a call whose credential ends; `error` says how it did. A call of less than a second costs a timer."""

    def __init__(self, task: asyncio.Task[Any], turn: Turn, check: Check) -> None:
        self.error: AIBoxError | None = None
        self._task = task
        self._turn = turn
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(CHECK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _look(self) -> None:
        self._asking = self._loop.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            await self._check(self._turn)
        except StateUnavailable:
            pass  # nobody revokes anything in a database that is away
        except AIBoxError as error:
            self.error = error
            self._task.cancel()
            return
        self._timer = self._loop.call_later(CHECK_SECONDS, self._look)


class CallResponse:
    """Does its `work`, which seals before the last byte; a client that leaves cancels it, and so does the end of its
    credential."""

    def __init__(
        self, events: EventLog, check: Check, turn: Turn, path: str, work: Callable[[Reply], Awaitable[None]]
    ) -> None:
        self._events = events
        self._check = check
        self._turn = turn
        self._path = path
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        watch = asyncio.create_task(_cancel_when_gone(task, receive))
        standing = Watch(task, self._turn, self._check)
        try:
            await self._serve(Reply(send), task, standing)
        except asyncio.CancelledError:
            # Who cancelled: our watch, since the client left, or the server, which wants to stop?
            if not (watch.done() and not watch.cancelled()) or task.uncancel() > 0:
                raise
        finally:
            standing.stop()
            watch.cancel()
            self._events.leave(self._turn)  # what could not be sealed is the reaper's

    async def _serve(self, reply: Reply, task: asyncio.Task[Any], standing: Watch) -> None:
        try:
            await self._work(reply)
        except asyncio.CancelledError:
            if standing.error is not None and task.uncancel() == 0:
                await self._refuse(reply, standing.error, "denied")
                return
            # The client left. The router has closed the provider's call and billed what was used.
            await asyncio.shield(self._events.end(self._turn, "abandoned"))
            raise
        except (Blocked, BudgetExceeded) as refused:
            await self._refuse(reply, refused, "denied")
        except AIBoxError as error:
            await self._refuse(reply, error, "failed")
        except Exception:
            log.exception("call.failed", turn=str(self._turn.id))
            await self._refuse(reply, Internal(), "failed")

    async def _refuse(self, reply: Reply, error: AIBoxError, outcome: str) -> None:
        turn_id = str(self._turn.id)
        try:
            if self._events.is_open(self._turn):
                await self._events.log(self._turn, TurnFailed(code=error.code))
            await self._events.end(self._turn, outcome)
        except AIBoxError as failure:
            log.error("call.not_sealed", turn=turn_id, code=failure.code)  # the reaper seals it
        if reply.is_started:
            body = error_body(error, path=self._path, turn_id=turn_id)
            await reply.end(reply.stream.fail(body) if reply.stream is not None else msgspec.json.encode(body))
            return
        status, headers, rendered = render(error, path=self._path, turn_id=turn_id)
        await reply.start([(k.encode(), v.encode()) for k, v in headers.items()], status=status)
        await reply.end(rendered)


def headers_of(
    answer: Answer | ModelStream | Embedded | Counted, media_type: str = "application/json"
) -> list[tuple[bytes, bytes]]:
    """The headers of a good answer: who gave it, and what of the request was left out."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"cache-control", b"no-store"),
        (b"x-aibox-provider", answer.provider.encode()),
        (b"x-aibox-model", answer.model.encode()),
        (b"x-aibox-attempts", str(answer.attempts).encode()),
    ]
    if isinstance(answer, Counted) and answer.is_estimate:
        headers.append((b"x-aibox-estimated", b"true"))
    omitted = () if isinstance(answer, Embedded | Counted) else answer.omitted
    if omitted:
        named = ", ".join(omitted).encode("ascii", "replace")[:MOST_NAMED]
        headers.append((b"x-aibox-omitted", named.replace(b"\r", b" ").replace(b"\n", b" ")))
    return headers


async def _cancel_when_gone(task: asyncio.Task[Any], receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()

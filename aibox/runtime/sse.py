"""Server-sent events (WHATWG HTML §9.2): a run's events as an ASGI response with heartbeats.

A reader that leaves ends its reading only, never the run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
from litestar.types import Receive, Scope, Send

from aibox.core.errors import AIBoxError, error_body
from aibox.runtime import StreamEvent

HEARTBEAT_SECONDS = 15.0
CHECK_SECONDS = 1.0
"""How often the reader's right to read on is asked for (identity.md, "Revocation within one second")."""
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """`events` as a response. `check` raises when the reader may read no more; the stream then ends with its error."""

    def __init__(
        self,
        events: AsyncIterator[StreamEvent],
        check: Callable[[], Awaitable[None]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._events = events
        self._check = check
        self._headers = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *self._headers]})
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            writing.cancel()
            leaving.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        following = aiter(self._events)
        upcoming: asyncio.Future[StreamEvent] | None = None
        clock = asyncio.get_running_loop().time
        checked = spoke = clock()
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(following))
                await asyncio.wait({upcoming}, timeout=CHECK_SECONDS)
                if clock() - checked >= CHECK_SECONDS:
                    checked = clock()
                    await self._check()
                if not upcoming.done():
                    if clock() - spoke >= HEARTBEAT_SECONDS:
                        spoke = clock()
                        await _send(send, b": heartbeat\n\n")
                    continue
                try:
                    event = upcoming.result()
                except StopAsyncIteration:
                    break
                upcoming = None
                spoke = clock()
                await _send(send, encode(event))
        except AIBoxError as error:
            body = msgspec.json.encode(error_body(error, path="", turn_id=None))
            await _send(send, b"event: error\ndata: %b\n\n" % body)
        finally:
            if upcoming is not None and not upcoming.done():
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def encode(event: StreamEvent) -> bytes:
    """`event:`, `id:` and `data:` lines; the data is JSON and has no line break."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event.name.encode(), event.n, event.data)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

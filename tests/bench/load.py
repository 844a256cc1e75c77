"""A load generator that costs little: prepared bytes over kept connections, timed to the first and the last byte."""

import asyncio
import contextlib
import math
import time
from typing import cast
from urllib.parse import urlsplit

import httptools
import psutil
import uvloop
from msgspec import Struct
from msgspec.structs import replace


class Timings(Struct, frozen=True):
    """Seconds of each request, to its first body byte and to its end, and of the whole run."""

    first: list[float]
    last: list[float]
    wall: float

    def report(self) -> dict[str, float]:
        """Milliseconds, and requests a second."""
        return {
            "p50_ms": quantile(self.last, 0.5),
            "p99_ms": quantile(self.last, 0.99),
            "first_p50_ms": quantile(self.first, 0.5),
            "rps": round(len(self.last) / self.wall, 1),
        }


def quantile(seconds: list[float], q: float) -> float:
    """The `q` quantile by nearest rank, in milliseconds."""
    ordered = sorted(seconds)
    return round(1000 * ordered[max(0, math.ceil(len(ordered) * q) - 1)], 3)


class Failed(Exception):
    """An answer was not what the benchmark measures."""


class Client(asyncio.Protocol):
    """One connection that sends the same request until none is left."""

    def __init__(self, request: bytes, left: list[int], timings: Timings, marker: bytes) -> None:
        self.request = request
        self.left = left
        self.timings = timings
        self.marker = marker
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._next()

    def _next(self) -> None:
        if not self.left[0]:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.left[0] -= 1
        self.parser = httptools.HttpResponseParser(self)
        self.body: list[bytes] = []
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if not self.body:
            self.timings.first.append(time.perf_counter() - self.began)
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.timings.last.append(time.perf_counter() - self.began)
        body = b"".join(self.body)
        if self.parser.get_status_code() != 200 or self.marker not in body:
            self._fail(f"{self.parser.get_status_code()}: {body[:300]!r}")
            return
        asyncio.get_running_loop().call_soon(self._next)  # the parser is still at work on this message

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection was lost: {error}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(Failed(why))
        self.transport.close()


async def _run(url: str, headers: dict[str, str], body: bytes, *, at_once: int, rounds: int, marker: bytes) -> Timings:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    left = [rounds]
    timings = Timings([], [], 0.0)
    begun = time.perf_counter()
    clients = [
        await asyncio.get_running_loop().create_connection(
            lambda: Client(request, left, timings, marker), parts.hostname or "", parts.port or 80
        )
        for _ in range(at_once)
    ]
    await asyncio.gather(*(client.done for _, client in clients))
    return replace(timings, wall=time.perf_counter() - begun)


def load(url: str, key: str, body: bytes, *, at_once: int, rounds: int, marker: bytes, limit: float = 600.0) -> Timings:
    """Send `rounds` requests, `at_once` in flight. Raises `Failed` for any answer without `marker`."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def run() -> Timings:
        return await asyncio.wait_for(_run(url, headers, body, at_once=at_once, rounds=rounds, marker=marker), limit)

    return uvloop.run(run())


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and all its children until now."""
    own = process.cpu_times()
    total = float(own.children_user + own.children_system)
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def rss(process: psutil.Process) -> int:
    """Resident memory in MB."""
    return int(process.memory_info().rss // 1_000_000)

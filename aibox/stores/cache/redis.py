"""The cache that replicas share: Redis or Valkey."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from aibox.core.errors import StateUnavailable

PREFIX = "aibox:"
ANSWER_SECONDS = 2.0


class RedisCache:
    """Keys stand under `aibox:`. A server that does not answer within two seconds is `StateUnavailable`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    async def get(self, key: str) -> bytes | None:
        async with self._server() as server:
            value: bytes | None = await server.get(PREFIX + key)
        return value

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        async with self._server() as server:
            await server.set(PREFIX + key, value, px=_milliseconds(ttl))

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        async with self._server() as server:
            return bool(await server.set(PREFIX + key, value, px=_milliseconds(ttl), nx=True))

    async def count(self, key: str, *, ttl: float, by: int = 1) -> int:
        async with self._server() as server, server.pipeline(transaction=True) as steps:
            steps.set(PREFIX + key, 0, px=_milliseconds(ttl), nx=True)
            steps.incrby(PREFIX + key, by)
            _, value = await steps.execute()
        return int(value)

    async def delete(self, key: str) -> None:
        async with self._server() as server:
            await server.delete(PREFIX + key)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        self._client = redis.from_url(
            self._url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            health_check_interval=30,
            # One more try mends a connection that a restart cut; the client's own three, with pauses, would hang us.
            retry=Retry(NoBackoff(), 1),
        )
        try:
            async with self._server() as server:
                await server.ping()
            yield
        finally:
            await self._client.aclose()
            self._client = None

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[Any]:
        if self._client is None:
            raise StateUnavailable("The cache is not open.")
        try:
            yield self._client
        except (RedisError, OSError, TimeoutError) as error:
            raise StateUnavailable("The cache cannot be reached. Try again shortly.") from error


def _milliseconds(ttl: float) -> int:
    return max(1, round(ttl * 1000))

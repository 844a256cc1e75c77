"""The cache of a single process: a dictionary whose entries expire."""

import contextlib
import heapq
import time
from collections.abc import AsyncGenerator


class MemoryCache:
    """Keeps its entries in this process only. What has expired is dropped as later writes come by."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, float]] = {}
        self._expiries: list[tuple[float, str]] = []

    async def get(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        return entry[0] if entry is not None and time.monotonic() < entry[1] else None

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        self._put(key, value, time.monotonic() + ttl)

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        if await self.get(key) is not None:
            return False
        await self.set(key, value, ttl=ttl)
        return True

    async def count(self, key: str, *, ttl: float, by: int = 1) -> int:
        current = await self.get(key)
        if current is None:
            await self.set(key, str(by).encode(), ttl=ttl)
            return by
        value = int(current) + by
        self._entries[key] = (str(value).encode(), self._entries[key][1])
        return value

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._entries.clear()
            self._expiries.clear()

    def _put(self, key: str, value: bytes, expires: float) -> None:
        self._entries[key] = (value, expires)
        heapq.heappush(self._expiries, (expires, key))
        while self._expiries and self._expiries[0][0] <= time.monotonic():
            _, old = heapq.heappop(self._expiries)
            entry = self._entries.get(old)
            if entry is not None and entry[1] <= time.monotonic():
                del self._entries[old]

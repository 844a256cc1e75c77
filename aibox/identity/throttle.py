"""Slows the guessing of passwords: 5 failures an account, 50 an address, in 15 minutes (L02)."""

import hashlib
import ipaddress
import time

from aibox.core.errors import RateLimited
from aibox.stores import Cache

WINDOW = 15 * 60
PER_ACCOUNT, PER_ADDRESS = 5, 50


class Throttle:
    """Counts in the cache, which replicas share. A cache that cannot answer raises, so nobody signs in meanwhile."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def attempt(self, account: str, address: str) -> None:
        """Count an attempt before it is judged, so that parallel guesses count too. Raises `RateLimited`.

        The name is counted whether there is such an account or not: the limit tells nothing.
        """
        for key, limit in ((_account(account), PER_ACCOUNT), (_address(address), PER_ADDRESS)):
            if await self._count(key) > limit:
                raise RateLimited("Too many failed sign-ins; try again later.", retry_after=await self._remaining(key))

    async def attempt_link(self, address: str) -> None:
        """Count the opening of a one-use link. Raises `RateLimited` beyond 50 that did not open, as for passwords."""
        key = f"link:{_address(address)}"
        if await self._count(key) > PER_ADDRESS:
            raise RateLimited("Too many links were tried; try again later.", retry_after=await self._remaining(key))

    async def succeeded_link(self, address: str) -> None:
        """Take an attempt back: the link opened."""
        await self._cache.count(f"link:{_address(address)}:good", ttl=WINDOW)

    async def attempt_from(self, address: str) -> None:
        """Count an attempt that names no account, such as a passkey's. Raises `RateLimited`."""
        key = _address(address)
        if await self._count(key) > PER_ADDRESS:
            raise RateLimited("Too many failed sign-ins; try again later.", retry_after=await self._remaining(key))

    async def succeeded_from(self, address: str) -> None:
        """Take an attempt back from the address: only failures count."""
        await self._cache.count(f"{_address(address)}:good", ttl=WINDOW)

    async def succeeded(self, account: str, address: str) -> None:
        """Forget the account's failures, and take this attempt back from the address: only failures count."""
        await self._cache.delete(_account(account))
        await self.succeeded_from(address)

    async def _count(self, key: str) -> int:
        count = await self._cache.count(key, ttl=WINDOW)
        if count == 1:
            await self._cache.set(f"{key}:since", str(time.time()).encode(), ttl=WINDOW)
            await self._cache.delete(f"{key}:good")
        return count - int(await self._cache.get(f"{key}:good") or 0)

    async def _remaining(self, key: str) -> int:
        since = float(await self._cache.get(f"{key}:since") or time.time())
        return max(1, round(since + WINDOW - time.time()))


def _account(name: str) -> str:
    return f"signin:account:{hashlib.sha256(name.casefold().encode('utf-8', 'replace')).hexdigest()}"


def _address(address: str) -> str:
    """One IPv6 network of 64 bits counts as one address: a home has one, and all of it to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"signin:address:{address}"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return f"signin:address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"signin:address:{getattr(parsed, 'ipv4_mapped', None) or parsed}"

"""How much one tenant, person and key may ask in a minute, and how many answers may run to a person at once.

Around each route, after the Guard and identity. Counts stand in the cache, which replicas share; a process claims them
in batches, so that most requests ask nobody (docs/decisions/2026-11-rate-leases.md).
"""

import asyncio
import time
from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct, field

from aibox.core.errors import RateLimited
from aibox.core.turn import Turn
from aibox.gateway import LimitsSettings
from aibox.stores import Cache

WINDOW_SECONDS = 60
BATCHES = 20
"""A process claims a twentieth of a limit at a time: what other replicas cannot use of it is at most that."""
SLOT_SECONDS = 120.0
RENEW_SECONDS = 20.0


class Lease(Struct):
    """What this process may still let through in the present window; `is_spent`: the limit is reached everywhere."""

    left: int = 0
    is_spent: bool = False
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        return True


class Rates:
    """Counts by fixed windows of a minute. Never lets through more than a limit, over all replicas together."""

    def __init__(self, cache: Cache, *, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._clock = clock
        self._window = 0
        self._leases: dict[str, Lease] = {}

    async def take(self, name: str, limit: int) -> None:
        """Count one for `name`. Raises `RateLimited` when the limit (0: none) is reached in this minute."""
        if limit == 0:
            return
        now = self._clock()
        window = int(now) // WINDOW_SECONDS
        if window != self._window:
            self._window, self._leases = window, {}
        lease = self._leases.get(name)
        if lease is None:
            lease = self._leases[name] = Lease()
        if lease.take():
            return
        async with lease.claiming:  # what one claims serves all who wait
            if lease.take() or (not lease.is_spent and await self._claim(lease, f"rate:{name}:{window}", limit)):
                return
        raise RateLimited(retry_after=max(1, (window + 1) * WINDOW_SECONDS - int(now)))

    async def _claim(self, lease: Lease, key: str, limit: int) -> bool:
        """Claim the next batch and take one of it; False when the limit is reached."""
        batch = max(1, limit // BATCHES)
        total = await self._cache.count(key, ttl=2 * WINDOW_SECONDS, by=batch)
        lease.left = max(0, min(batch, limit - (total - batch)))
        lease.is_spent = lease.left == 0
        return lease.take()


class Slots:
    """Places for answers that run at once. A crashed process's places come free by themselves after two minutes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def take(self, name: str, limit: int) -> str:
        """A free place. Raises `RateLimited` when all are taken."""
        for number in range(limit):
            slot = f"slot:{name}:{number}"
            if await self._cache.add(slot, b"1", ttl=SLOT_SECONDS):
                return slot
        raise RateLimited("Too many answers are running for you; wait for one to end.", retry_after=1)

    async def renew(self, slot: str) -> None:
        await self._cache.set(slot, b"1", ttl=SLOT_SECONDS)

    async def free(self, slot: str) -> None:
        await self._cache.delete(slot)


class Limits:
    """A Litestar middleware. `opt["rate"]` of a route: `turn` counts as one and takes a place, `stream` takes a place.

    A cache that cannot answer raises `StateUnavailable`: nobody passes uncounted.
    """

    def __init__(self, app: ASGIApp, settings: LimitsSettings, rates: Rates, slots: Slots) -> None:
        self.app = app
        self._settings = settings
        self._rates = rates
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turn: Turn = scope["state"]["turn"]
        principal = turn.principal
        if principal.kind != "user":  # who is nobody yet is counted where they sign in
            await self.app(scope, receive, send)
            return
        kind = scope["route_handler"].opt.get("rate")
        person = f"{principal.tenant}:{principal.id}"
        # The narrowest first: what one person or key asks too much is not taken from their tenant.
        if principal.key_id is not None:
            await self._rates.take(f"key:{principal.tenant}:{principal.key_id}", self._settings.key_per_minute)
        await self._rates.take(f"user:{person}", self._settings.user_per_minute)
        if kind == "turn":
            await self._rates.take(f"turns:{person}", self._settings.turns_per_minute)
        await self._rates.take(f"tenant:{principal.tenant}", self._settings.tenant_per_minute)
        if kind is None or self._settings.streams == 0:
            await self.app(scope, receive, send)
            return
        await self._in_a_slot(person, scope, receive, send)

    async def _in_a_slot(self, person: str, scope: Scope, receive: Receive, send: Send) -> None:
        slot = await self._slots.take(person, self._settings.streams)
        renewed = time.monotonic()

        async def send_renewing(message: Message) -> None:
            nonlocal renewed
            if time.monotonic() - renewed > RENEW_SECONDS:
                renewed = time.monotonic()
                await self._slots.renew(slot)
            await send(message)

        try:
            await self.app(scope, receive, send_renewing)
        finally:
            await self._slots.free(slot)

"""How many calls a provider takes at once, and the line before it: first come first served, with an end to waiting.

Counts are this process's: N replicas let N times as many through.
"""

import asyncio
import time
from collections import deque
from typing import Final
from uuid import UUID

from msgspec import Struct

_SMOOTHING: Final = 0.2
_LONGEST_GUESS: Final = 60.0


class Limits(Struct, frozen=True):
    """`most` calls at once (None: any number), `waiting` in line, none of them longer than `seconds`."""

    most: int | None = None
    waiting: int = 0
    seconds: float = 0.0


class FullError(Exception):
    """The line is too long, or moved too slowly. `seconds`: when to try again, guessed from how long calls take."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Slot:
    """The right to one call. `leave` may be called again: the first one counts."""

    def __init__(self, gate: "Gate") -> None:
        self._gate: Gate | None = gate
        self._since = time.monotonic()

    def leave(self) -> None:
        """Let the next one in."""
        if self._gate is not None:
            gate, self._gate = self._gate, None
            gate.left(time.monotonic() - self._since)


class Gate:
    """The gate of one provider. Its limits come with each call, so that a change of them counts at once."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._most: int | None = None
        self._line: deque[asyncio.Future[None]] = deque()
        self._usual_seconds = 1.0

    @property
    def waiting(self) -> int:
        return sum(not place.done() for place in self._line)

    @property
    def is_used(self) -> bool:
        return bool(self.in_flight or self._line)

    async def enter(self, limits: Limits) -> Slot:
        """A slot, at once where there is room. Raises `FullError`."""
        self._most = limits.most
        self._call_up()
        if self._has_room and not self._line:
            self.in_flight += 1
            return Slot(self)
        if self.waiting >= limits.waiting:
            raise FullError(self._guess())
        await self._wait(limits.seconds)
        return Slot(self)

    def left(self, held_seconds: float) -> None:
        """One call is over, and held its slot for so long."""
        self._usual_seconds += _SMOOTHING * (held_seconds - self._usual_seconds)
        self.in_flight -= 1
        self._call_up()

    async def _wait(self, seconds: float) -> None:
        """Stand in line until whoever leaves hands over a slot, already counted as ours."""
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except BaseException as error:  # cancelled or too late: a slot that was handed over just now goes on
            if place.done() and not place.cancelled():
                self.in_flight -= 1
                self._call_up()
            elif place in self._line:
                self._line.remove(place)
            if isinstance(error, TimeoutError):
                raise FullError(self._guess()) from None
            raise

    @property
    def _has_room(self) -> bool:
        return self._most is None or self.in_flight < self._most

    def _call_up(self) -> None:
        while self._line and self._has_room:
            place = self._line.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def _guess(self) -> float:
        """When the line that stands now may be through."""
        return min(_LONGEST_GUESS, self._usual_seconds * (self.waiting + 1) / max(1, self._most or 1))


class Gates:
    """The gates of all providers."""

    def __init__(self) -> None:
        self._gates: dict[UUID, Gate] = {}

    def keep(self, known: set[UUID]) -> None:
        """Forget the gates of all providers but these, once nobody stands at them."""
        for provider in [one for one, gate in self._gates.items() if one not in known and not gate.is_used]:
            del self._gates[provider]

    def of(self, provider: UUID) -> Gate:
        gate = self._gates.get(provider)
        if gate is None:
            gate = self._gates[provider] = Gate()
        return gate

"""How the models are: what the last calls told, and what the local ones say of themselves. Of this process only.

A model is *ill* after three failures in a row, or when its provider asked for a longer pause. While it cools it is
asked last; then, and until a call succeeds, one call at a time tries it (half-open) and the others go elsewhere.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

from aibox.core.errors import AIBoxError
from aibox.router import LastFailure
from aibox.router.embeddings import MODEL as EMBEDDING_MODEL
from aibox.router.embeddings import Embedder
from aibox.router.local import LocalModel
from aibox.router.snapshot import Route

State = Literal["ok", "down", "unknown"]

FAILURES: Final = 3
PATIENCE_SECONDS: Final = 5.0
"""A pause that a provider asks for is waited out up to this long; a longer one makes its model cool."""
TRIAL_SECONDS: Final = 10.0
"""A trial that takes longer does not keep the next one away."""


class _Standing(Struct):
    """How one model is doing."""

    failures: int = 0
    succeeded: bool = False
    cools_until: float = 0.0
    is_told: bool = False
    """The provider itself named the pause: nobody asks before it is over."""
    trial_until: float = 0.0
    last_failure: LastFailure | None = None

    @property
    def is_ill(self) -> bool:
        return self.is_told or self.failures >= FAILURES

    def is_due(self, now: float) -> bool:
        """Whether its cooling is over and nobody tries it."""
        return now >= self.cools_until and now >= self.trial_until


class Health:
    """Hears how calls ended; says which models to ask first, and whether one may be asked now."""

    def __init__(self, local: LocalModel, embedder: Embedder, *, cooldown_seconds: float) -> None:
        self._local = local
        self._embedder = embedder
        self._cooldown_seconds = cooldown_seconds
        self._standings: dict[tuple[UUID, str], _Standing] = {}

    def ordered(self, routes: Sequence[Route]) -> list[Route]:
        """`routes` with the ill ones last, but for one that is due for a trial."""
        now = time.monotonic()
        return sorted(routes, key=lambda route: self._is_put_off(route, now))

    def admit(self, route: Route) -> float:
        """0 when a call may go now, and it is the trial of a model that is ill; else in how many seconds one may."""
        standing = self._standings.get(_key(route))
        if standing is None or not standing.is_ill:
            return 0.0
        now = time.monotonic()
        if standing.is_told and now < standing.cools_until:
            return standing.cools_until - now
        if now < standing.trial_until:
            return standing.trial_until - now
        standing.trial_until = now + TRIAL_SECONDS
        return 0.0

    def is_ill(self, route: Route) -> bool:
        """Whether only a trial may be made of it, not one call after the other."""
        standing = self._standings.get(_key(route))
        return standing is not None and standing.is_ill

    def succeeded(self, route: Route) -> None:
        """It answered: well again, whatever was."""
        standing = self._of(route)
        if standing.failures or standing.is_told or not standing.succeeded:
            standing.failures = 0
            standing.is_told = False
            standing.succeeded = True
            standing.cools_until = standing.trial_until = 0.0

    def failed(self, route: Route, error: AIBoxError, *, counts: bool, pause: float | None = None) -> None:
        """A call brought `error`. `counts`: nothing that could serve was there; `pause`: what it asked for."""
        standing = self._of(route)
        standing.last_failure = LastFailure(code=error.code, sentence=str(error), at=datetime.now(UTC))
        standing.trial_until = 0.0
        if not counts:
            return
        now = time.monotonic()
        standing.failures += 1
        if pause is not None and pause > PATIENCE_SECONDS:
            standing.is_told = True
            standing.cools_until = max(standing.cools_until, now + pause)
        elif standing.failures >= FAILURES and not (standing.is_told and now < standing.cools_until):
            standing.is_told = False
            standing.cools_until = now + self._cooldown_seconds

    def left(self, route: Route) -> None:
        """A call ended without telling anything, for its caller went away."""
        standing = self._standings.get(_key(route))
        if standing is not None:
            standing.trial_until = 0.0

    def forgive(self, provider: UUID) -> None:
        """The provider answered an administrator's test: whatever cools of it is due for a trial."""
        for (owner, _), standing in self._standings.items():
            if owner == provider:
                standing.cools_until = standing.trial_until = 0.0

    def keep(self, known: set[tuple[UUID, str]]) -> None:
        """Forget all models but these."""
        self._standings = {key: standing for key, standing in self._standings.items() if key in known}

    def of(self, route: Route) -> State:
        if route.entry.provider.type == "local":
            return self._of_local(route)
        standing = self._standings.get(_key(route))
        if standing is None:
            return "unknown"
        if standing.is_ill and time.monotonic() < standing.cools_until:
            return "down"
        return "ok" if standing.succeeded and not standing.failures else "unknown"

    def of_all(self, routes: Sequence[Route]) -> State:
        """A provider's state from its models': down when one is and none is well."""
        states = {self.of(route) for route in routes}
        return "ok" if "ok" in states else "down" if "down" in states else "unknown"

    def cools_until(self, route: Route) -> datetime | None:
        """Until when it is asked last, or not at all; None when it is not cooling."""
        standing = self._standings.get(_key(route))
        left = 0.0 if standing is None or not standing.is_ill else standing.cools_until - time.monotonic()
        return datetime.now(UTC) + timedelta(seconds=left) if left > 0 else None

    def last_failure(self, route: Route) -> LastFailure | None:
        standing = self._standings.get(_key(route))
        return None if standing is None else standing.last_failure

    @property
    def local_problem(self) -> str:
        """Why the local model does not answer, in words; empty when it does, or is not meant to."""
        if self._local.state in ("ready", "off"):
            return ""
        return f"The local model cannot be reached: {self._local.problem or 'it is still starting'}."

    def _is_put_off(self, route: Route, now: float) -> bool:
        standing = self._standings.get(_key(route))
        return standing is not None and standing.is_ill and not standing.is_due(now)

    def _of(self, route: Route) -> _Standing:
        return self._standings.setdefault(_key(route), _Standing())

    def _of_local(self, route: Route) -> State:
        if route.model.id == EMBEDDING_MODEL:
            return "down" if self._embedder.state == "broken" else "ok"
        return "ok" if self._local.state == "ready" and route.model.id == self._local.model else "down"


def _key(route: Route) -> tuple[UUID, str]:
    return route.entry.provider.id, route.model.id

"""How the models are: what the last calls told, and what the local ones say of themselves. Of this process only."""

import time
from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from aibox.router.embeddings import MODEL as EMBEDDING_MODEL
from aibox.router.embeddings import Embedder
from aibox.router.local import LocalModel
from aibox.router.snapshot import Route

State = Literal["ok", "down", "unknown"]

FAILURES: Final = 3
COOLING_SECONDS: Final = 60.0


class Health:
    """Three failures in a row make a model cool for a minute: others are asked first, and it counts as down."""

    def __init__(self, local: LocalModel, embedder: Embedder) -> None:
        self._local = local
        self._embedder = embedder
        self._failures: dict[tuple[UUID, str], int] = {}
        self._cooling: dict[tuple[UUID, str], float] = {}

    def succeeded(self, route: Route) -> None:
        key = _key(route)
        self._failures[key] = 0
        self._cooling.pop(key, None)

    def failed(self, route: Route) -> None:
        key = _key(route)
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= FAILURES:
            self._cooling[key] = time.monotonic() + COOLING_SECONDS

    def ordered(self, routes: Sequence[Route]) -> list[Route]:
        """`routes` with the cooling ones last: they are asked only when nothing else answers."""
        return sorted(routes, key=lambda route: self._is_cooling(_key(route)))

    def of(self, route: Route) -> State:
        if route.entry.provider.type == "local":
            return self._of_local(route)
        key = _key(route)
        if self._is_cooling(key):
            return "down"
        return "ok" if self._failures.get(key) == 0 else "unknown"

    def of_all(self, routes: Sequence[Route]) -> State:
        """A provider's state from its models': down when one is and none is well."""
        states = {self.of(route) for route in routes}
        return "ok" if "ok" in states else "down" if "down" in states else "unknown"

    def _of_local(self, route: Route) -> State:
        if route.model.id == EMBEDDING_MODEL:
            return "down" if self._embedder.state == "broken" else "ok"
        return "ok" if self._local.state == "ready" and route.model.id == self._local.model else "down"

    def _is_cooling(self, key: tuple[UUID, str]) -> bool:
        return self._cooling.get(key, 0.0) > time.monotonic()


def _key(route: Route) -> tuple[UUID, str]:
    return route.entry.provider.id, route.model.id

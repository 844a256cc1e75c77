"""One call on its way to providers, whatever each of them speaks: asked in its words, answered in the client's."""

from functools import cached_property

from aibox.router import ModelCall
from aibox.router.adapters.known import ADAPTERS
from aibox.router.adapters.port import Adapter, Reading
from aibox.router.adapters.responses import left_out
from aibox.router.dialects import chat
from aibox.router.dialects.exchange import Exchange, Writer
from aibox.router.dialects.spoken import TRANSLATABLE
from aibox.router.shim import CAPABILITY, ShimReading, names_of, shimmed
from aibox.router.snapshot import Route


def adapter_of(route: Route) -> Adapter:
    """How the route's provider is spoken to."""
    return ADAPTERS[route.entry.provider.adapter]


class Translation:
    """Read once a call, and only when a provider speaks otherwise; `id` names the answer in the client's dialect."""

    def __init__(self, call: ModelCall, *, id: str) -> None:
        self._call = call
        self._id = id

    def body(self, route: Route, *, stream: bool) -> bytes:
        """The request for the route's provider. Raises `BadRequest`, `ValidationFailed`, `NotTranslatable`."""
        adapter = adapter_of(route)
        if self._passes(route):
            limit = self._limit(route, self._call.max_tokens)
            return adapter.passed(self._call.body, model=route.model.id, stream=stream, limit=limit)
        request = shimmed(self._exchange.request) if self._shims(route) else self._exchange.request
        limit = self._limit(route, self._exchange.max_tokens or self._call.max_tokens)
        return adapter.asked(request, model=route.model.id, stream=stream, limit=limit)

    def headers(self, route: Route) -> dict[str, str]:
        """What goes with the request besides what the adapter says itself."""
        return dict(self._call.headers) if self._passes(route) else {}

    def omitted(self, route: Route) -> tuple[str, ...]:
        """What the route's provider is not told."""
        if not self._passes(route):
            return self._exchange.omitted
        return left_out(self._call.body) if self._call.dialect == "responses" else ()

    def reading(self, route: Route) -> Reading:
        """A reader for the answer of the route's provider."""
        reading = adapter_of(route).reading()
        return ShimReading(reading, names_of(self._exchange.request)) if self._shims(route) else reading

    def writer(self, route: Route, reading: Reading) -> Writer | None:
        """What writes the answer in the client's dialect; None where it passes as it is."""
        if self._passes(route):
            return None
        return self._exchange.writer(reading.told, id=self._id, wants_usage=self._call.wants_usage)

    def _passes(self, route: Route) -> bool:
        return adapter_of(route).dialect == self._call.dialect and not self._shims(route)

    def _shims(self, route: Route) -> bool:
        """Whether the model has no tools of its own and the request speaks of some."""
        if CAPABILITY not in route.model.capabilities:
            return False
        return b'"tool' in self._call.body or b'"function' in self._call.body

    def _limit(self, route: Route, tokens: int | None) -> tuple[str, int] | None:
        return None if tokens is None else (chat.limit_member(route.entry.provider.base_url), tokens)

    @cached_property
    def _exchange(self) -> Exchange:
        return TRANSLATABLE[self._call.dialect].read(self._call.body)

"""The router: finds the models a name leads to, tries them in order, meters what they answer."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from aibox.core.errors import AIBoxError, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.events import Artifact
from aibox.core.http import Broken
from aibox.core.turn import Turn
from aibox.observability import Usage
from aibox.router import (
    ROLES,
    Answer,
    BackendUnavailable,
    Embedded,
    ModelCall,
    ModelStream,
    ModelUnknown,
    RoleNoBackend,
    RoleNotConfigured,
    Settings,
)
from aibox.router.catalogue import CatalogueService
from aibox.router.dialects import chat, embeddings
from aibox.router.embeddings import DIMENSION, Embedder
from aibox.router.health import Health
from aibox.router.invocation import Invocation, Settling
from aibox.router.snapshot import Route
from aibox.router.streaming import LiveStream
from aibox.router.upstream import MOST_ERROR_BYTES, Answering, FailedError, Upstream

RETRY_SECONDS: Final = (0.25, 1.0)
"""The pauses before the second and third try of one model, each between half and the whole of it."""

MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
CHAT: Final = "/chat/completions"
EMBEDDINGS: Final = "/embeddings"

_T = TypeVar("_T")


class RouterService:
    """See `ModelRouter`. Unguarded: what it is given goes out as it is."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalogue: CatalogueService,
        log: EventLog,
        upstream: Upstream,
        embedder: Embedder,
        health: Health,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._log = log
        self._upstream = upstream
        self._embedder = embedder
        self._health = health
        self._settling = Settling()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """At the end of the block, wait until the usage of every call is written."""
        try:
            yield
        finally:
            await self._settling.finish()

    @contextlib.asynccontextmanager
    async def stream(self, turn: Turn, call: ModelCall) -> AsyncGenerator[ModelStream]:
        """See `ModelRouter.stream`."""

        async def begin(invocation: Invocation) -> LiveStream:
            now = asyncio.get_running_loop().time()
            answer = await self._send(invocation, CHAT, self._settings.first_byte_seconds)
            stream = LiveStream(
                invocation,
                answer,
                wants_usage=call.wants_usage,
                idle_seconds=self._settings.idle_seconds,
                deadline=now + self._settings.total_seconds,
            )
            try:
                await _require_stream(invocation, answer)
                await stream.begin(until=now + self._settings.first_byte_seconds)
            except BaseException:  # whoever stops here leaves no call of the provider behind
                answer.close()
                raise
            return stream

        def body(route: Route) -> bytes:
            return _request(call, route, stream=True)

        live = await self._try(turn, call.model, body, begin, stream=True)
        try:
            yield live
        finally:
            await live.close()

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        """See `ModelRouter.complete`."""

        async def ask(invocation: Invocation) -> Answer:
            data = await self._fetch(invocation, CHAT)
            try:
                seen = chat.read(data)
            except chat.MalformedError:
                raise _no_answer(invocation) from None
            if seen.error is not None:
                name = invocation.route.entry.provider.name
                raise FailedError(BackendUnavailable(f"The provider {name} failed: {seen.error}"))
            if not seen.choices:
                raise _no_answer(invocation)
            invocation.hear(seen)
            await invocation.settle(answer=Artifact("application/json", data))
            assert invocation.usage is not None
            return Answer(
                data=data,
                text=seen.text,
                finish_reason=seen.finish_reason,
                usage=invocation.usage,
                provider=invocation.route.entry.provider.name,
                model=invocation.route.model.id,
                attempts=invocation.attempt,
                cost_usd=invocation.cost_usd,
            )

        def body(route: Route) -> bytes:
            return _request(call, route, stream=False)

        return await self._try(turn, call.model, body, ask, stream=False)

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        """See `ModelRouter.embed`."""
        return (await self.embedded(turn, texts, model=model)).vectors if texts else []

    async def embedded(
        self, turn: Turn, texts: Sequence[str], *, model: str = "embedding", dimensions: int | None = None
    ) -> Embedded:
        """See `EmbeddingModels.embedded`."""

        async def ask(invocation: Invocation) -> Embedded:
            if invocation.route.entry.provider.type == "local":
                vectors, tokens = await self._embed_here(invocation, texts)
                invocation.usage = Usage(input_tokens=tokens)
            else:
                data = await self._fetch(invocation, EMBEDDINGS)
                try:
                    vectors, invocation.usage = embeddings.read(data, count=len(texts))
                except chat.MalformedError:
                    raise _no_answer(invocation) from None
                if invocation.usage is None:
                    counted = sum(chat.count_tokens(text) for text in texts)
                    invocation.usage = Usage(input_tokens=counted, estimated=True)
            await invocation.settle()
            _require_length(vectors, dimensions)
            assert invocation.usage is not None
            return Embedded(
                vectors=vectors,
                usage=invocation.usage,
                provider=invocation.route.entry.provider.name,
                model=invocation.route.model.id,
                attempts=invocation.attempt,
            )

        def body(route: Route) -> bytes:
            if route.entry.provider.type == "local" and dimensions not in (None, DIMENSION):
                raise _wrong_length(DIMENSION)
            return embeddings.request(texts, model=route.model.id, dimensions=dimensions)

        return await self._try(turn, model, body, ask, stream=False, embeds=True)

    async def is_external(self, turn: Turn, model: str) -> bool:
        """See `ModelRouter.is_external`."""
        try:
            routes = self._catalogue.shelf(turn.tenant).lead(model)
        except (ModelUnknown, RoleNotConfigured):
            return True
        return any(route.entry.provider.type == "external" for route in routes)

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        """See `ModelRouter.models`."""
        shelf = self._catalogue.shelf(turn.tenant)
        return [
            {
                "id": route.model.id if shelf.named[route.model.id] is route else route.name,
                "object": "model",
                "created": route.entry.created,
                "owned_by": route.entry.provider.name,
                "aibox": {
                    "provider": route.entry.provider.name,
                    "type": route.entry.provider.type,
                    "demonstration": route.model.demonstration,
                    "roles": shelf.aliases(route),
                    "healthy": self._health.of(route) != "down",
                    "context": route.model.context,
                },
            }
            for route in shelf.routes
            if route.entry.provider.enabled
        ]

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        """See `ModelRouter.routes`."""
        shelf = self._catalogue.shelf(turn.tenant)
        return [
            {
                "id": alias,
                "object": "route",
                "models": [
                    {"id": route.name, "healthy": self._health.of(route) != "down"}
                    for route in shelf.roles.get(alias, ())
                    if route.entry.provider.enabled
                ],
            }
            for alias in ROLES
        ]

    async def _try(
        self,
        turn: Turn,
        name: str,
        body: Callable[[Route], bytes],
        act: Callable[[Invocation], Awaitable[_T]],
        *,
        stream: bool,
        embeds: bool = False,
    ) -> _T:
        """`act` on the first model that answers: each is tried up to three times, then the role's next.

        Every try has its `model_invoked` before it and its `model_response` after it; `act` settles a good one.
        """
        routes = self._catalogue.shelf(turn.tenant).lead(name)
        for route in routes:
            _require_fit(route, embeds=embeds)
        failures: list[FailedError] = []
        attempt = 0
        for route in self._health.ordered(routes):
            sent = body(route)
            request = Artifact("application/json", sent)
            for pause in (0.0, *RETRY_SECONDS):
                if pause:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, hides nothing
                attempt += 1
                invocation = Invocation(
                    turn,
                    route,
                    alias=name if name in ROLES else "",
                    attempt=attempt,
                    stream=stream,
                    body=sent,
                    request=request,
                    events=self._log,
                    settling=self._settling,
                )
                try:
                    return await self._attempt(invocation, act)
                except FailedError as failed:
                    failures.append(failed)
                if not failures[-1].retry:
                    break
            if not failures[-1].move_on:
                break
        raise _verdict(name, failures)

    async def _attempt(self, invocation: Invocation, act: Callable[[Invocation], Awaitable[_T]]) -> _T:
        try:
            await invocation.announce()
            result = await act(invocation)
        except FailedError as failed:
            if failed.down:
                self._health.failed(invocation.route)
            await invocation.settle(code=failed.error.code)
            raise
        except BaseException:  # cancelled, or a bug: the call has its end in the log either way
            await invocation.abandon()
            raise
        self._health.succeeded(invocation.route)
        return result

    async def _send(self, invocation: Invocation, endpoint: str, seconds: float) -> Answering:
        """The answer once it began well, within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._upstream.send(invocation.route, endpoint, invocation.body)
        except TimeoutError:
            name = invocation.route.entry.provider.name
            sentence = f"The provider {name} did not begin to answer within {seconds:g} s."
            raise FailedError(BackendUnavailable(sentence), down=True) from None
        invocation.was_accepted = True
        return answer

    async def _fetch(self, invocation: Invocation, endpoint: str) -> bytes:
        """A whole answer within the total time limit."""
        name = invocation.route.entry.provider.name
        until = asyncio.get_running_loop().time() + self._settings.total_seconds
        answer = await self._send(invocation, endpoint, self._settings.total_seconds)
        with contextlib.closing(answer):
            try:
                async with asyncio.timeout_at(until):
                    whole = await answer.whole(limit=MOST_ANSWER_BYTES)
            except TimeoutError:
                sentence = f"The provider {name} did not answer within {self._settings.total_seconds:g} s."
                raise FailedError(BackendUnavailable(sentence)) from None
            except Broken:
                raise FailedError(BackendUnavailable(f"The provider {name} cut its answer short.")) from None
        return whole

    async def _embed_here(self, invocation: Invocation, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        try:
            return await self._embedder.embed(texts)
        except BackendUnavailable as error:
            raise FailedError(error, down=True) from None


def _request(call: ModelCall, route: Route, *, stream: bool) -> bytes:
    limit = {} if call.max_tokens is None else {chat.limit_member(route.entry.provider.base_url): call.max_tokens}
    return chat.rewrite(call.body, model=route.model.id, stream=stream, more=limit)


def _require_fit(route: Route, *, embeds: bool) -> None:
    if embeds and not route.can_embed:
        raise ModelUnknown(f"{route.name} makes no embeddings.")
    if not embeds and not route.can_chat:
        raise ModelUnknown(f"{route.name} makes embeddings; it cannot chat.")


def _require_length(vectors: Sequence[Sequence[float]], dimensions: int | None) -> None:
    if dimensions is not None and vectors and len(vectors[0]) != dimensions:
        raise _wrong_length(len(vectors[0]))


def _wrong_length(length: int) -> ValidationFailed:
    return ValidationFailed(fields=[{"field": "dimensions", "error": f"The model's vectors have {length} numbers."}])


async def _require_stream(invocation: Invocation, answer: Answering) -> None:
    """A web page or a lone JSON object is no stream; an error may hide in it."""
    if "html" in answer.content_type:
        raise _no_answer(invocation)
    if "json" in answer.content_type:
        with contextlib.suppress(Broken, chat.MalformedError):
            seen = chat.read(await answer.whole(limit=MOST_ERROR_BYTES))
            if seen.error is not None:
                name = invocation.route.entry.provider.name
                raise FailedError(BackendUnavailable(f"The provider {name} failed: {seen.error}"))
        raise _no_answer(invocation)


def _no_answer(invocation: Invocation) -> FailedError:
    name = invocation.route.entry.provider.name
    return FailedError(BackendUnavailable(f"The provider {name} sent what is no answer; is its base URL right?"))


def _verdict(name: str, failures: Sequence[FailedError]) -> AIBoxError:
    """What the caller hears: of a role none of whose models is there, that; else the last model's own failure."""
    if name in ROLES and all(failed.down for failed in failures):
        why = f" {failures[-1].error}" if failures else ""
        return RoleNoBackend(f"No model that serves the role {name} can be reached.{why}")
    return failures[-1].error

"""The router: finds the models a name leads to, tries them in order, meters what they answer."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from aibox.core.errors import AIBoxError, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.events import Artifact
from aibox.core.http import Broken
from aibox.core.turn import Turn
from aibox.observability import Budgets, Prices, Usage
from aibox.router import (
    ROLES,
    Answer,
    BackendCooling,
    BackendCut,
    BackendFailed,
    BackendMalformed,
    BackendQueueFull,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    Counted,
    Embedded,
    ModelCall,
    ModelStream,
    ModelUnknown,
    NotTranslatable,
    Operation,
    RoleNoBackend,
    RoleNotConfigured,
    Settings,
)
from aibox.router.catalogue import CatalogueService
from aibox.router.dialects import chat, embeddings, rerank
from aibox.router.embeddings import DIMENSION, Embedder
from aibox.router.gates import FullError, Gates, Limits, Slot
from aibox.router.health import Health
from aibox.router.invocation import Invocation, Settling
from aibox.router.retry_after import header
from aibox.router.snapshot import Route
from aibox.router.streaming import LiveStream
from aibox.router.translation import Translation, adapter_of
from aibox.router.upstream import MOST_ERROR_BYTES, Answering, FailedError, Held, Upstream

RETRIES: Final = (0, 1, 4)
"""The tries of one model: each after so many times the pause, of which between half and the whole is taken."""

MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
EMBEDDINGS: Final = "/embeddings"
RERANK: Final = "/rerank"
COUNT: Final = "/messages/count_tokens"

_T = TypeVar("_T")


class Try(Struct, frozen=True):
    """One call of one model, with its place among the calls that its provider may have at once."""

    invocation: Invocation
    slot: Slot
    deadline: float
    """When the caller's time is up, by the loop's clock."""


class Course:
    """How far a call came on its way through the candidates."""

    def __init__(self, name: str, *, operation: Operation, stream: bool, deadline: float) -> None:
        self.name = name
        self.operation = operation
        self.stream = stream
        self.deadline = deadline
        self.attempts = 0
        self.route: Route | None = None
        self.failures: list[FailedError] = []

    @property
    def alias(self) -> str:
        return self.name if self.name in ROLES else ""

    def headers(self) -> dict[str, str]:
        """Who was asked last, and how often anyone was: also an error says so."""
        told = {"X-Aibox-Attempts": str(self.attempts)}
        if self.route is not None:
            told |= {"X-Aibox-Provider": self.route.entry.provider.name, "X-Aibox-Model": self.route.model.id}
        return told

    def verdict(self) -> AIBoxError:
        """What the caller hears: of a role none of whose models is there, that; else the last model's own failure."""
        pauses = [failed.pause for failed in self.failures if failed.pause is not None]
        error = self.failures[-1].error if self.failures else RoleNoBackend(self._nobody(""))
        if self.alias and all(failed.down for failed in self.failures):
            error = RoleNoBackend(self._nobody(f" {error}" if self.failures else ""))
        if pauses and error.status in (429, 503):
            error.headers["Retry-After"] = header(min(pauses))
        return error

    def _nobody(self, why: str) -> str:
        return f"No model that serves the role {self.name} can be reached.{why}"


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
        gates: Gates,
        budgets: Budgets,
        prices: Prices,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._log = log
        self._upstream = upstream
        self._embedder = embedder
        self._health = health
        self._gates = gates
        self._budgets = budgets
        self._prices = prices
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
        translation = Translation(call, id=turn.id.hex)

        async def begin(one: Try) -> LiveStream:
            until = min(asyncio.get_running_loop().time() + self._settings.first_byte_seconds, one.deadline)
            route = one.invocation.route
            adapter = adapter_of(route)
            answer = await self._send(one, adapter.endpoint, until=until, headers=translation.headers(route))
            reading = translation.reading(route)
            stream = LiveStream(
                one.invocation,
                answer,
                reading=reading,
                writer=translation.writer(route, reading),
                wants_usage=call.wants_usage,
                ends_turn=call.ends_turn,
                omitted=translation.omitted(route),
                idle_seconds=self._settings.idle_seconds,
                deadline=one.deadline,
            )
            try:
                await _require_stream(one.invocation, answer, until=until)
                await stream.begin(until=until)
            except BaseException:  # whoever stops here leaves no call of the provider behind
                answer.close()
                raise
            return stream

        def body(route: Route) -> bytes:
            return translation.body(route, stream=True)

        live = await self._try(turn, call.model, body, begin, stream=True)
        try:
            yield live
        finally:
            await live.close()

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        """See `ModelRouter.complete`."""
        translation = Translation(call, id=turn.id.hex)

        async def ask(one: Try) -> Answer:
            invocation, route = one.invocation, one.invocation.route
            adapter = adapter_of(route)
            data = await self._fetch(one, adapter.endpoint, headers=translation.headers(route))
            reading = translation.reading(route)
            try:
                seen = reading.take(data)
                writer = translation.writer(route, reading)
                steps = [] if writer is None else [*reading.steps(), *reading.end()]
            except chat.MalformedError:
                raise _no_answer(invocation) from None
            if seen.error is not None:
                raise FailedError(BackendFailed(f"The provider {route.entry.provider.name} failed: {seen.error}"))
            if not seen.choices:
                raise _no_answer(invocation)
            invocation.hear(seen)
            await invocation.settle(answer=Artifact("application/json", data), ends_turn=call.ends_turn)
            assert invocation.usage is not None
            return Answer(
                data=data if writer is None else writer.whole(steps, invocation.usage),
                text=seen.text,
                finish_reason=seen.finish_reason,
                usage=invocation.usage,
                provider=route.entry.provider.name,
                model=route.model.id,
                attempts=invocation.attempt,
                cost_usd=invocation.cost_usd,
                omitted=translation.omitted(route),
            )

        def body(route: Route) -> bytes:
            return translation.body(route, stream=False)

        return await self._try(turn, call.model, body, ask, stream=False)

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        """See `ModelRouter.embed`."""
        return (await self.embedded(turn, texts, model=model)).vectors if texts else []

    async def embedded(
        self,
        turn: Turn,
        texts: Sequence[str],
        *,
        model: str = "embedding",
        dimensions: int | None = None,
        body: bytes | None = None,
    ) -> Embedded:
        """See `EmbeddingModels.embedded`."""

        async def ask(one: Try) -> Embedded:
            invocation = one.invocation
            data: bytes | None = None
            if invocation.route.entry.provider.type == "local":
                vectors, tokens = await self._embed_here(one, texts)
                invocation.usage = Usage(input_tokens=tokens)
            else:
                data = await self._fetch(one, EMBEDDINGS)
                try:
                    if body is None:
                        vectors, invocation.usage = embeddings.read(data, count=len(texts))
                    else:
                        vectors, invocation.usage = [], embeddings.usage_of(data, count=len(texts))
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
                data=None if body is None else data,
            )

        def request(route: Route) -> bytes:
            if route.entry.provider.type == "local" and dimensions not in (None, DIMENSION):
                raise _wrong_length(DIMENSION)
            if body is not None and route.entry.provider.type != "local":
                return embeddings.passed(body, model=route.model.id)
            return embeddings.request(texts, model=route.model.id, dimensions=dimensions)

        return await self._try(turn, model, request, ask, stream=False, operation="embeddings")

    async def rerank(self, turn: Turn, question: str, texts: Sequence[str], *, model: str = "rerank") -> list[float]:
        """See `Reranker.rerank`."""

        async def ask(one: Try) -> list[float]:
            invocation = one.invocation
            data = await self._fetch(one, RERANK)
            try:
                relevance, invocation.usage = rerank.read(data, count=len(texts))
            except chat.MalformedError:
                raise _no_answer(invocation) from None
            if invocation.usage is None:
                counted = sum(map(chat.count_tokens, (question, *texts)))
                invocation.usage = Usage(input_tokens=counted, estimated=True)
            await invocation.settle(answer=Artifact("application/json", data))
            return relevance

        def request(route: Route) -> bytes:
            if route.entry.provider.adapter == "anthropic_messages":
                raise NotTranslatable("Anthropic's Messages have no reranking.")
            return rerank.request(question, texts, model=route.model.id)

        return await self._try(turn, model, request, ask, stream=False, operation="rerank")

    async def can_rerank(self, turn: Turn, model: str = "rerank") -> bool:
        """See `Reranker.can_rerank`."""
        try:
            return bool(self._catalogue.shelf(turn.tenant).lead(model))
        except (ModelUnknown, RoleNotConfigured):
            return False

    async def count_tokens(self, turn: Turn, call: ModelCall) -> Counted:
        """See `TokenCounter.count_tokens`. Nothing is logged where nothing leaves the house."""
        translation = Translation(call, id=turn.id.hex)

        async def ask(one: Try) -> Counted:
            invocation, route = one.invocation, one.invocation.route
            invocation.usage = Usage()  # to count costs nothing
            if not _counts(route, call):
                one.slot.leave()
                await invocation.settle()
                return _counted(route, call, invocation.attempt)
            data = await self._fetch(one, COUNT, headers=translation.headers(route))
            try:
                tokens = msgspec.json.decode(data, type=_InputTokens).input_tokens
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise _no_answer(invocation) from None
            await invocation.settle()
            name = route.entry.provider.name
            return Counted(
                tokens=tokens, is_estimate=False, provider=name, model=route.model.id, attempts=invocation.attempt
            )

        def body(route: Route) -> bytes:
            return translation.body(route, stream=False) if _counts(route, call) else call.body

        routes = self._catalogue.shelf(turn.tenant).lead(call.model)
        for route in routes:
            _require_fit(route, "chat")
        if routes and not _counts(routes[0], call):
            return _counted(routes[0], call, 0)
        return await self._try(turn, call.model, body, ask, stream=False)

    async def is_external(self, turn: Turn, model: str) -> bool:
        """See `ModelRouter.is_external`."""
        try:
            routes = self._catalogue.shelf(turn.tenant).lead(model)
        except (ModelUnknown, RoleNotConfigured):
            return True
        return any(route.entry.provider.type == "external" for route in routes)

    async def can(self, turn: Turn, model: str, *capabilities: str) -> bool:
        """See `Abilities.can`."""
        try:
            routes = self._catalogue.shelf(turn.tenant).lead(model)
        except (ModelUnknown, RoleNotConfigured):
            return False
        return all(any(named in route.model.capabilities for named in capabilities) for route in routes)

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
            if route.entry.provider.enabled and _may_ask(turn, route)
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
        act: Callable[[Try], Awaitable[_T]],
        *,
        stream: bool,
        operation: Operation = "chat",
    ) -> _T:
        """`act` on the first model that answers: each is tried up to three times, then the role's next.

        Every try has its `model_invoked` before it and its `model_response` after it; `act` settles a good one.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.total_seconds
        course = Course(name, operation=operation, stream=stream, deadline=deadline)
        try:
            routes = self._catalogue.shelf(turn.tenant).lead(name)
            for route in routes:
                _require_fit(route, operation)
            return await self._pursue(turn, course, self._health.ordered(routes), body, act)
        except AIBoxError as error:
            error.headers.update(course.headers())
            raise

    async def _pursue(
        self,
        turn: Turn,
        course: Course,
        routes: Sequence[Route],
        body: Callable[[Route], bytes],
        act: Callable[[Try], Awaitable[_T]],
    ) -> _T:
        for route in routes:
            if course.failures and asyncio.get_running_loop().time() >= course.deadline:
                break
            course.route = route
            try:
                sent = body(route)
            except NotTranslatable as refused:  # the next one may speak the client's own dialect
                course.failures.append(FailedError(refused))
                continue
            request = Artifact("application/json", sent)
            for times in RETRIES:
                if times and not await self._rest(route, course, times * self._settings.retry_seconds):
                    break
                try:
                    slot = await self._enter(route, course)
                    course.attempts += 1
                    invocation = Invocation(
                        turn,
                        route,
                        alias=course.alias,
                        attempt=course.attempts,
                        stream=course.stream,
                        operation=course.operation,
                        body=sent,
                        request=request,
                        events=self._log,
                        settling=self._settling,
                        budgets=self._budgets,
                        prices=self._prices,
                    )
                    return await self._attempt(Try(invocation, slot, course.deadline), act)
                except FailedError as failed:
                    course.failures.append(failed)
                if not course.failures[-1].retry:
                    break
            if not course.failures[-1].move_on:
                break
        raise course.verdict()

    async def _rest(self, route: Route, course: Course, pause: float) -> bool:
        """Wait before the next try of the same model; False when that would be too long, or in vain."""
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, hides nothing
        pause = max(pause, course.failures[-1].pause or 0.0)
        if self._health.is_ill(route) or asyncio.get_running_loop().time() + pause >= course.deadline:
            return False
        await asyncio.sleep(pause)
        return True

    async def _enter(self, route: Route, course: Course) -> Slot:
        """A slot with the route's provider. Raises `FailedError` when its line is full, or the model is left alone."""
        provider = route.entry.provider
        left = max(0.0, course.deadline - asyncio.get_running_loop().time())
        limits = Limits(provider.max_concurrency, provider.max_waiting, min(provider.queue_seconds, left))
        try:
            slot = await self._gates.of(provider.id).enter(limits)
        except FullError as full:
            sentence = f"Too many calls wait for the provider {provider.name}. Try again shortly."
            raise FailedError(BackendQueueFull(sentence), down=True, pause=full.seconds) from None
        wait = self._health.admit(route)
        if wait:
            slot.leave()
            sentence = f"{route.name} is left alone for {header(wait)} s after it failed."
            raise FailedError(BackendCooling(sentence), down=True, pause=wait)
        return slot

    async def _attempt(self, one: Try, act: Callable[[Try], Awaitable[_T]]) -> _T:
        invocation = one.invocation
        try:
            await invocation.announce()
            result = await act(one)
        except FailedError as failed:
            one.slot.leave()
            self._hear(invocation.route, failed)
            await invocation.settle(code=failed.error.code)
            raise
        except BaseException:  # cancelled, or a bug: the call has its end in the log either way
            one.slot.leave()
            self._health.left(invocation.route)
            await invocation.abandon()
            raise
        self._health.succeeded(invocation.route)
        return result

    def _hear(self, route: Route, failed: FailedError) -> None:
        """Tell health what a failure says of the model; the local one's own supervisor knows better."""
        if isinstance(failed.error, BackendRefused) and not failed.move_on:
            self._health.succeeded(route)  # who refuses a request is there
        else:
            counts = failed.down and route.entry.provider.type != "local"
            self._health.failed(route, failed.error, counts=counts, pause=failed.pause)

    async def _send(self, one: Try, endpoint: str, *, until: float, headers: Mapping[str, str] = {}) -> Answering:
        """The answer once it began well, `until` at the latest; closing it gives the slot back."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(until):
                answer = await self._upstream.send(one.invocation.route, endpoint, one.invocation.body, headers)
        except TimeoutError:
            name = one.invocation.route.entry.provider.name
            sentence = f"The provider {name} did not begin to answer within {until - began:.3g} s."
            raise FailedError(BackendTimeout(sentence), down=True) from None
        one.invocation.was_accepted = True
        return Held(answer, one.slot)

    async def _fetch(self, one: Try, endpoint: str, *, headers: Mapping[str, str] = {}) -> bytes:
        """A whole answer within the total time limit."""
        name = one.invocation.route.entry.provider.name
        answer = await self._send(one, endpoint, until=one.deadline, headers=headers)
        with contextlib.closing(answer):
            try:
                async with asyncio.timeout_at(one.deadline):
                    return await answer.whole(limit=MOST_ANSWER_BYTES)
            except TimeoutError:
                sentence = f"The provider {name} did not answer within {self._settings.total_seconds:g} s."
                raise FailedError(BackendTimeout(sentence)) from None
            except Broken:
                raise FailedError(BackendCut(f"The provider {name} cut its answer short.")) from None

    async def _embed_here(self, one: Try, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        try:
            return await self._embedder.embed(texts)
        except BackendUnavailable as error:
            raise FailedError(error, down=True) from None
        finally:
            one.slot.leave()


def _may_ask(turn: Turn, route: Route) -> bool:
    """Whether the caller's key may ask for the model by its own name."""
    allowed = turn.principal.models
    return allowed is None or not allowed.isdisjoint((route.name, route.model.id))


def _require_fit(route: Route, operation: Operation) -> None:
    if operation == "embeddings" and not route.can_embed:
        raise ModelUnknown(f"{route.name} makes no embeddings.")
    if operation == "rerank" and not route.can_rerank:
        raise ModelUnknown(f"{route.name} does not rerank.")
    if operation == "chat" and not route.can_chat:
        does = "makes embeddings" if route.can_embed else "reranks"
        raise ModelUnknown(f"{route.name} {does}; it cannot chat.")


class _InputTokens(Struct):
    input_tokens: int


def _counts(route: Route, call: ModelCall) -> bool:
    """Whether the route's provider counts a request's tokens for us."""
    return call.dialect == "messages" == adapter_of(route).dialect


def _counted(route: Route, call: ModelCall, attempts: int) -> Counted:
    """Our own count, as the meter's."""
    tokens = chat.count_request_tokens(call.body)
    name = route.entry.provider.name
    return Counted(tokens=tokens, is_estimate=True, provider=name, model=route.model.id, attempts=attempts)


def _require_length(vectors: Sequence[Sequence[float]], dimensions: int | None) -> None:
    if dimensions is not None and vectors and len(vectors[0]) != dimensions:
        raise _wrong_length(len(vectors[0]))


def _wrong_length(length: int) -> ValidationFailed:
    return ValidationFailed(fields=[{"field": "dimensions", "error": f"The model's vectors have {length} numbers."}])


async def _require_stream(invocation: Invocation, answer: Answering, *, until: float) -> None:
    """A web page or a lone JSON object is no stream; an error may hide in it."""
    if "html" in answer.content_type:
        raise _no_answer(invocation)
    if "json" in answer.content_type:
        with contextlib.suppress(Broken, TimeoutError, chat.MalformedError):
            async with asyncio.timeout_at(until):
                seen = adapter_of(invocation.route).reading().take(await answer.whole(limit=MOST_ERROR_BYTES))
            if seen.error is not None:
                name = invocation.route.entry.provider.name
                raise FailedError(BackendFailed(f"The provider {name} failed: {seen.error}"))
        raise _no_answer(invocation)


def _no_answer(invocation: Invocation) -> FailedError:
    name = invocation.route.entry.provider.name
    return FailedError(BackendMalformed(f"The provider {name} sent what is no answer; is its base URL right?"))

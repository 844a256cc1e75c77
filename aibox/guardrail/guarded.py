"""A router that masks what goes to a model and restores what comes back, for callers outside a turn's own steps."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import msgspec

from aibox.core.errors import BadRequest
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Form, Guardrail, OutputFilter, Verdict
from aibox.observability import Usage
from aibox.router import Answer, Chunk, ModelCall, ModelRouter, ModelStream, Reranker, ToolCall

BESIDE = ("refusal", "reasoning_content", "reasoning")
"""Texts of an answer beside its content. In a stream they are left out: no filter follows them."""


class GuardedRouter:
    """`ModelRouter` around another. Raises `Blocked` and `GuardrailUnavailable` besides its errors."""

    def __init__(self, guardrail: Guardrail, router: ModelRouter) -> None:
        self._guardrail = guardrail
        self._router = router

    def stream(self, turn: Turn, call: ModelCall) -> AbstractAsyncContextManager[ModelStream]:
        return self._stream(turn, call)

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        answer = await self._router.complete(turn, await self._masked(turn, call))
        body = msgspec.json.decode(answer.data)
        for holder, member in list(_said(body)):
            holder[member] = await self._shown(turn, holder[member], "json" if member == "arguments" else "text")
        text = await self._shown(turn, answer.text, "text")
        return msgspec.structs.replace(answer, data=msgspec.json.encode(body), text=text)

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        """As the router does in this house, where a token would have no meaning to find by; masked for one outside.

        Raises `Blocked`.
        """
        if await self._router.is_external(turn, model):
            texts = [verdict.content for verdict in await self._checked(turn, texts, external=True)]
        return await self._router.embed(turn, texts, model=model)

    async def is_external(self, turn: Turn, model: str) -> bool:
        return await self._router.is_external(turn, model)

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        return await self._router.models(turn)

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        return await self._router.routes(turn)

    @contextlib.asynccontextmanager
    async def _stream(self, turn: Turn, call: ModelCall) -> AsyncGenerator[ModelStream]:
        async with self._router.stream(turn, await self._masked(turn, call)) as opened:
            yield GuardedStream(opened, self._guardrail.output(turn))

    async def _masked(self, turn: Turn, call: ModelCall) -> ModelCall:
        """`call` with every text of its messages masked. Raises `Blocked`."""
        try:
            body = msgspec.json.decode(call.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise BadRequest() from None
        _require_guardable(call, body)
        places = list(_texts(body))
        external = await self._router.is_external(turn, call.model)
        orders = {number for number, place in enumerate(places) if place.is_order}
        verdicts = await self._checked(turn, [place.text for place in places], external=external, orders=orders)
        for place, verdict in zip(places, verdicts, strict=True):
            place.holder[place.member] = verdict.content
        return msgspec.structs.replace(call, body=msgspec.json.encode(body))

    async def _checked(
        self, turn: Turn, texts: Sequence[str], *, external: bool, orders: Container[int] = ()
    ) -> list[Verdict]:
        verdicts = await self._guardrail.check_input(turn, texts, external=external, instructions=orders)
        for verdict in verdicts:
            if verdict.decision == "block":
                raise Blocked(verdict.reason)
        return verdicts

    async def _shown(self, turn: Turn, text: str, form: Form) -> str:
        output = self._guardrail.output(turn, form=form)
        return await output.push(text) + await output.close()


class GuardedReranker:
    """`Reranker` around another. Raises `Blocked` and `GuardrailUnavailable` besides its errors."""

    def __init__(self, guardrail: Guardrail, reranker: Reranker) -> None:
        self._guardrail = guardrail
        self._reranker = reranker

    async def rerank(self, turn: Turn, question: str, texts: Sequence[str], *, model: str = "rerank") -> list[float]:
        """As the router does in this house; for a model outside, masked, and a text that may not leave is empty."""
        if await self._reranker.is_external(turn, model):
            checked = await self._guardrail.check_input(
                turn, [question, *texts], external=True, untrusted=range(1, len(texts) + 1)
            )
            if checked[0].decision == "block":
                raise Blocked(checked[0].reason)
            question = checked[0].content
            texts = ["" if verdict.decision == "block" else verdict.content for verdict in checked[1:]]
        return await self._reranker.rerank(turn, question, texts, model=model)

    async def can_rerank(self, turn: Turn, model: str = "rerank") -> bool:
        return await self._reranker.can_rerank(turn, model)

    async def is_external(self, turn: Turn, model: str) -> bool:
        return await self._reranker.is_external(turn, model)


class GuardedStream:
    """`ModelStream` whose texts pass an output filter; frames without text pass as they are."""

    def __init__(self, stream: ModelStream, filter: OutputFilter) -> None:
        self._stream = stream
        self._filter = filter
        self.provider = stream.provider
        self.model = stream.model
        self.attempts = stream.attempts
        self.context = stream.context

    @property
    def omitted(self) -> tuple[str, ...]:
        return self._stream.omitted

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        return ()  # a guarded call offers no tools

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def cost_usd(self) -> str | None:
        return self._stream.cost_usd

    @property
    def finish_reason(self) -> str | None:
        return self._stream.finish_reason

    @property
    def has_more(self) -> bool:
        return self._stream.has_more

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        last: Chunk | None = None
        is_closed = False
        async for chunk in self._stream:
            if is_closed or not (chunk.text or chunk.finish_reason):
                yield _with_text(chunk, "")
                continue
            shown = await self._filter.push(chunk.text)
            if chunk.finish_reason:
                shown += await self._filter.close()
                is_closed = True
            last = chunk
            yield _with_text(chunk, shown)
        if not is_closed:
            rest = await self._filter.close()
            if rest and last is not None:
                yield _with_text(last, rest)


class Place(NamedTuple):
    """A text of a request: `holder[member]`. `is_order`: it is our module's own order to the model."""

    holder: dict[str, Any]
    member: str
    is_order: bool

    @property
    def text(self) -> str:
        text: str = self.holder[self.member]
        return text


def _require_guardable(call: ModelCall, body: dict[str, Any]) -> None:
    """Refuse what this router does not filter: our modules ask for one answer in Chat Completions, without tools."""
    if call.dialect != "chat_completions" or body.get("n", 1) != 1 or "tools" in body or "functions" in body:
        raise BadRequest("A guarded call is one Chat Completions answer without tools.")


def _texts(body: dict[str, Any]) -> Iterator[Place]:
    """Where the messages hold text. Raises `BadRequest` for a part that cannot be read, such as an image."""
    for message in body.get("messages", []):
        is_order = message.get("role") in ("system", "developer")
        content = message.get("content")
        if isinstance(content, str):
            yield Place(message, "content", is_order)
        for part in content if isinstance(content, list) else []:
            if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                raise BadRequest("A guarded call has texts only.")
            yield Place(part, "text", is_order)


def _said(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where an answer holds text or the arguments of a tool: the object and its member."""
    for choice in body.get("choices") or []:
        message = choice.get("message") or {}
        functions = [tool.get("function") or {} for tool in message.get("tool_calls") or []]
        yield from ((message, member) for member in ("content", *BESIDE) if isinstance(message.get(member), str))
        yield from ((function, "arguments") for function in functions if isinstance(function.get("arguments"), str))


def _with_text(chunk: Chunk, text: str) -> Chunk:
    """`chunk` with its first choice's text replaced, in the frame too."""
    frame = msgspec.json.decode(chunk.data)
    choices = frame.get("choices") or []
    if choices and isinstance(choices[0].get("delta"), dict):
        delta = {name: value for name, value in choices[0]["delta"].items() if name not in BESIDE}
        choices[0]["delta"] = delta | {"content": text} if text or chunk.text else delta
    return msgspec.structs.replace(chunk, data=msgspec.json.encode(frame), text=text)

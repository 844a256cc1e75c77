"""A router that masks what goes to a model and restores what comes back, for callers outside a turn's own steps."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from aibox.core.errors import BadRequest
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Guardrail, OutputFilter
from aibox.observability import Usage
from aibox.router import Answer, Chunk, ModelCall, ModelRouter, ModelStream


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
        places = list(_said(body))
        written = dict.fromkeys([answer.text, *(holder[member] for holder, member in places)])
        shown = {text: await self._shown(turn, text) for text in written}
        for holder, member in places:
            holder[member] = shown[holder[member]]
        return msgspec.structs.replace(answer, data=msgspec.json.encode(body), text=shown[answer.text])

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        """As the router does: the embedder of this house is local, and a token has no meaning to find by."""
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
        places = list(_texts(body))
        external = await self._router.is_external(turn, call.model)
        texts = [holder[member] for holder, member in places]
        verdicts = await self._guardrail.check_input(turn, texts, external=external)
        for (holder, member), verdict in zip(places, verdicts, strict=True):
            if verdict.decision == "block":
                raise Blocked(verdict.reason)
            holder[member] = verdict.content
        return msgspec.structs.replace(call, body=msgspec.json.encode(body))

    async def _shown(self, turn: Turn, text: str) -> str:
        verdict = await self._guardrail.check_output(turn, text)
        if verdict.decision == "block":
            raise Blocked(verdict.reason)
        return verdict.visible


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
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def cost_usd(self) -> str | None:
        return self._stream.cost_usd

    @property
    def finish_reason(self) -> str | None:
        return self._stream.finish_reason

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        last: Chunk | None = None
        is_closed = False
        async for chunk in self._stream:
            if is_closed or not (chunk.text or chunk.finish_reason):
                yield chunk
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


def _texts(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where the messages hold text: the object and its member."""
    for message in body.get("messages", []):
        content = message.get("content")
        if isinstance(content, str):
            yield message, "content"
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part, "text"


def _said(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where an answer holds text or the arguments of a tool: the object and its member."""
    for choice in body.get("choices") or []:
        message = choice.get("message") or {}
        if isinstance(message.get("content"), str):
            yield message, "content"
        for tool in message.get("tool_calls") or []:
            function = tool.get("function") or {}
            if isinstance(function.get("arguments"), str):
                yield function, "arguments"


def _with_text(chunk: Chunk, text: str) -> Chunk:
    """`chunk` with its first choice's text replaced, in the frame too."""
    frame = msgspec.json.decode(chunk.data)
    choices = frame.get("choices") or []
    if choices and isinstance(choices[0].get("delta"), dict) and (text or chunk.text):
        choices[0]["delta"]["content"] = text
    return msgspec.structs.replace(chunk, data=msgspec.json.encode(frame), text=text)

"""Reads Chat Completions answers, whole or in chunks, as parts that begin, grow and end one after another.

A part is some reasoning, text, refusal, or one call of a tool. Providers may mix the calls of several tools; other
dialects write one thing after another. So the first call grows as it comes, and what begins beside it waits.
"""

import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from aibox.observability import Usage
from aibox.router import BackendUnavailable
from aibox.router.dialects import chat

Kind = Literal["reasoning", "text", "refusal", "tool"]


class Tokens(Struct, frozen=True, kw_only=True):
    """`input` has the `cached` ones in it, and `output` the `reasoning`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


class Begun(Struct, frozen=True, kw_only=True):
    """A part begins: the `number`th of the answer, from 0. `id` and `name` are a tool call's."""

    number: int
    kind: Kind
    id: str = ""
    name: str = ""


class Grown(Struct, frozen=True, kw_only=True):
    """The part that began last has more text; a tool call's are its arguments."""

    text: str
    logprobs: tuple[Any, ...] = ()


class Ended(Struct, frozen=True):
    """The part that began last is whole."""


Step = Begun | Grown | Ended


class _Function(Struct):
    name: str | None = None
    arguments: Any = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Logprobs(Struct):
    content: list[Any] | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: _Logprobs | None = None


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Body(Struct):
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_read = msgspec.json.Decoder(_Body).decode


class _Part(Struct):
    """A part that has not begun to go out; or the open one, whose `grown` is empty."""

    kind: Kind
    id: str = ""
    name: str = ""
    grown: list[Grown] = []


class Parts:
    """Takes the chunks of an answer (or its one body) and tells the steps. Only the first choice is read."""

    def __init__(self) -> None:
        self.model = ""
        self.created = 0
        self.tokens: Tokens | None = None
        self.finish_reason: str | None = None
        self.stop_sequence: str | None = None
        """The sequence that ended the answer, where the provider says so (vLLM)."""
        self._open: _Part | None = None
        self._waiting: list[_Part] = []
        self._calls: dict[int, _Part] = {}
        self._begun = 0

    @property
    def has_called(self) -> bool:
        """Whether the answer calls a tool."""
        return bool(self._calls)

    def take(self, data: bytes) -> list[Step]:
        """The steps that a chunk's payload, or an answer's body, brings. Raises `BackendUnavailable`."""
        try:
            body = _read(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BackendUnavailable("The provider sent what is no answer.") from None
        self.model = self.model or body.model or ""
        self.created = self.created or int(body.created or time.time())
        if body.usage is not None and (tokens := _tokens(body.usage)) is not None:
            self.tokens = tokens
        return [step for choice in body.choices or () if not choice.index for step in self._choice(choice)]

    def end(self) -> list[Step]:
        """The steps that bring every part to its end."""
        steps: list[Step] = [Ended()] if self._open is not None else []
        for part in self._waiting:
            steps += [*self._begin(part), Ended()]
        self._open = None
        self._waiting = []
        return steps

    def count(self, usage: Usage | None) -> Tokens:
        """The tokens as the provider told them, or else those of `usage`."""
        usage = usage or Usage()
        return self.tokens or Tokens(input=usage.input_tokens, output=usage.output_tokens)

    def _choice(self, choice: _Choice) -> Iterator[Step]:
        message = choice.delta or choice.message or _Message()
        for kind, text in _said(message):
            logprobs = choice.logprobs.content if kind == "text" and choice.logprobs is not None else None
            yield from self._grow(self._part(kind), Grown(text=text, logprobs=tuple(logprobs or ())))
        for number, call in enumerate(message.tool_calls or ()):
            yield from self._call(number if call.index is None else call.index, call)
        if message.function_call is not None:
            yield from self._call(0, _Call(function=message.function_call))
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        if isinstance(choice.stop_reason, str):
            self.stop_sequence = choice.stop_reason

    def _part(self, kind: Kind) -> _Part:
        """The part that goes on with `kind`, or a new one."""
        candidates = [*self._waiting, *([self._open] if self._open is not None else [])]
        return next((part for part in candidates if part.kind == kind), None) or _Part(kind)

    def _call(self, index: int, call: _Call) -> Iterator[Step]:
        function = call.function or _Function()
        part = self._calls.get(index)
        # Some providers give every call the index 0, each with an id of its own.
        if part is None or (call.id and part.id and call.id != part.id and function.name):
            part = self._calls[index] = _Part("tool")
        part.id = part.id or call.id or ""
        part.name = part.name or function.name or ""
        arguments = function.arguments
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        yield from self._grow(part, Grown(text=arguments) if arguments else None)

    def _grow(self, part: _Part, grown: Grown | None) -> Iterator[Step]:
        if part is self._open:
            if grown is not None:
                yield grown
            return
        if grown is not None:
            part.grown.append(grown)
        waits_for_name = part.kind == "tool" and not part.name
        if waits_for_name or (self._open is not None and self._open.kind == "tool"):
            if all(part is not waiting for waiting in self._waiting):
                self._waiting.append(part)
            return
        if self._open is not None:
            yield Ended()
        self._waiting = [waiting for waiting in self._waiting if waiting is not part]
        self._open = part
        yield from self._begin(part)

    def _begin(self, part: _Part) -> Iterator[Step]:
        number, self._begun = self._begun, self._begun + 1
        yield Begun(number=number, kind=part.kind, id=part.id, name=part.name)
        yield from part.grown
        part.grown = []


def _said(message: _Message) -> Iterator[tuple[Kind, str]]:
    reasoning = chat.text_of(message.reasoning_content) or chat.text_of(message.reasoning)
    if reasoning:
        yield "reasoning", reasoning
    for item in message.content if isinstance(message.content, list) else [message.content]:
        match item:
            case {"type": "thinking", "thinking": thinking}:  # Mistral
                yield "reasoning", chat.text_of(thinking)
            case _ if text := chat.text_of(item):
                yield "text", text
            case _:
                pass
    if message.refusal:
        yield "refusal", message.refusal


def _tokens(usage: _Usage) -> Tokens | None:
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    read, written = usage.prompt_tokens_details or _Details(), usage.completion_tokens_details or _Details()
    return Tokens(
        input=usage.prompt_tokens or 0,
        cached=min(read.cached_tokens or 0, usage.prompt_tokens or 0),
        output=usage.completion_tokens or 0,
        reasoning=written.reasoning_tokens or 0,
    )

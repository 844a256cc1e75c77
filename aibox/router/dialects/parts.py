"""Answers as parts that begin, grow and end one after another; reads those of Chat Completions, whole or in chunks.

A part is some reasoning, text, refusal, or one call of a tool. Providers may mix the calls of several tools; most
dialects write one thing after another. So the first call grows as it comes, and what begins beside it waits.
"""

import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from aibox.observability import Usage
from aibox.router.dialects import chat

Kind = Literal["reasoning", "text", "refusal", "tool"]


class Tokens(Struct, frozen=True, kw_only=True):
    """`input` has the `cached` ones (read from the provider's cache) and the `written` ones (kept there) in it, and
    `output` the `reasoning`."""

    input: int = 0
    cached: int = 0
    written: int = 0
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


class Part(Struct):
    """A part that has not begun to go out; or the open one, whose `grown` is empty.

    `stays`: it is open until it is finished; another part ends when the next begins.
    """

    kind: Kind
    id: str = ""
    name: str = ""
    stays: bool = True
    grown: list[Grown] = []
    has_text: bool = False
    is_whole: bool = False


class Order:
    """Tells parts one after another: what begins beside an open part that stays, waits until that is finished."""

    def __init__(self) -> None:
        self._open: Part | None = None
        self._waiting: list[Part] = []
        self._begun = 0

    @property
    def unfinished(self) -> list[Part]:
        """The waiting parts, then the open one."""
        return [*self._waiting, *([self._open] if self._open is not None else [])]

    def grow(self, part: Part, grown: Grown | None = None) -> Iterator[Step]:
        """`part` begins, or has more text."""
        if part is self._open:
            if grown is not None:
                yield grown
            return
        if grown is not None:
            part.grown.append(grown)
        waits_for_name = part.kind == "tool" and not part.name
        if waits_for_name or (self._open is not None and self._open.stays):
            if all(part is not waiting for waiting in self._waiting):
                self._waiting.append(part)
            return
        if self._open is not None:
            yield Ended()
        self._waiting = [waiting for waiting in self._waiting if waiting is not part]
        self._open = part
        yield from self._begin(part)

    def finish(self, part: Part) -> Iterator[Step]:
        """`part` is whole: if it was the open one, what waited follows."""
        part.is_whole = True
        if part is not self._open:
            return
        yield Ended()
        self._open = None
        while self._waiting and self._open is None:
            following = self._waiting.pop(0)
            yield from self._begin(following)
            if following.is_whole:
                yield Ended()
            else:
                self._open = following

    def end(self) -> list[Step]:
        """The steps that bring every part to its end."""
        steps: list[Step] = [Ended()] if self._open is not None else []
        for part in self._waiting:
            steps += [*self._begin(part), Ended()]
        self._open = None
        self._waiting = []
        return steps

    def _begin(self, part: Part) -> Iterator[Step]:
        number, self._begun = self._begun, self._begun + 1
        yield Begun(number=number, kind=part.kind, id=part.id, name=part.name)
        yield from part.grown
        part.grown = []


class Told:
    """What an answer tells besides its parts; known bit by bit while it arrives."""

    def __init__(self) -> None:
        self.model = ""
        self.created = 0
        self.tokens: Tokens | None = None
        self.finish_reason: str | None = None
        """As Chat Completions calls it: `stop`, `length`, `tool_calls`, `content_filter`."""
        self.stop_sequence: str | None = None
        """The sequence that ended the answer, where the provider says so."""
        self.has_called = False
        """Whether the answer calls a tool."""

    def count(self, usage: Usage | None) -> Tokens:
        """The tokens as the provider told them, or else those of `usage`."""
        usage = usage or Usage()
        return self.tokens or Tokens(input=usage.input_tokens, output=usage.output_tokens)


class Parts(Told):
    """Takes the chunks of a Chat Completions answer (or its one body) and tells the steps. Only the first choice is
    read."""

    def __init__(self) -> None:
        super().__init__()
        self._order = Order()
        self._calls: dict[int, Part] = {}

    def take(self, data: bytes) -> list[Step]:
        """The steps that a chunk's payload, or an answer's body, brings. Raises `MalformedError`."""
        try:
            body = _read(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise chat.MalformedError(str(error)) from None
        self.model = self.model or body.model or ""
        self.created = self.created or int(body.created or time.time())
        if body.usage is not None and (tokens := _tokens(body.usage)) is not None:
            self.tokens = tokens
        return [step for choice in body.choices or () if not choice.index for step in self._choice(choice)]

    def end(self) -> list[Step]:
        """The steps that bring every part to its end."""
        return self._order.end()

    def _choice(self, choice: _Choice) -> Iterator[Step]:
        message = choice.delta or choice.message or _Message()
        for kind, text in _said(message):
            logprobs = choice.logprobs.content if kind == "text" and choice.logprobs is not None else None
            yield from self._order.grow(self._part(kind), Grown(text=text, logprobs=tuple(logprobs or ())))
        for number, call in enumerate(message.tool_calls or ()):
            yield from self._call(number if call.index is None else call.index, call)
        if message.function_call is not None:
            yield from self._call(0, _Call(function=message.function_call))
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        if isinstance(choice.stop_reason, str):
            self.stop_sequence = choice.stop_reason

    def _part(self, kind: Kind) -> Part:
        """The part that goes on with `kind`, or a new one."""
        found = next((part for part in self._order.unfinished if part.kind == kind), None)
        return found or Part(kind, stays=False)

    def _call(self, index: int, call: _Call) -> Iterator[Step]:
        function = call.function or _Function()
        part = self._calls.get(index)
        # Some providers give every call the index 0, each with an id of its own.
        if part is None or (call.id and part.id and call.id != part.id and function.name):
            part = self._calls[index] = Part("tool")
        self.has_called = True
        part.id = part.id or call.id or ""
        part.name = part.name or function.name or ""
        arguments = function.arguments
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        yield from self._order.grow(part, Grown(text=arguments) if arguments else None)


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

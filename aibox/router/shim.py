"""Tools for small models that have none of their own: told in the prompt, and read out of what the model writes.

The prompt shows each tool as JSON and asks for `{"name": …, "arguments": …}` and nothing else, which models of half a
billion parameters manage far better than tags around it. Both are read, as is a fenced block of code.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from aibox.router.adapters.port import Reading
from aibox.router.dialects import asking
from aibox.router.dialects.asking import Message, Request
from aibox.router.dialects.chat import Seen
from aibox.router.dialects.parts import Begun, Ended, Grown, Kind, Step, Told

CAPABILITY: Final = "tool_shim"
"""The word among a model's capabilities that asks for this."""

MOST_HEAD: Final = 300
"""So long may a call be before its arguments begin; what is longer is no call."""

_ORDERS: Final = """You can use these tools:
{tools}

To use a tool, answer with one JSON object like this, with nothing before or after it:
{{"name": "<the tool's name>", "arguments": {{<its arguments>}}}}
{whether}"""
_MAY: Final = "If no tool helps, answer in plain words."
_MUST: Final = "You must use a tool."


def shimmed(request: Request) -> Request:
    """`request` for a model without tools: they stand in its words, and so do earlier calls and results."""
    tools = request.tools if request.tools is not UNSET else []
    must = request.tool_choice == "required" or isinstance(request.tool_choice, asking.NamedTool)
    if isinstance(request.tool_choice, asking.NamedTool):
        wanted = request.tool_choice.function.name
        tools = [tool for tool in tools if tool.function.name == wanted]
    messages = list(_merged(map(_told, request.messages)))
    if tools and request.tool_choice != "none":
        shown = "\n".join(msgspec.json.encode(tool.function).decode() for tool in tools)
        orders = _ORDERS.format(tools=shown, whether=_MUST if must else _MAY)
        if messages and messages[0].role == "system":
            messages[0] = Message(role="system", content=f"{messages[0].content}\n\n{orders}")
        else:
            messages.insert(0, Message(role="system", content=orders))
    return replace(
        request,
        messages=messages,
        tools=UNSET,
        tool_choice=UNSET,
        parallel_tool_calls=UNSET,
        response_format=_one_of(tools) if must and tools else request.response_format,
    )


def _told(message: Message) -> Message:
    """A message in words alone."""
    if message.role == "tool":
        text = message.content if isinstance(message.content, str) else _text(message.content or [])
        return Message(role="user", content=f"<tool_response>\n{text}\n</tool_response>")
    if message.tool_calls is UNSET or not message.tool_calls:
        return message
    said = message.content if isinstance(message.content, str) else _text(message.content or [])
    calls = [
        msgspec.json.encode(
            {"name": call.function.name, "arguments": asking.arguments(call.function.arguments)}
        ).decode()
        for call in message.tool_calls
    ]
    return Message(role="assistant", content="\n".join([said, *calls] if said else calls))


def _text(parts: list[asking.Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, asking.TextPart))


def _merged(messages: Iterator[Message]) -> Iterator[Message]:
    """Results that follow each other, and the words after them, as one message: templates want turns to alternate."""
    last: Message | None = None
    for message in messages:
        both_say = last is not None and isinstance(last.content, str) and isinstance(message.content, str)
        if last is not None and both_say and last.role == message.role == "user":
            last = Message(role="user", content=f"{last.content}\n{message.content}")
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _one_of(tools: list[asking.Tool]) -> asking.ResponseFormat:
    """The shape of a call of one of `tools`, for servers that hold a model to a schema."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.function.name}, "arguments": asking.parameters(tool.function)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    named = asking.Schema(name="call", schema=Raw(msgspec.json.encode(schema)))
    return asking.ResponseFormat(type="json_schema", json_schema=named)


_HEAD: Final = re.compile(r'\{\s*"name"\s*:\s*"([^"\\]{1,200})"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
_OPENING: Final = re.compile(r"(?:\s|<tool_call>|```(?:json)?|\[|,)*")
_OPENED: Final = re.compile(r"(?:\s|<tool_call>|```(?:json)?|\[|,)*(?:<[tool_call]{0,9}|``?|```js?o?)")
"""An opening that has not come to its end, or may not have."""
_CLOSING: Final = re.compile(r"(?:\s|\}|\]|</tool_call>|```)*")


class _Call(Struct):
    name: str
    arguments: Raw


class ShimReading:
    """See `Reading`: another's, whose text is read for calls of the tools called `names`."""

    def __init__(self, inner: Reading, names: frozenset[str]) -> None:
        self._inner = inner
        self._names = names
        self._kind: Kind | None = None
        self._open: Kind | None = None
        self._number = 0
        self._state: Literal["looking", "saying", "calling", "called"] = "looking"
        self._held = ""
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    @property
    def told(self) -> Told:
        """See `Reading.told`."""
        return self._inner.told

    @property
    def is_complete(self) -> bool:
        """See `Reading.is_complete`."""
        return self._inner.is_complete

    def take(self, data: bytes) -> Seen:
        """See `Reading.take`: the meter and the log hear what the model wrote, not what it meant."""
        return self._inner.take(data)

    def steps(self) -> list[Step]:
        """See `Reading.steps`."""
        return [told for step in self._inner.steps() for told in self._step(step)]

    def end(self) -> list[Step]:
        """See `Reading.end`."""
        steps = [told for step in self._inner.end() for told in self._step(step)]
        steps += [*self._flush(), *self._close()]
        if self.told.has_called and self.told.finish_reason == "stop":
            self.told.finish_reason = "tool_calls"
        return steps

    def _step(self, step: Step) -> Iterator[Step]:
        match step:
            case Begun():
                self._kind = step.kind
            case Grown() if self._kind == "text":
                yield from self._read(step.text)
            case Grown() if self._kind is not None:
                yield from self._say(self._kind, step.text)
            case _:
                pass  # parts end when the next one begins

    def _read(self, text: str) -> Iterator[Step]:
        """Tell more of the model's text, or hold it while it may be a call."""
        text = self._held + text
        self._held = ""
        while text:
            match self._state:
                case "looking":
                    text, steps = self._look(text)
                case "calling":
                    text, steps = self._argue(text)
                case "called":
                    text, steps = self._close_call(text)
                case "saying":
                    text, steps = self._talk(text)
            yield from steps
            if self._held:
                return

    def _look(self, text: str) -> tuple[str, list[Step]]:
        """Whether a call begins here. What could still become one is held."""
        opening = _OPENING.match(text)
        rest = text[opening.end() :] if opening is not None else text
        if head := _HEAD.match(rest):
            if head[1] not in self._names:
                self._state = "saying"
                return text, []
            self._state, self._depth = "calling", 0
            return rest[head.end() :], [*self._close(), *self._begin("tool", head[1])]
        could = not rest or rest.startswith("{") or _OPENED.fullmatch(text) is not None
        if could and len(text) < MOST_HEAD:
            self._held = text
        else:
            self._state = "saying"
        return text, []

    def _talk(self, text: str) -> tuple[str, list[Step]]:
        """Words; a tagged call may stand among them."""
        tag = text.find("<")
        if tag < 0:
            return "", list(self._say("text", text))
        said = list(self._say("text", text[:tag]))
        if text.startswith("<tool_call>", tag):
            self._state = "looking"
            return text[tag:], said
        if "<tool_call>".startswith(text[tag:]):
            self._held = text[tag:]
            return self._held, said
        return text[tag + 1 :], [*said, *self._say("text", "<")]

    def _argue(self, text: str) -> tuple[str, list[Step]]:
        """Arguments, to the end of their object."""
        for at, character in enumerate(text):
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif character == "\\":
                    self._is_escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._state = "called"
                    return text[at + 1 :], [Grown(text=text[: at + 1]), *self._close()]
        return "", [Grown(text=text)]

    def _close_call(self, text: str) -> tuple[str, list[Step]]:
        """What closes a call says nothing; another call may follow."""
        closing = _CLOSING.match(text)
        rest = text[closing.end() :] if closing is not None else text
        if any(name.startswith(rest) for name in ("</tool_call>", "```")) and rest:
            self._held = rest
            return rest, []
        if rest:
            self._state = "looking"
        return rest, []

    def _flush(self) -> Iterator[Step]:
        """At the end: what was held is words, unless it is a call whose members stand in another order."""
        held, self._held = self._held, ""
        if self._state == "called" or not held:
            return
        opening = _OPENING.match(held)
        rest = held[opening.end() :] if opening is not None else held
        try:
            call = msgspec.json.decode(rest.removesuffix("```").removesuffix("</tool_call>"), type=_Call)
        except msgspec.DecodeError:
            yield from self._say("text", held)
            return
        if call.name in self._names:
            yield from [*self._close(), *self._begin("tool", call.name)]
            yield Grown(text=bytes(call.arguments).decode())
        else:
            yield from self._say("text", held)

    def _say(self, kind: Kind, text: str) -> Iterator[Step]:
        if not text:
            return
        if self._open != kind:
            yield from self._close()
            yield from self._begin(kind)
        yield Grown(text=text)

    def _begin(self, kind: Kind, name: str = "") -> Iterator[Step]:
        number, self._number = self._number, self._number + 1
        self._open = kind
        self.told.has_called = self.told.has_called or kind == "tool"
        yield Begun(number=number, kind=kind, name=name)

    def _close(self) -> Iterator[Step]:
        if self._open is not None:
            self._open = None
            yield Ended()


def names_of(request: Request) -> frozenset[str]:
    """The tools that may be called."""
    tools: Any = request.tools if request.tools is not UNSET and request.tool_choice != "none" else ()
    return frozenset(tool.function.name for tool in tools)

"""Chat Completions: the few members we set in a request, and the few we read out of answers and chunks.

Everything else passes as it is, byte for byte: members are kept as `msgspec.Raw` and never decoded.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from aibox.core.errors import BadRequest
from aibox.observability import Usage
from aibox.router.dialects import members

DONE = b"[DONE]"
MESSAGE_TOKENS = 4
"""What a chat template puts around a message, about."""

_FALSE = Raw(b"false")
_encode = msgspec.json.Encoder().encode


class MalformedError(ValueError):
    """What a provider sent is not JSON of the shape that Chat Completions has."""


def rewrite(body: bytes, *, model: str, stream: bool, more: Mapping[str, int] | None = None) -> bytes:
    """`body` for the provider: `model`, `stream` and `more` members set, and a stream asked for its usage.

    Raises `BadRequest` when `body` is not a JSON object with messages.
    """
    found = members.decoded(body)
    if "messages" not in found:
        raise BadRequest("The body has no member `messages`.")
    found["model"] = members.encoded(model)
    found["stream"] = members.TRUE if stream else _FALSE
    for name, value in (more or {}).items():
        found[name] = members.encoded(value)
    if not stream:
        found.pop("stream_options", None)
        return _encode(found)
    given = found.get("stream_options")
    options: dict[str, Raw] = {}
    if given is not None and bytes(given) != b"null":
        options = members.decoded(bytes(given), "`stream_options` is not a JSON object.")
    options["include_usage"] = members.TRUE
    found["stream_options"] = members.encoded(options)
    return _encode(found)


def limit_member(base_url: str) -> str:
    """How the provider at `base_url` calls a limit of tokens.

    OpenAI's newer models refuse `max_tokens`, and most other servers do not know what it is called there instead.
    """
    is_openai = (urlsplit(base_url).hostname or "").endswith(("api.openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if is_openai else "max_tokens"


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _UsageMembers(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Message(Struct):
    """A delta of a chunk or the message of an answer; `content` is text, or a list of parts at some providers."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None
    usage: _UsageMembers | None = None
    error: Any = None
    object: str | None = None
    message: Any = None


_read = msgspec.json.Decoder(_Body).decode


class ToolDelta(Struct, frozen=True):
    """A piece of a tool call."""

    choice: int
    index: int
    id: str
    name: str
    arguments: str


class Seen(Struct, frozen=True):
    """What we read out of a chunk or an answer.

    `open` and `finished` are the indexes of the choices that go on and that end here; `hidden` counts characters that
    cost tokens but are not the answer's text (reasoning). `event` is its name where events have names; nothing of the
    answer follows the one that `is_last`.
    """

    choices: int = 0
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    is_usage_only: bool = False
    error: str | None = None
    open: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    tools: tuple[ToolDelta, ...] = ()
    hidden: int = 0
    event: str = ""
    is_last: bool = False


def read(data: bytes) -> Seen:
    """What a chunk's payload or an answer's body says. Raises `MalformedError`."""
    try:
        body = _read(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if body.error is not None or body.object == "error":
        return Seen(error=sentence(body.error if body.error is not None else body.message) or "an error without words")
    choices = body.choices or []
    usage = _usage(body.usage)
    if len(choices) == 1:
        return _one(choices[0], usage)
    seen = [_one(choice, None, number) for number, choice in enumerate(choices)]
    return Seen(
        choices=len(choices),
        text="".join(item.text for item in seen),
        finish_reason=next((item.finish_reason for item in seen if item.finish_reason), None),
        usage=usage,
        is_usage_only=not choices and usage is not None,
        open=tuple(index for item in seen for index in item.open),
        finished=tuple(index for item in seen for index in item.finished),
        tools=tuple(tool for item in seen for tool in item.tools),
        hidden=sum(item.hidden for item in seen),
    )


def _one(choice: _Choice, usage: Usage | None, number: int = 0) -> Seen:
    index = number if choice.index is None else choice.index
    message = choice.delta or choice.message or _Message()
    ends = choice.finish_reason is not None
    return Seen(
        choices=1,
        text=text_of(message.content) + (message.refusal or ""),
        finish_reason=choice.finish_reason,
        usage=usage,
        open=() if ends else (index,),
        finished=(index,) if ends else (),
        tools=tuple(_tools(index, message)) if message.tool_calls or message.function_call else (),
        hidden=len(text_of(message.reasoning_content) or text_of(message.reasoning)),
    )


def _tools(choice: int, message: _Message) -> Iterator[ToolDelta]:
    """The calls of tools; before there were tools, a function was called."""
    calls = message.tool_calls or [_ToolCall(function=message.function_call)]
    for number, call in enumerate(calls):
        function = call.function or _Function()
        arguments = function.arguments
        yield ToolDelta(
            choice=choice,
            index=number if call.index is None else call.index,
            id=call.id or "",
            name=function.name or "",
            arguments=arguments if isinstance(arguments, str) else "" if arguments is None else _as_json(arguments),
        )


def _usage(told: _UsageMembers | None) -> Usage | None:
    """Zero usage is not missing usage; an object without numbers is."""
    if told is None or (told.prompt_tokens is None and told.completion_tokens is None):
        return None
    read, written = told.prompt_tokens_details, told.completion_tokens_details
    if read is None and written is None:
        return Usage(input_tokens=told.prompt_tokens or 0, output_tokens=told.completion_tokens or 0)
    return Usage(
        input_tokens=told.prompt_tokens or 0,
        output_tokens=told.completion_tokens or 0,
        cached_tokens=(read.cached_tokens or 0) if read is not None else 0,
        reasoning_tokens=(written.reasoning_tokens or 0) if written is not None else 0,
    )


def text_of(content: object) -> str:
    """The text of a `content`: a string, or a list of parts with a member `text`."""
    match content:
        case str():
            return content
        case list():
            return "".join(text_of(part) for part in content)
        case {"text": text}:
            return text_of(text)
        case _:
            return ""


def _as_json(value: object) -> str:
    return _encode(value).decode()


class Transcript:
    """An answer put together from what was read, for the log: its text and its tool calls."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[tuple[int, int], dict[str, str]] = {}
        self._hidden = 0

    def add(self, seen: Seen) -> None:
        """Take in what a chunk or an answer said."""
        if seen.text:
            self._texts.append(seen.text)
        self._hidden += seen.hidden
        for tool in seen.tools:
            call = self._calls.setdefault((tool.choice, tool.index), {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or tool.id
            call["name"] = call["name"] or tool.name
            call["arguments"] += tool.arguments

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def tool_calls(self) -> list[dict[str, str]]:
        """`{"id", "name", "arguments"}` of each call, in order."""
        return [call for _, call in sorted(self._calls.items())]

    @property
    def is_empty(self) -> bool:
        return not (self._texts or self._calls or self._hidden)

    def tokens(self) -> int:
        """About how many tokens it has; for a provider that does not say."""
        calls = sum(count_tokens(call["name"] + call["arguments"]) for call in self._calls.values())
        return count_tokens(self.text) + calls + (self._hidden + 3) // 4


def count_tokens(text: str) -> int:
    """About how many tokens `text` has: four ASCII characters one, every other character one."""
    ascii_characters = len(text.encode("ascii", "ignore"))
    return (ascii_characters + 3) // 4 + len(text) - ascii_characters


def count_request_tokens(body: bytes) -> int:
    """About how many tokens a request's messages and tools have, in any dialect."""
    try:
        request = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    total = count_tokens(_as_json(request["tools"])) if request.get("tools") else 0
    for orders in (request.get("system"), request.get("instructions")):
        total += MESSAGE_TOKENS + count_tokens(text_of(orders)) if orders else 0
    given = request.get("messages", request.get("input"))
    if isinstance(given, str):
        return total + MESSAGE_TOKENS + count_tokens(given)
    for message in given if isinstance(given, list) else ():
        if isinstance(message, dict):
            total += MESSAGE_TOKENS + _weight(message.get("content"))
            for calls in (message.get("tool_calls"), message.get("arguments"), message.get("output")):
                total += count_tokens(calls if isinstance(calls, str) else _as_json(calls)) if calls else 0
    return total


def _weight(content: object) -> int:
    """The tokens of a content: its texts, and what tools were given and gave."""
    match content:
        case str():
            return count_tokens(content)
        case list():
            return sum(map(_weight, content))
        case {"text": inner} | {"content": inner}:
            return _weight(inner)
        case {"input": given}:
            return count_tokens(_as_json(given))
        case _:
            return 0


def error_sentence(body: bytes) -> str:
    """The provider's own sentence in an error body: OpenAI's object, a plain string, or `detail`; else empty."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return sentence(value)


def sentence(value: object) -> str:
    """The sentence in an error's value, fit to show; empty when there is none."""
    match value:
        case str():
            return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:300]
        case {"error": inner} | {"message": inner} | {"detail": inner} | {"msg": inner}:
            return sentence(inner)
        case [first, *_]:
            return sentence(first)
        case _:
            return ""

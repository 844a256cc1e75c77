"""Requests as values, in Chat Completions' words: what every dialect is read into and every provider is asked from."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from aibox.core.errors import BadRequest, ValidationFailed
from aibox.router import NotTranslatable

T = TypeVar("T")


class ImageUrl(Struct, frozen=True, omit_defaults=True):
    """`url` may be a data URL."""

    url: str
    detail: str | UnsetType = UNSET


class File(Struct, frozen=True):
    filename: str
    file_data: str


class TextPart(Struct, frozen=True, tag="text"):
    text: str


class ImagePart(Struct, frozen=True, tag="image_url"):
    image_url: ImageUrl


class FilePart(Struct, frozen=True, tag="file"):
    file: File


Part = TextPart | ImagePart | FilePart


class CalledFunction(Struct, frozen=True):
    """`arguments` are JSON as the model wrote it."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Struct, kw_only=True, omit_defaults=True):
    """A message; calls of tools are added to it while a request is read."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Part] | None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET

    def call(self, call: ToolCall) -> None:
        """Add a call to an assistant's message."""
        self.tool_calls = [*(self.tool_calls or []), call]


class Function(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    description: str | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class Tool(Struct, frozen=True, kw_only=True):
    type: Literal["function"] = "function"
    function: Function


class FunctionName(Struct, frozen=True):
    name: str


class NamedTool(Struct, frozen=True, kw_only=True):
    """A choice of one tool."""

    type: Literal["function"] = "function"
    function: FunctionName


Choice = Literal["auto", "none", "required"] | NamedTool


class Schema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    description: str | UnsetType = UNSET
    schema: Raw
    strict: bool | UnsetType = UNSET


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: Literal["json_schema", "json_object"]
    json_schema: Schema | UnsetType = UNSET


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the dialects can say. What a client did not set is not in it; encoded, it is a Chat Completions request."""

    model: str
    messages: list[Message]
    tools: list[Tool] | UnsetType = UNSET
    tool_choice: Choice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    response_format: ResponseFormat | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    verbosity: str | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    stop: list[str] | UnsetType = UNSET
    logprobs: bool | UnsetType = UNSET
    top_logprobs: int | UnsetType = UNSET


def given(value: T | None) -> T | UnsetType:
    """`value`, left out when it is None."""
    return UNSET if value is None else value


def raw(value: Raw) -> Raw | UnsetType:
    """`value`, left out when it was not given or is null. (msgspec reads no `Raw | None`.)"""
    return value if bytes(value) not in (b"", b"null") else UNSET


def plain(parts: list[Part]) -> str | list[Part]:
    """`parts` as content: one text is a string, which every server takes."""
    match parts:
        case [TextPart(text)]:
            return text
        case _:
            return parts


def decode(data: bytes, kind: type[T], what: str) -> T:
    """`data` as `kind`. Raises `BadRequest` for what is no JSON, `ValidationFailed` for another shape."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"{what} is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None


class _Typed(Struct):
    type: str | None = None


def decode_typed(data: Raw, kinds: Mapping[str, type[Any]], what: str, *, default: str = "") -> Any:
    """`data` as the one of `kinds` that its member `type` names; a type that is not among them is not translatable."""
    name = decode(data, _Typed, what).type or default
    kind = kinds.get(name)
    if kind is None:
        raise NotTranslatable(f"{what} has the type {name[:60] or 'none'}, which cannot be passed on to a model here.")
    return decode(data, kind, what)


def arguments(text: str) -> Any:
    """A call's arguments as the object the model wrote; what is no JSON object stands in one, under `arguments`."""
    try:
        msgspec.json.decode(text or "{}", type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": text}
    return Raw((text or "{}").encode())


def parameters(function: Function) -> Raw:
    """A function's parameters; one that names none takes none."""
    return _NONE if function.parameters is UNSET else function.parameters


_NONE = Raw(b'{"type":"object","properties":{}}')


def require_messages(messages: list[Message]) -> list[Message]:
    """Raise `ValidationFailed` when there are none."""
    if not messages:
        raise ValidationFailed("The request has no messages.")
    return messages

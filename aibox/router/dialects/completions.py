"""Chat Completions for clients: requests as values where a provider speaks otherwise, and answers in chunks."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct

from aibox.core.errors import ValidationFailed
from aibox.observability import Usage
from aibox.router import AnswerStream, Asked, Chunk, NotTranslatable, Said
from aibox.router.dialects import asking, members
from aibox.router.dialects.asking import Message, Part, Request
from aibox.router.dialects.exchange import Exchange, Writer
from aibox.router.dialects.parts import Begun, Ended, Grown, Step, Tokens, Told

KEPT: Final = frozenset(
    {
        "metadata",
        "modalities",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""Members for the provider's own bookkeeping: where they cannot be said, nothing is lost."""


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class Opened(Struct, frozen=True):
    """What stands at the top of a request."""

    model: str
    messages: list[Raw]
    stream: bool | None = False
    stream_options: StreamOptions | None = None


class Text(Struct, frozen=True):
    text: str


class Refusal(Struct, frozen=True):
    refusal: str


class ImageUrl(Struct, frozen=True):
    url: str
    detail: str | None = None


class Image(Struct, frozen=True):
    image_url: ImageUrl


class GivenFile(Struct, frozen=True):
    file_data: str | None = None
    filename: str | None = None


class File(Struct, frozen=True):
    file: GivenFile


CONTENTS: Final[dict[str, type[Any]]] = {"text": Text, "refusal": Refusal, "image_url": Image, "file": File}


class Called(Struct, frozen=True):
    name: str
    arguments: str = ""


class Call(Struct, frozen=True):
    function: Called
    id: str = ""


class Turn(Struct, frozen=True):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Raw] | None = None
    tool_calls: list[Raw] | None = None
    function_call: Called | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Function(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class Tool(Struct, frozen=True):
    function: Function


class ToolChoice(Struct, frozen=True):
    type: str
    function: asking.FunctionName | None = None


class Schema(Struct, frozen=True):
    name: str = "answer"
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class Format(Struct, frozen=True):
    type: str
    json_schema: Schema | None = None


class Given(Struct, frozen=True, kw_only=True):
    """What can be said in other dialects too. Our own calls have no `model` in the body."""

    model: str = ""
    messages: list[Turn]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[Raw] | None = None
    functions: list[Function] | None = None
    tool_choice: str | ToolChoice | None = None
    function_call: str | asking.FunctionName | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatCompletions:
    """See `Dialect` and `Translatable`."""

    name: Final = "chat_completions"
    path: Final = "/v1/chat/completions"
    headers: Final[tuple[str, ...]] = ()

    def open(self, body: bytes) -> Asked:
        """See `Dialect.open`."""
        opened = asking.decode(body, Opened, "The request")
        if not opened.messages:
            raise ValidationFailed("The request has no messages.")
        options = opened.stream_options
        return Asked(opened.model, bool(opened.stream), options is not None and bool(options.include_usage))

    def read(self, body: bytes) -> Exchange:
        """See `Translatable.read`."""
        given = asking.decode(body, Given, "The request")
        if given.n is not None and given.n > 1:
            raise NotTranslatable("The model's provider gives one answer at a time: ask with `n` 1.")
        known = {*Given.__struct_fields__, *KEPT}
        omitted = sorted(name for name, raw in members.decoded(body).items() if name not in known and _says(raw))
        return ChatExchange(_translated(given), given, tuple(omitted))

    def stream(self, *, id: str) -> AnswerStream:
        """See `Dialect.stream`."""
        return ChatStream()

    def said(self, tree: dict[str, Any]) -> Iterator[Said]:
        """See `Dialect.said`: contents, refusals, reasoning and what tools are given, each choice for itself."""
        for number, choice in enumerate(_objects(tree.get("choices"))):
            message = choice.get("delta") or choice.get("message")
            if isinstance(message, dict):
                index = choice.get("index", number)
                for lane, holder, key in _texts(message):
                    yield Said(f"{index} {lane}", holder, key, beside=choice)

    def closed(self, tree: dict[str, Any]) -> str | None:
        """See `Dialect.closed`."""
        return None


class ChatStream:
    """See `AnswerStream`."""

    def push(self, chunk: Chunk) -> bytes:
        """See `AnswerStream.push`."""
        return b"data: " + chunk.data + b"\n\n"

    def close(self) -> bytes:
        """See `AnswerStream.close`."""
        return b"data: [DONE]\n\n"

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """See `AnswerStream.fail`."""
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


class ChatExchange:
    """See `Exchange`."""

    def __init__(self, request: Request, given: Given, omitted: tuple[str, ...]) -> None:
        self.request: Final = request
        self.max_tokens: Final = given.max_completion_tokens or given.max_tokens
        self.omitted: Final = omitted
        self._model = given.model

    def writer(self, told: Told, *, id: str, wants_usage: bool) -> Writer:
        """See `Exchange.writer`."""
        return ChatWriter(told, self._model, id, wants_usage=wants_usage)


class ChatWriter:
    """See `Writer`: the role, the deltas, the reason why it ended, and the usage in a chunk of its own."""

    def __init__(self, told: Told, model: str, id: str, *, wants_usage: bool) -> None:
        self._told = told
        self._wants_usage = wants_usage
        self._model = model
        self._id = id
        self._created = int(time.time())
        self._kind = ""
        self._calls = -1
        self._has_started = False

    def write(self, steps: Iterable[Step]) -> list[Chunk]:
        """See `Writer.write`."""
        return [*self._start(), *(chunk for step in steps if (chunk := self._chunk(step)) is not None)]

    def close(self, steps: Iterable[Step], usage: Usage | None) -> list[Chunk]:
        """See `Writer.close`."""
        reason = self._told.finish_reason or "stop"
        tokens = self._told.count(usage)
        told = Usage(input_tokens=tokens.input, output_tokens=tokens.output)
        ends = Chunk(self._encoded({}, finish_reason=reason), finish_reason=reason, is_last=not self._wants_usage)
        if not self._wants_usage:
            return [*self.write(steps), ends]
        body = msgspec.json.encode({**self._body("chat.completion.chunk", []), "usage": _usage(tokens)})
        return [*self.write(steps), ends, Chunk(body, usage=told, is_last=True)]

    def whole(self, steps: Iterable[Step], usage: Usage | None) -> bytes:
        """See `Writer.whole`."""
        texts: dict[str, list[str]] = {}
        calls: list[dict[str, Any]] = []
        logprobs: list[Any] = []
        for step in steps:
            match step:
                case Begun():
                    self._kind = step.kind
                    if step.kind == "tool":
                        calls.append(_call(step, self._id, []))
                case Grown() if self._kind == "tool":
                    calls[-1]["function"]["arguments"].append(step.text)
                case Grown():
                    texts.setdefault(MEMBERS[self._kind], []).append(step.text)
                    logprobs.extend(step.logprobs)
                case Ended():
                    pass
                case _:
                    assert_never(step)
        for call in calls:
            call["function"]["arguments"] = "".join(call["function"]["arguments"])
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        message |= {member: "".join(pieces) for member, pieces in texts.items()} | (
            {"tool_calls": calls} if calls else {}
        )
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": self._told.finish_reason or "stop",
        }
        body = self._body("chat.completion", [choice])
        return msgspec.json.encode({**body, "usage": _usage(self._told.count(usage))})

    def _start(self) -> list[Chunk]:
        if self._has_started:
            return []
        self._has_started = True
        return [Chunk(self._encoded({"role": "assistant", "content": ""}))]

    def _chunk(self, step: Step) -> Chunk | None:
        match step:
            case Begun(kind="tool"):
                self._kind, self._calls = step.kind, self._calls + 1
                return Chunk(self._encoded({"tool_calls": [{"index": self._calls, **_call(step, self._id, "")}]}))
            case Begun():
                self._kind = step.kind
                return None
            case Grown(text=text) if self._kind == "tool":
                return Chunk(self._encoded({"tool_calls": [{"index": self._calls, "function": {"arguments": text}}]}))
            case Grown(text=text):
                logprobs = {"content": step.logprobs, "refusal": None} if step.logprobs else None
                data = self._encoded({MEMBERS[self._kind]: text}, logprobs=logprobs)
                return Chunk(data, "" if self._kind == "reasoning" else text)
            case Ended():
                return None
            case _:
                assert_never(step)

    def _encoded(
        self, delta: dict[str, Any], *, logprobs: dict[str, Any] | None = None, finish_reason: str | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return msgspec.json.encode(self._body("chat.completion.chunk", [choice]))

    def _body(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._id}",
            "object": kind,
            "created": self._told.created or self._created,
            "model": self._told.model or self._model,
            "choices": choices,
        }


MEMBERS: Final = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}
"""Where a message or a delta holds each kind of text."""


def _call(begun: Begun, id: str, arguments: Any) -> dict[str, Any]:
    function = {"name": begun.name, "arguments": arguments}
    return {"id": begun.id or f"call_{id}_{begun.number}", "type": "function", "function": function}


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _says(raw: Raw) -> bool:
    """Whether a member says something."""
    return bytes(raw) not in (b"null", b"false", b"[]", b"{}", b"0", b"0.0", b'""')


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(message: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The lane, the holder and the member of each text in a message or a delta."""
    for member in ("content", "refusal", "reasoning_content", "reasoning"):
        if isinstance(message.get(member), str):
            yield member, message, member
        for part in _objects(message.get(member)):
            if isinstance(part.get("text"), str):
                yield member, part, "text"
    for number, call in enumerate(_objects(message.get("tool_calls"))):
        for kind, argument in (("function", "arguments"), ("custom", "input")):
            for holder in _objects([call.get(kind)]):
                if isinstance(holder.get(argument), str):
                    yield f"{kind} {call.get('index', number)}", holder, argument
    for holder in _objects([message.get("function_call")]):
        if isinstance(holder.get("arguments"), str):
            yield "function_call", holder, "arguments"


def _translated(given: Given) -> Request:
    tools = [_tool(raw) for raw in given.tools or ()] + [_function(function) for function in given.functions or ()]
    return Request(
        model=given.model,
        messages=asking.require_messages(list(_messages(given.messages))),
        tools=tools or UNSET,
        tool_choice=(_choice(given) if tools else None) or UNSET,
        parallel_tool_calls=asking.given(given.parallel_tool_calls) if tools else UNSET,
        response_format=_format(given.response_format) or UNSET,
        reasoning_effort=asking.given(given.reasoning_effort),
        verbosity=asking.given(given.verbosity),
        temperature=asking.given(given.temperature),
        top_p=asking.given(given.top_p),
        top_k=asking.given(given.top_k),
        stop=([given.stop] if isinstance(given.stop, str) else given.stop) or UNSET,
        logprobs=True if given.logprobs else UNSET,
        top_logprobs=given.top_logprobs or UNSET,
    )


def _messages(turns: list[Turn]) -> Iterator[Message]:
    called = 0
    for turn in turns:
        parts = turn.content if turn.content is None or isinstance(turn.content, str) else _parts(turn.content)
        content = asking.plain(parts) if isinstance(parts, list) else parts
        match turn.role:
            case "system" | "developer":
                yield Message(role="system", content=content or "")
            case "user":
                yield Message(role="user", content=content or "")
            case "assistant":
                message = Message(role="assistant", content=content)
                for raw in turn.tool_calls or ():
                    call: Call = asking.decode_typed(raw, _CALLS, "A call of a tool", default="function")
                    message.call(asking.ToolCall(id=call.id, function=_called(call.function)))
                if turn.function_call is not None:
                    called += 1
                    message.call(asking.ToolCall(id=f"function_{called}", function=_called(turn.function_call)))
                yield message
            case "tool":
                yield Message(role="tool", content=content or "", tool_call_id=turn.tool_call_id or "")
            case "function":
                yield Message(role="tool", content=content or "", tool_call_id=f"function_{called}")
            case _:
                assert_never(turn.role)


_CALLS: Final[dict[str, type[Any]]] = {"function": Call}
_TOOLS: Final[dict[str, type[Any]]] = {"function": Tool}


def _called(function: Called) -> asking.CalledFunction:
    return asking.CalledFunction(function.name, function.arguments or "{}")


def _parts(contents: list[Raw]) -> list[Part]:
    return [_part(asking.decode_typed(raw, CONTENTS, "A part of a content", default="text")) for raw in contents]


def _part(content: Text | Refusal | Image | File) -> Part:
    match content:
        case Text(text) | Refusal(text):
            return asking.TextPart(text)
        case Image(image):
            return asking.ImagePart(asking.ImageUrl(image.url, asking.given(image.detail)))
        case File(GivenFile(file_data=str(data), filename=name)):
            return asking.FilePart(asking.File(name or "file", data))
        case File():
            raise NotTranslatable("A file that is kept at a provider cannot be passed on; send its bytes.")
        case _:
            assert_never(content)


def _tool(raw: Raw) -> asking.Tool:
    tool: Tool = asking.decode_typed(raw, _TOOLS, "A tool", default="function")
    return _function(tool.function)


def _function(function: Function) -> asking.Tool:
    return asking.Tool(
        function=asking.Function(
            name=function.name,
            description=asking.given(function.description),
            parameters=asking.raw(function.parameters),
            strict=asking.given(function.strict),
        )
    )


def _choice(given: Given) -> asking.Choice | None:
    choice = given.tool_choice if given.tool_choice is not None else given.function_call
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return choice
        case asking.FunctionName():
            return asking.NamedTool(function=choice)
        case ToolChoice(function=asking.FunctionName() as function):
            return asking.NamedTool(function=function)
        case ToolChoice(type=kind) | str(kind):
            raise NotTranslatable(f"The tool choice {kind[:60]} cannot be passed on to this provider.")
        case _:
            assert_never(choice)


def _format(wanted: Format | None) -> asking.ResponseFormat | None:
    match wanted:
        case None | Format(type="text"):
            return None
        case Format(type="json_object"):
            return asking.ResponseFormat(type="json_object")
        case Format(type="json_schema", json_schema=Schema() as schema) if asking.raw(schema.schema) is not UNSET:
            return asking.ResponseFormat(
                type="json_schema",
                json_schema=asking.Schema(
                    name=schema.name,
                    description=asking.given(schema.description),
                    schema=schema.schema,
                    strict=asking.given(schema.strict),
                ),
            )
        case Format(type=kind):
            raise NotTranslatable(f"The response format {kind[:60]} cannot be passed on to this provider.")
        case _:
            assert_never(wanted)

"""Anthropic's Messages: requests as Chat Completions, and answers back as messages and their stream of events."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from aibox.core.errors import ValidationFailed
from aibox.observability import Usage
from aibox.router import AnswerStream, Exchange, NotTranslatable
from aibox.router.dialects import asking
from aibox.router.dialects.asking import Message, Part
from aibox.router.dialects.parts import Begun, Ended, Grown, Parts, Step, Tokens

EFFORTS: Final = ((4096, "low"), (16384, "medium"))
"""Budgets of thinking, in tokens, up to which an effort is meant; above them it is `high`."""


class Text(Struct, frozen=True):
    text: str


class Source(Struct, frozen=True):
    """Where an image or a document is; `content` is a document's blocks."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Raw] = ""


class Image(Struct, frozen=True):
    source: Source


class Document(Struct, frozen=True):
    source: Source
    title: str | None = None


class ToolUse(Struct, frozen=True):
    id: str
    name: str
    input: Raw


class ToolResult(Struct, frozen=True):
    tool_use_id: str
    content: str | list[Raw] | None = None


class Thinking(Struct, frozen=True):
    """What a model thought before. It is signed for its own provider, and means nothing to another."""


Block = Text | Image | Document | ToolUse | ToolResult | Thinking

BLOCKS: Final[dict[str, type[Any]]] = {
    "text": Text,
    "image": Image,
    "document": Document,
    "tool_use": ToolUse,
    "tool_result": ToolResult,
    "thinking": Thinking,
    "redacted_thinking": Thinking,
}


class Turn(Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class Tool(Struct, frozen=True):
    name: str
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw()
    strict: bool | None = None


class ToolChoice(Struct, frozen=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class ThinkingMode(Struct, frozen=True):
    type: str
    budget_tokens: int = 0


class Format(Struct, frozen=True):
    type: str
    schema: Raw = Raw()


class OutputConfig(Struct, frozen=True):
    effort: str | None = None
    format: Format | None = None


class Request(Struct, frozen=True, kw_only=True):
    """What we read of a request. Other members are for the provider's own bookkeeping and are left out."""

    model: str
    messages: list[Turn]
    max_tokens: int
    system: str | list[Text] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingMode | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    container: Any = None
    mcp_servers: list[Any] | None = None


class Messages:
    """See `Dialect`."""

    path: Final = "/v1/messages"

    def read(self, body: bytes) -> Exchange:
        """See `Dialect.read`."""
        request = asking.decode(body, Request, "The request")
        if request.max_tokens < 1:
            raise ValidationFailed(fields=[{"field": "max_tokens", "error": "At least 1."}])
        if request.container is not None or request.mcp_servers:
            raise NotTranslatable("Containers and MCP servers are run by Anthropic; no model here can use them.")
        return MessagesExchange(msgspec.json.encode(_translated(request)), request)


class MessagesExchange:
    """See `Exchange`."""

    omitted: Final[tuple[str, ...]] = ()

    def __init__(self, body: bytes, request: Request) -> None:
        self.body: Final = body
        self.max_tokens: Final = request.max_tokens
        self._model = request.model

    def whole(self, data: bytes, usage: Usage, *, id: str) -> bytes:
        """See `Exchange.whole`."""
        parts = Parts()
        blocks: list[dict[str, Any]] = []
        texts: list[str] = []
        for step in [*parts.take(data), *parts.end()]:
            match step:
                case Begun():
                    blocks.append(_block(step, id))
                    texts = []
                case Grown():
                    texts.append(step.text)
                case Ended():
                    _fill(blocks[-1], "".join(texts))
                case _:
                    assert_never(step)
        message = _message(id, parts.model or self._model, parts.count(usage))
        return msgspec.json.encode({**message, "content": blocks, **_stop(parts)})

    def stream(self, *, id: str) -> AnswerStream:
        """See `Exchange.stream`."""
        return MessageStream(self._model, id)


class MessageStream:
    """See `AnswerStream`: `message_start`, the blocks one after another, `message_delta`, `message_stop`."""

    def __init__(self, model: str, id: str) -> None:
        self._parts = Parts()
        self._model = model
        self._id = id
        self._number = 0
        self._kind = ""
        self._has_started = False

    def push(self, data: bytes) -> bytes:
        """See `AnswerStream.push`."""
        steps = self._parts.take(data)
        return b"".join([self._start(), *map(self._event, steps)])

    def close(self, usage: Usage | None) -> bytes:
        """See `AnswerStream.close`."""
        events = [self._start(), *map(self._event, self._parts.end())]
        tokens = _usage(self._parts.count(usage))
        events.append(_event("message_delta", {"delta": _stop(self._parts), "usage": tokens}))
        return b"".join([*events, _event("message_stop", {})])

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """See `AnswerStream.fail`."""
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"

    def _start(self) -> bytes:
        if self._has_started:
            return b""
        self._has_started = True
        # The tokens that went in are known at the end: `message_delta` tells them, as Anthropic's clients read them.
        message = _message(self._id, self._parts.model or self._model, Tokens())
        return _event("message_start", {"message": {**message, "content": [], **_NO_STOP}}) + _event("ping", {})

    def _event(self, step: Step) -> bytes:
        match step:
            case Begun():
                self._number, self._kind = step.number, step.kind
                return _event("content_block_start", {"index": step.number, "content_block": _block(step, self._id)})
            case Grown():
                delta = _DELTAS[self._kind](step.text)
                return _event("content_block_delta", {"index": self._number, "delta": delta})
            case Ended():
                return _event("content_block_stop", {"index": self._number})
            case _:
                assert_never(step)


_NO_STOP: Final = {"stop_reason": None, "stop_sequence": None}

_DELTAS: Final[dict[str, Callable[[str], dict[str, str]]]] = {
    "reasoning": lambda text: {"type": "thinking_delta", "thinking": text},
    "text": lambda text: {"type": "text_delta", "text": text},
    "refusal": lambda text: {"type": "text_delta", "text": text},
    "tool": lambda text: {"type": "input_json_delta", "partial_json": text},
}


def _event(name: str, members: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode({"type": name, **members}) + b"\n\n"


def _message(id: str, model: str, tokens: Tokens) -> dict[str, Any]:
    return {
        "id": f"msg_{id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "usage": _usage(tokens),
    }


def _usage(tokens: Tokens) -> dict[str, int]:
    """Anthropic counts what came from the cache beside the input, Chat Completions within it."""
    return {
        "input_tokens": tokens.input - tokens.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
    }


def _stop(parts: Parts) -> dict[str, str | None]:
    match parts.finish_reason:
        case "length":
            reason = "max_tokens"
        case "content_filter":
            reason = "refusal"
        case _ if parts.has_called:
            reason = "tool_use"
        case _ if parts.stop_sequence is not None:
            reason = "stop_sequence"
        case _:
            reason = "end_turn"
    return {"stop_reason": reason, "stop_sequence": parts.stop_sequence if reason == "stop_sequence" else None}


def _block(begun: Begun, id: str) -> dict[str, Any]:
    match begun.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "text" | "refusal":
            return {"type": "text", "text": ""}
        case "tool":
            return {"type": "tool_use", "id": begun.id or f"toolu_{id}_{begun.number}", "name": begun.name, "input": {}}


def _fill(block: dict[str, Any], text: str) -> None:
    match block["type"]:
        case "tool_use":
            block["input"] = _input(text)
        case member:
            block[member] = text


def _input(arguments: str) -> Any:
    """A tool's input as the model wrote it; what is no JSON object stands in one, under `arguments`."""
    try:
        msgspec.json.decode(arguments or "{}", type=dict[str, Raw])
    except msgspec.DecodeError:
        return {"arguments": arguments}
    return Raw((arguments or "{}").encode())


def _translated(request: Request) -> asking.Request:
    tools = [_tool(tool) for tool in request.tools or ()]
    choice = request.tool_choice
    config = request.output_config or OutputConfig()
    is_single = choice is not None and choice.disable_parallel_tool_use
    return asking.Request(
        model=request.model,
        messages=asking.require_messages([*_system(request.system), *_messages(request.messages)]),
        stream=True if request.stream else UNSET,
        stream_options=asking.StreamOptions(include_usage=True) if request.stream else UNSET,
        tools=tools or UNSET,
        tool_choice=_choice(choice) if choice is not None and tools else UNSET,
        parallel_tool_calls=False if is_single and tools else UNSET,
        response_format=_format(config.format or request.output_format),
        reasoning_effort=asking.given(config.effort or _effort(request.thinking)),
        temperature=asking.given(request.temperature),
        top_p=asking.given(request.top_p),
        top_k=asking.given(request.top_k),
        stop=request.stop_sequences or UNSET,
    )


def _system(system: str | list[Text] | None) -> list[Message]:
    text = system if isinstance(system, str) else "\n\n".join(block.text for block in system or ())
    return [Message(role="system", content=text)] if text else []


def _messages(turns: list[Turn]) -> Iterator[Message]:
    for turn in turns:
        if isinstance(turn.content, str):
            yield Message(role=turn.role, content=turn.content)
            continue
        blocks = [_decoded(raw) for raw in turn.content]
        yield from _assistant(blocks) if turn.role == "assistant" else _user(turn.role, blocks)


def _decoded(raw: Raw) -> Block:
    block: Block = asking.decode_typed(raw, BLOCKS, "A content block")
    return block


def _assistant(blocks: list[Block]) -> Iterator[Message]:
    parts: list[Part] = []
    message = Message(role="assistant", content=None)
    for block in blocks:
        match block:
            case Text():
                parts.append(asking.TextPart(block.text))
            case ToolUse():
                function = asking.CalledFunction(block.name, bytes(block.input).decode())
                message.call(asking.ToolCall(id=block.id, function=function))
            case Thinking():
                pass
            case Image() | Document() | ToolResult():
                raise ValidationFailed("A message of the assistant has text and calls of tools only.")
            case _:
                assert_never(block)
    if parts:
        message.content = asking.plain(parts)
    if parts or message.tool_calls:
        yield message


def _user(role: Literal["user", "system"], blocks: list[Block]) -> Iterator[Message]:
    """The results of tools first: Chat Completions wants them right after the calls. What they show follows them."""
    shown: list[Part] = []
    said: list[Part] = []
    for block in blocks:
        match block:
            case ToolResult():
                texts, images = _result(block)
                yield Message(role="tool", content=asking.plain(texts) or "", tool_call_id=block.tool_use_id)
                shown += images
            case Text() | Image() | Document():
                said += _parts(block)
            case Thinking():
                pass
            case ToolUse():
                raise ValidationFailed("Only the assistant calls tools.")
            case _:
                assert_never(block)
    if shown or said:
        yield Message(role=role, content=asking.plain([*shown, *said]))


def _result(block: ToolResult) -> tuple[list[Part], list[Part]]:
    """The texts of a tool's result, and what Chat Completions does not take from a tool."""
    if not isinstance(block.content, list):
        return [asking.TextPart(block.content or "")], []
    texts: list[Part] = []
    others: list[Part] = []
    for raw in block.content:
        inner = asking.decode_typed(raw, _IN_RESULTS, "A block of a tool's result")
        for part in _parts(inner):
            (texts if isinstance(part, asking.TextPart) else others).append(part)
    return texts, others


_IN_RESULTS: Final[dict[str, type[Any]]] = {"text": Text, "image": Image, "document": Document}


def _parts(block: Text | Image | Document) -> Iterator[Part]:
    match block:
        case Text():
            yield asking.TextPart(block.text)
        case Image():
            yield asking.ImagePart(asking.ImageUrl(_url(block.source)))
        case Document():
            yield from _document(block)
        case _:
            assert_never(block)


def _url(source: Source) -> str:
    match source.type:
        case "base64":
            return f"data:{source.media_type};base64,{source.data}"
        case "url":
            return source.url
        case kind:
            raise NotTranslatable(f"An image of the source {kind[:60]} is kept at Anthropic; send bytes or a URL.")


def _document(block: Document) -> Iterator[Part]:
    source = block.source
    match source.type:
        case "text":
            yield asking.TextPart(source.data)
        case "content":
            if isinstance(source.content, str):
                yield asking.TextPart(source.content)
                return
            for raw in source.content:
                yield from _parts(asking.decode_typed(raw, _IN_RESULTS, "A block of a document"))
        case "base64":
            yield asking.FilePart(asking.File(block.title or "document.pdf", _url(source)))
        case kind:
            raise NotTranslatable(f"A document of the source {kind[:60]} cannot be passed on; send its text or bytes.")


def _tool(tool: Tool) -> asking.Tool:
    if tool.type not in (None, "custom"):
        raise NotTranslatable(f"The tool {tool.name[:60]} is Anthropic's own; no model here can use it.")
    return asking.Tool(
        function=asking.Function(
            name=tool.name,
            description=asking.given(tool.description),
            parameters=asking.raw(tool.input_schema),
            strict=asking.given(tool.strict),
        )
    )


def _choice(choice: ToolChoice) -> asking.Choice:
    match choice.type:
        case "auto" | "none":
            return choice.type
        case "any":
            return "required"
        case "tool":
            return asking.NamedTool(function=asking.FunctionName(choice.name))
        case _:
            assert_never(choice.type)


def _format(wanted: Format | None) -> asking.ResponseFormat | UnsetType:
    if wanted is None:
        return UNSET
    if wanted.type != "json_schema" or asking.raw(wanted.schema) is UNSET:
        raise NotTranslatable(f"The output format {wanted.type[:60]} is not known; json_schema is.")
    schema = asking.Schema(name="answer", schema=wanted.schema, strict=True)
    return asking.ResponseFormat(type="json_schema", json_schema=schema)


def _effort(mode: ThinkingMode | None) -> str | None:
    if mode is None or mode.type != "enabled":
        return None
    return next((effort for most, effort in EFFORTS if mode.budget_tokens <= most), "high")

"""Anthropic's Messages for clients: requests as values, and answers as messages and their stream of events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from aibox.core.errors import ValidationFailed
from aibox.observability import Usage
from aibox.router import AnswerStream, Asked, Chunk, NotTranslatable, Said
from aibox.router.dialects import asking
from aibox.router.dialects.asking import Message, Part
from aibox.router.dialects.exchange import Exchange, Writer
from aibox.router.dialects.parts import Begun, Ended, Grown, Step, Tokens, Told

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


class Opened(Struct, frozen=True):
    """What stands at the top of a request."""

    model: str
    messages: list[Raw]
    stream: bool | None = None


class Messages:
    """See `Dialect` and `Translatable`."""

    name: Final = "messages"
    path: Final = "/v1/messages"
    headers: Final = ("anthropic-beta", "anthropic-version")

    def open(self, body: bytes) -> Asked:
        """See `Dialect.open`."""
        opened = asking.decode(body, Opened, "The request")
        if not opened.messages:
            raise ValidationFailed("The request has no messages.")
        return Asked(opened.model, bool(opened.stream), wants_usage=True)

    def read(self, body: bytes) -> Exchange:
        """See `Translatable.read`."""
        request = asking.decode(body, Request, "The request")
        if request.max_tokens < 1:
            raise ValidationFailed(fields=[{"field": "max_tokens", "error": "At least 1."}])
        if request.container is not None or request.mcp_servers:
            raise NotTranslatable("Containers and MCP servers are run by Anthropic; no model here can use them.")
        return MessagesExchange(_translated(request), request)

    def stream(self, *, id: str) -> AnswerStream:
        """See `Dialect.stream`."""
        return MessageStream()

    def said(self, tree: dict[str, Any]) -> Iterator[Said]:
        """See `Dialect.said`: every text of a block, and what tools are given."""
        lane = str(tree.get("index", 0))
        match tree:
            case {"type": "content_block_delta", "delta": dict(delta)}:
                for member in ("text", "thinking", "partial_json"):
                    if isinstance(delta.get(member), str):
                        yield Said(lane, delta, member)
            case {"type": "content_block_start", "content_block": dict(block)}:
                yield from _said(lane, block)
            case {"type": "message", "content": list(blocks)}:
                for number, block in enumerate(blocks):
                    if isinstance(block, dict):
                        yield from _said(str(number), block)
            case _:
                pass

    def closed(self, tree: dict[str, Any]) -> str | None:
        """See `Dialect.closed`."""
        return str(tree.get("index", 0)) if tree.get("type") == "content_block_stop" else None


def _said(lane: str, block: dict[str, Any]) -> Iterator[Said]:
    for member in ("text", "thinking"):
        if isinstance(block.get(member), str):
            yield Said(lane, block, member)
    if block.get("type") in ("tool_use", "server_tool_use"):
        yield from strings(lane, block.get("input"))


def strings(lane: str, tree: Any) -> Iterator[Said]:
    """Every text in what a tool is given, each a lane of its own."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        if isinstance(value, str):
            yield Said(f"{lane}/{key}", tree, key)
        else:
            yield from strings(f"{lane}/{key}", value)


class MessageStream:
    """See `AnswerStream`."""

    def push(self, chunk: Chunk) -> bytes:
        """See `AnswerStream.push`."""
        return b"event: " + chunk.event.encode() + b"\ndata: " + chunk.data + b"\n\n"

    def close(self) -> bytes:
        """See `AnswerStream.close`."""
        return b""

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """See `AnswerStream.fail`."""
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"


class MessagesExchange:
    """See `Exchange`."""

    omitted: Final[tuple[str, ...]] = ()

    def __init__(self, translated: asking.Request, request: Request) -> None:
        self.request: Final = translated
        self.max_tokens: Final = request.max_tokens
        self._model = request.model

    def writer(self, told: Told, *, id: str, wants_usage: bool) -> Writer:
        """See `Exchange.writer`."""
        return MessageWriter(told, self._model, id)


class MessageWriter:
    """See `Writer`: `message_start`, the blocks one after another, `message_delta`, `message_stop`."""

    def __init__(self, told: Told, model: str, id: str) -> None:
        self._told = told
        self._model = model
        self._id = id
        self._number = 0
        self._kind = ""
        self._has_started = False

    def write(self, steps: Iterable[Step]) -> list[Chunk]:
        """See `Writer.write`."""
        return [*self._start(), *map(self._event, steps)]

    def close(self, steps: Iterable[Step], usage: Usage | None) -> list[Chunk]:
        """See `Writer.close`."""
        ends = {"delta": _stop(self._told), "usage": _usage(self._told.count(usage))}
        return [*self.write(steps), _event("message_delta", ends), _event("message_stop", {}, is_last=True)]

    def whole(self, steps: Iterable[Step], usage: Usage | None) -> bytes:
        """See `Writer.whole`."""
        blocks: list[dict[str, Any]] = []
        texts: list[str] = []
        for step in steps:
            match step:
                case Begun():
                    blocks.append(_block(step, self._id))
                    texts = []
                case Grown():
                    texts.append(step.text)
                case Ended():
                    _fill(blocks[-1], "".join(texts))
                case _:
                    assert_never(step)
        message = _message(self._id, self._told.model or self._model, self._told.count(usage))
        return msgspec.json.encode({**message, "content": blocks, **_stop(self._told)})

    def _start(self) -> list[Chunk]:
        if self._has_started:
            return []
        self._has_started = True
        # The tokens that went in are mostly known at the end: `message_delta` tells them then, as Anthropic's clients
        # read them.
        message = _message(self._id, self._told.model or self._model, self._told.tokens or Tokens())
        return [_event("message_start", {"message": {**message, "content": [], **_NO_STOP}}), _event("ping", {})]

    def _event(self, step: Step) -> Chunk:
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


def _event(name: str, members: Mapping[str, Any], *, is_last: bool = False) -> Chunk:
    return Chunk(msgspec.json.encode({"type": name, **members}), event=name, is_last=is_last)


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
        "input_tokens": tokens.input - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.output,
    }


def _stop(told: Told) -> dict[str, str | None]:
    match told.finish_reason:
        case "length":
            reason = "max_tokens"
        case "content_filter":
            reason = "refusal"
        case _ if told.has_called:
            reason = "tool_use"
        case _ if told.stop_sequence is not None:
            reason = "stop_sequence"
        case _:
            reason = "end_turn"
    return {"stop_reason": reason, "stop_sequence": told.stop_sequence if reason == "stop_sequence" else None}


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
            block["input"] = asking.arguments(text)
        case member:
            block[member] = text


def _translated(request: Request) -> asking.Request:
    tools = [_tool(tool) for tool in request.tools or ()]
    choice = request.tool_choice
    config = request.output_config or OutputConfig()
    is_single = choice is not None and choice.disable_parallel_tool_use
    return asking.Request(
        model=request.model,
        messages=asking.require_messages([*_system(request.system), *_messages(request.messages)]),
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

"""Providers that speak Anthropic's Messages: requests written from the hub's values, answers read as steps."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct

from aibox.router import NotTranslatable
from aibox.router.adapters.chat_completions import DONE_SEEN
from aibox.router.adapters.port import Reading
from aibox.router.adapters.steps import StepReading, joined
from aibox.router.dialects import asking, members
from aibox.router.dialects.asking import Message, Request
from aibox.router.dialects.chat import DONE, MalformedError, Seen, sentence
from aibox.router.dialects.parts import Grown, Kind, Part, Tokens

VERSION: Final = "2023-06-01"
DEFAULT_LIMIT: Final = 8192
"""Messages needs a limit of tokens. What the current models all allow, for who sets none."""

EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}
"""What Chat Completions calls an effort, in Anthropic's words; `none` asks for nothing."""

HOSTED: Final = ("web_search", "web_fetch", "code_execution", "tool_search", "mcp_toolset")
"""Beginnings of the types of tools that Anthropic runs itself: what they bring the model, no guardrail sees."""

_KINDS: Final[dict[str, Kind]] = {"text": "text", "thinking": "reasoning", "tool_use": "tool"}
_FINISHES: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL: Final = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)(?:;[a-z0-9=-]+)*?;base64,(.*)", re.I | re.S)


class AnthropicMessages:
    """See `Adapter`."""

    dialect: Final = "messages"
    endpoint: Final = "/messages"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """See `Adapter.headers`."""
        return {"anthropic-version": VERSION} | ({} if key is None else {"x-api-key": key})

    def passed(self, body: bytes, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.passed`."""
        found = members.decoded(body)
        asked = members.typed(body, _Passed)
        if asked.container is not None or asked.mcp_servers:
            raise NotTranslatable(
                "Containers and MCP servers are run by Anthropic; what they do cannot be checked here."
            )
        for tool in asked.tools or ():
            if (tool.type or "").startswith(HOSTED):
                raise NotTranslatable(
                    f"The tool {tool.name[:60]} is run by Anthropic; what it does cannot be checked here."
                )
        if b'"file_id"' in body or b'"file"' in body:
            _refuse_files(msgspec.json.decode(body))
        found["model"] = members.encoded(model)
        members.put_stream(found, stream)
        if limit is not None:
            found["max_tokens"] = members.encoded(limit[1])
        return msgspec.json.encode(found)

    def asked(self, request: Request, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.asked`."""
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": DEFAULT_LIMIT if limit is None else limit[1],
            "messages": list(_turns(request.messages)),
        }
        system = joined(_text_of(message) for message in request.messages if message.role == "system")
        if system:
            body["system"] = system
        if stream:
            body["stream"] = True
        if request.tools is not UNSET and request.tools:
            body["tools"] = [_tool(tool.function) for tool in request.tools]
            body |= _choice(request)
        body |= _options(request)
        return msgspec.json.encode(body)

    def reading(self) -> Reading:
        """See `Adapter.reading`."""
        return MessagesReading()


class _PassedTool(Struct):
    name: str = ""
    type: str | None = None


class _Passed(Struct):
    """What may not be passed on is told by these."""

    container: Any = None
    mcp_servers: list[Any] | None = None
    tools: list[_PassedTool] | None = None


def _refuse_files(tree: object) -> None:
    """Raise `NotTranslatable` for a file that is kept at the provider, under a key that others here use too."""
    if isinstance(tree, dict):
        if tree.get("type") == "file" and "file_id" in tree:
            raise NotTranslatable("A file that is kept at Anthropic cannot be passed on; send its bytes.")
        for value in tree.values():
            _refuse_files(value)
    elif isinstance(tree, list):
        for value in tree:
            _refuse_files(value)


def _turns(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """The turns of a conversation: what follows from one side is one turn, as Anthropic counts them."""
    role = ""
    blocks: list[Any] = []
    for message in messages:
        if message.role == "system":
            continue
        side = "assistant" if message.role == "assistant" else "user"
        found = list(_blocks(message))
        if side != role:
            if blocks:
                yield {"role": role, "content": blocks}
            role, blocks = side, []
        blocks += found
    if blocks:
        yield {"role": role, "content": blocks}


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        content = list(_contents(message.content))
        yield {"type": "tool_result", "tool_use_id": _ID.sub("_", message.tool_call_id or ""), "content": content}
        return
    yield from _contents(message.content)
    for call in message.tool_calls or ():
        given = asking.arguments(call.function.arguments)
        yield {"type": "tool_use", "id": _ID.sub("_", call.id), "name": call.function.name, "input": given}


def _contents(content: str | list[asking.Part] | None) -> Iterator[dict[str, Any]]:
    """Anthropic refuses empty texts; they say nothing."""
    parts = [asking.TextPart(content)] if isinstance(content, str) else content or ()
    for part in parts:
        match part:
            case asking.TextPart(text):
                if text.strip():
                    yield {"type": "text", "text": text}
            case asking.ImagePart(image):
                yield {"type": "image", "source": _source(image.url)}
            case asking.FilePart(file):
                yield _document(file)
            case _:
                assert_never(part)


def _source(url: str) -> dict[str, str]:
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found[1].lower(), "data": found[2]}


def _document(file: asking.File) -> dict[str, Any]:
    source = _source(file.file_data)
    match source:
        case {"type": "base64", "media_type": "application/pdf"}:
            pass
        case {"type": "base64", "media_type": media_type, "data": data} if media_type.startswith("text/"):
            try:
                text = base64.b64decode(data, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise NotTranslatable("A text file that is no UTF-8 cannot be passed on.") from None
            source = {"type": "text", "media_type": "text/plain", "data": text}
        case _:
            raise NotTranslatable("This provider reads files that are PDF or text, by their bytes.")
    return {"type": "document", "title": file.filename, "source": source}


def _text_of(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return joined(part.text for part in message.content or () if isinstance(part, asking.TextPart))


def _tool(function: asking.Function) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": function.name, "input_schema": asking.parameters(function)}
    if function.description is not UNSET:
        tool["description"] = function.description
    if function.strict is True:
        tool["strict"] = True
    return tool


def _choice(request: Request) -> dict[str, Any]:
    choice: dict[str, Any]
    match request.tool_choice:
        case asking.NamedTool(function=function):
            choice = {"type": "tool", "name": function.name}
        case "required":
            choice = {"type": "any"}
        case "none":
            return {"tool_choice": {"type": "none"}}
        case "auto":
            choice = {"type": "auto"}
        case _:
            if request.parallel_tool_calls is not False:
                return {}
            choice = {"type": "auto"}
    if request.parallel_tool_calls is False:
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice}


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: value for name in ("temperature", "top_p", "top_k") if (value := getattr(request, name)) is not UNSET
    }
    if request.stop is not UNSET:
        options["stop_sequences"] = request.stop
    config: dict[str, Any] = {}
    if request.reasoning_effort is not UNSET and request.reasoning_effort != "none":
        config["effort"] = EFFORTS.get(request.reasoning_effort, request.reasoning_effort)
    if request.response_format is not UNSET:
        schema = request.response_format.json_schema
        if schema is UNSET:
            raise NotTranslatable("This provider writes JSON by a schema only; ask for json_schema.")
        config["format"] = {"type": "json_schema", "schema": schema.schema}
    return options | ({"output_config": config} if config else {})


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Block(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str = ""
    name: str = ""
    input: Raw = Raw()


class _Delta(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(Struct):
    model: str = ""
    usage: _Usage | None = None


class _Body(Struct):
    """An event, or a whole message."""

    type: str = ""
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta | None = None
    message: _Message | str | None = None
    usage: _Usage | None = None
    error: Any = None
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


_read = msgspec.json.Decoder(_Body).decode


class MessagesReading(StepReading):
    """See `Reading`."""

    def __init__(self) -> None:
        super().__init__()
        self._usage = _Usage()

    def take(self, data: bytes) -> Seen:
        """See `Reading.take`."""
        self._steps = []
        if data == DONE:
            return DONE_SEEN
        try:
            body = _read(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(str(error)) from None
        match body.type:
            case "content_block_delta":
                self._delta(body.index, body.delta or _Delta())
            case "content_block_start":
                self._block(body.index, body.content_block or _Block())
            case "content_block_stop":
                if (part := self._parts.get(body.index)) is not None:
                    self.finish(part)
            case "message_start":
                message = body.message if isinstance(body.message, _Message) else _Message()
                self.told.model = message.model
                self._count(message.usage)
            case "message_delta":
                self._count(body.usage)
                return self._stop(body.type, body.delta or _Delta())
            case "message_stop":
                self.is_complete = True
                return self.seen(body.type, is_last=True)
            case "message":
                return self._whole(body)
            case _ if body.error is not None or body.type == "error":
                said = body.error if body.error is not None else body.message
                return Seen(error=sentence(said) or "an error without words")
            case "":
                raise MalformedError("neither an event nor a message")
            case _:
                pass  # `ping`, and what will be added
        return self.seen(body.type)

    def _block(self, index: int, block: _Block) -> None:
        kind = _KINDS.get(block.type)
        if kind is None:
            return  # what the provider did itself, and thoughts that are sealed
        part = self.begin(index, kind, id=block.id, name=block.name)
        self._fill(part, block)

    def _fill(self, part: Part, block: _Block) -> None:
        given = bytes(block.input) if part.kind == "tool" else b""
        text = given.decode() if given not in (b"", b"{}") else block.text or block.thinking or ""
        self.grow(part, Grown(text=text))

    def _delta(self, index: int, delta: _Delta) -> None:
        part = self._parts.get(index)
        if part is not None:
            self.grow(part, Grown(text=delta.text or delta.thinking or delta.partial_json or ""))

    def _stop(self, event: str, delta: _Delta) -> Seen:
        reason = delta.stop_reason
        if reason is None:
            return self.seen(event)
        self.told.stop_sequence = delta.stop_sequence
        self.told.finish_reason = _FINISHES.get(reason, "stop")
        return self.seen(event, finish_reason=self.told.finish_reason)

    def _whole(self, body: _Body) -> Seen:
        self.told.model = body.model
        for index, block in enumerate(body.content or ()):
            self._block(index, block)
            if (part := self._parts.get(index)) is not None:
                self.finish(part)
        self._count(body.usage)
        self.is_complete = True
        return self._stop("", _Delta(stop_reason=body.stop_reason or "end_turn", stop_sequence=body.stop_sequence))

    def _count(self, usage: _Usage | None) -> None:
        """The later numbers count; what an event leaves out stays as it was told before."""
        if usage is None:
            return
        for name in usage.__struct_fields__:
            if (value := getattr(usage, name)) is not None:
                setattr(self._usage, name, value)
        told = self._usage
        if told.input_tokens is None and told.output_tokens is None:
            return
        cached, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
        self.told.tokens = Tokens(
            input=(told.input_tokens or 0) + cached + written,
            cached=cached,
            written=written,
            output=told.output_tokens or 0,
        )

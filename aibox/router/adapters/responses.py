"""Providers that speak OpenAI's Responses: requests written from the hub's values, answers read as steps."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct

from aibox.router import NotTranslatable
from aibox.router.adapters.chat_completions import DONE_SEEN, bearer
from aibox.router.adapters.port import Reading
from aibox.router.adapters.steps import StepReading, joined
from aibox.router.dialects import asking, members
from aibox.router.dialects.asking import Message, Request
from aibox.router.dialects.chat import DONE, MalformedError, Seen, sentence
from aibox.router.dialects.parts import Grown, Tokens

HOSTED: Final = ("web_search", "image_generation", "tool_search")
"""Beginnings of the types of tools that the provider runs and that clients offer unasked: left out."""

CLIENTS: Final = frozenset(
    {
        "function",
        "custom",
        "namespace",
        "local_shell",
        "shell",
        "apply_patch",
        "computer_use_preview",
        "computer",
    }
)
"""Types of tools that the client runs: their calls and results pass here, where they can be seen."""


class Responses:
    """See `Adapter`."""

    dialect: Final = "responses"
    endpoint: Final = "/responses"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """See `Adapter.headers`."""
        return bearer(key)

    def passed(self, body: bytes, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.passed`. Nothing is kept at the provider: its store is one for all who use our key."""
        found = members.decoded(body)
        asked = members.typed(body, Kept)
        asked.require_here()
        found["model"] = members.encoded(model)
        found["store"] = Raw(b"false")
        members.put_stream(found, stream)
        if limit is not None:
            found["max_output_tokens"] = members.encoded(limit[1])
        if isinstance(asked.input, list) and (kept := list(map(_passed_item, asked.input))) != asked.input:
            found["input"] = members.encoded([item for item in kept if item is not None])
        if asked.tools is not None:
            tools = [tool for tool in asked.tools if not is_left_out(_type_of(tool))]
            if len(tools) != len(asked.tools):
                found["tools"] = members.encoded(tools)
        return msgspec.json.encode(found)

    def asked(self, request: Request, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.asked`."""
        if request.stop is not UNSET:
            raise NotTranslatable("This provider takes no sequences to stop at.")
        body: dict[str, Any] = {
            "model": model,
            "input": [item for message in request.messages for item in _items(message)],
            "store": False,
        }
        if stream:
            body["stream"] = True
        if limit is not None:
            body["max_output_tokens"] = limit[1]
        if request.tools is not UNSET and request.tools:
            body["tools"] = [_tool(tool.function) for tool in request.tools]
            if request.tool_choice is not UNSET:
                body["tool_choice"] = _choice(request.tool_choice)
            if request.parallel_tool_calls is not UNSET:
                body["parallel_tool_calls"] = request.parallel_tool_calls
        return msgspec.json.encode(body | _options(request))

    def reading(self) -> Reading:
        """See `Adapter.reading`."""
        return ResponsesReading()


class Kept(Struct):
    """What a request would have its provider keep, or take from what it keeps."""

    input: str | list[Raw] = []
    tools: list[Raw] | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None

    def require_here(self) -> None:
        """Raise `NotTranslatable` unless all that the model will read is in the request itself."""
        if self.previous_response_id is not None or self.conversation is not None:
            raise NotTranslatable("No response is stored here to go on from; send the whole conversation as `input`.")
        if self.prompt is not None or self.background:
            raise NotTranslatable("Stored prompts and background responses do not exist here.")


class _Typed(Struct):
    type: str | None = None
    file_id: Any = None
    encrypted_content: Any = None


class _Contents(Struct):
    content: str | list[_Typed] | None = None
    output: Any = None


def _type_of(raw: Raw) -> str:
    """The type of a tool that may be passed on or left out. Raises `NotTranslatable` for every other."""
    kind = members.typed(bytes(raw), _Typed).type or ""
    if kind not in CLIENTS and not is_left_out(kind):
        raise NotTranslatable(f"The tool {kind[:60]} is run by the provider; what it does cannot be checked here.")
    return kind


def is_left_out(kind: str) -> bool:
    """Whether a tool of this type is not passed on, and named to the client."""
    return kind.startswith(HOSTED)


def _passed_item(raw: Raw) -> Raw | None:
    """An item of the input as it may be passed on; None for a thought that only a store could bring back."""
    item = members.typed(bytes(raw), _Typed)
    if item.type == "item_reference":
        raise NotTranslatable("No item is stored here to refer to; send it whole.")
    if item.type == "reasoning" and item.encrypted_content is None:
        return None
    if item.type in (None, "message"):
        contents = members.typed(bytes(raw), _Contents).content
        if isinstance(contents, list) and any(part.file_id is not None for part in contents):
            raise NotTranslatable("A file that is kept at OpenAI or elsewhere cannot be passed on; send its bytes.")
    return raw


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        output = message.content if isinstance(message.content, str) else list(_contents(message))
        yield {"type": "function_call_output", "call_id": message.tool_call_id or "", "output": output}
        return
    if message.role == "assistant":
        texts = [message.content] if isinstance(message.content, str) else _texts(message.content or [])
        yield from ({"type": "message", "role": "assistant", "content": text} for text in texts if text)
    elif message.content:
        yield {"type": "message", "role": message.role, "content": list(_contents(message))}
    for call in message.tool_calls or ():
        called = {"call_id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        yield {"type": "function_call", **called}


def _texts(parts: list[asking.Part]) -> Iterator[str]:
    """What an assistant said: it has shown nothing."""
    return (part.text for part in parts if isinstance(part, asking.TextPart))


def _contents(message: Message) -> Iterator[dict[str, Any]]:
    parts = [asking.TextPart(message.content)] if isinstance(message.content, str) else message.content or ()
    for part in parts:
        match part:
            case asking.TextPart(text):
                yield {"type": "input_text", "text": text}
            case asking.ImagePart(image):
                detail = "auto" if image.detail is UNSET else image.detail
                yield {"type": "input_image", "image_url": image.url, "detail": detail}
            case asking.FilePart(file):
                yield {"type": "input_file", "filename": file.filename, "file_data": file.file_data}
            case _:
                assert_never(part)


def _tool(function: asking.Function) -> dict[str, Any]:
    """Responses is strict where nothing is said, Chat Completions is not."""
    tool: dict[str, Any] = {
        "type": "function",
        "name": function.name,
        "parameters": asking.parameters(function),
        "strict": function.strict is True,
    }
    return tool if function.description is UNSET else {**tool, "description": function.description}


def _choice(choice: asking.Choice) -> Any:
    return choice if isinstance(choice, str) else {"type": "function", "name": choice.function.name}


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: value
        for name in ("temperature", "top_p", "top_logprobs")
        if (value := getattr(request, name)) is not UNSET
    }
    if request.logprobs is True:
        options["include"] = ["message.output_text.logprobs"]
    if request.reasoning_effort is not UNSET:
        options["reasoning"] = {"effort": request.reasoning_effort}
    text: dict[str, Any] = {}
    if request.verbosity is not UNSET:
        text["verbosity"] = request.verbosity
    match request.response_format:
        case asking.ResponseFormat(type="json_schema", json_schema=asking.Schema() as schema):
            text["format"] = {"type": "json_schema", **msgspec.to_builtins(schema, builtin_types=(Raw,))}
        case asking.ResponseFormat(type=kind):
            text["format"] = {"type": kind}
        case _:
            pass
    return options | ({"text": text} if text else {})


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: list[Any] | None = None


class _Item(Struct):
    type: str = ""
    content: list[_Content] | None = None
    summary: list[_Content] | None = None
    call_id: str | None = None
    id: str | None = None
    name: str = ""
    arguments: str | None = None
    input: str | None = None


class _Incomplete(Struct):
    reason: str = ""


class _Response(Struct):
    model: str = ""
    created_at: float = 0
    status: str | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Body(Struct):
    """An event, or a whole response."""

    type: str = ""
    object: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    logprobs: list[Any] | None = None
    item: _Item | None = None
    response: _Response | None = None
    message: Any = None
    error: Any = None


_read = msgspec.json.Decoder(_Body).decode
_read_whole = msgspec.json.Decoder(_Response).decode


class ResponsesReading(StepReading):
    """See `Reading`. Parts are known by their place; what came in pieces is not told again when it comes whole."""

    def __init__(self) -> None:
        super().__init__()
        self._summary = 0

    def take(self, data: bytes) -> Seen:
        """See `Reading.take`."""
        self._steps = []
        if data == DONE:
            return DONE_SEEN
        try:
            body = _read(data)
            if body.object == "response":
                return self._ended(_read_whole(data), "")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(str(error)) from None
        return self._event(body)

    def _event(self, body: _Body) -> Seen:
        place = (body.output_index, body.content_index)
        delta = body.delta if isinstance(body.delta, str) else ""
        match body.type:
            case "response.output_text.delta":
                self.grow(self.begin(place, "text"), Grown(text=delta, logprobs=tuple(body.logprobs or ())))
            case "response.refusal.delta":
                self.grow(self.begin(place, "refusal"), Grown(text=delta))
            case "response.function_call_arguments.delta":
                self.grow(self.begin(body.output_index, "tool"), Grown(text=delta))
            case "response.reasoning_summary_text.delta":
                self._think(body.output_index, delta, body.summary_index)
            case "response.reasoning_text.delta":
                self._think(body.output_index, delta, self._summary)
            case "response.output_text.done" | "response.refusal.done":
                if (part := self._parts.get(place)) is not None:
                    self.finish(part)
            case "response.output_item.added" if body.item is not None and body.item.type == "function_call":
                self.begin(body.output_index, "tool", id=body.item.call_id or "", name=body.item.name)
            case "response.output_item.done" if body.item is not None:
                self._item(body.output_index, body.item)
            case "response.created" | "response.in_progress" if body.response is not None:
                self._about(body.response)
            case "response.completed" | "response.incomplete" | "response.failed" if body.response is not None:
                return self._ended(body.response, body.type)
            case "error" | "":
                if body.type == "" and body.error is None:
                    raise MalformedError("neither an event nor a response")
                return Seen(
                    error=sentence(body.error if body.error is not None else body.message) or "an error without words"
                )
            case _:
                pass  # what the provider does itself, and what will be added
        return self.seen(body.type)

    def _think(self, index: int, delta: str, summary: int) -> None:
        part = self.begin(index, "reasoning")
        if summary != self._summary:
            self._summary = summary
            delta = f"\n\n{delta}" if summary else delta
        self.grow(part, Grown(text=delta))

    def _item(self, index: int, item: _Item) -> None:
        """An item is whole. What of it was told in pieces is only finished."""
        id = item.call_id or item.id or ""
        match item.type:
            case "function_call":
                self.tell(index, "tool", item.arguments or "", id=id, name=item.name)
            case "custom_tool_call":
                given = msgspec.json.encode({"input": item.input or ""}).decode()
                self.tell(index, "tool", given, id=id, name=item.name)
            case "reasoning":
                self.tell(index, "reasoning", joined(part.text or "" for part in item.summary or item.content or ()))
            case "message":
                for number, content in enumerate(item.content or ()):
                    if content.type == "refusal":
                        self.tell((index, number), "refusal", content.refusal or "")
                    else:
                        self.tell((index, number), "text", content.text or "", logprobs=tuple(content.logprobs or ()))
            case _:
                pass  # what the provider did itself

    def _about(self, response: _Response) -> None:
        self.told.model = self.told.model or response.model
        self.told.created = self.told.created or int(response.created_at)

    def _ended(self, response: _Response, event: str) -> Seen:
        self._about(response)
        if response.error is not None or response.status == "failed":
            return Seen(error=sentence(response.error) or "an error without words")
        for index, item in enumerate(response.output or ()):
            self._item(index, item)
        self.told.tokens = _tokens(response.usage)
        self.told.finish_reason = self._finish_reason(response)
        self.is_complete = True
        return self.seen(event, finish_reason=self.told.finish_reason, is_last=True)

    def _finish_reason(self, response: _Response) -> str:
        match response.incomplete_details:
            case _Incomplete(reason="content_filter"):
                return "content_filter"
            case _Incomplete():
                return "length"
            case _:
                return "tool_calls" if self.told.has_called else "stop"


def _tokens(usage: _Usage | None) -> Tokens | None:
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    read, written = usage.input_tokens_details or _Details(), usage.output_tokens_details or _Details()
    return Tokens(
        input=usage.input_tokens or 0,
        cached=min(read.cached_tokens or 0, usage.input_tokens or 0),
        output=usage.output_tokens or 0,
        reasoning=written.reasoning_tokens or 0,
    )


class _Tools(Struct):
    tools: list[_Typed] | None = None


def left_out(body: bytes) -> tuple[str, ...]:
    """The types of the tools in a request that are not passed on."""
    if not any(name.encode() in body for name in HOSTED):
        return ()
    return tuple(tool.type for tool in members.typed(body, _Tools).tools or () if tool.type and is_left_out(tool.type))

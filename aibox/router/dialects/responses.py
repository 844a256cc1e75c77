"""OpenAI's Responses for clients: requests as values, and answers as responses and their stream of events."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from aibox.core.errors import ValidationFailed
from aibox.observability import Usage
from aibox.router import AnswerStream, Asked, Chunk, NotTranslatable, Said
from aibox.router.dialects import asking
from aibox.router.dialects.asking import Message, Part
from aibox.router.dialects.exchange import Exchange, Writer
from aibox.router.dialects.messages import strings
from aibox.router.dialects.parts import Begun, Ended, Grown, Step, Tokens, Told


class InputText(Struct, frozen=True):
    text: str


class Refused(Struct, frozen=True):
    refusal: str


class InputImage(Struct, frozen=True):
    image_url: str | None = None
    detail: str | None = None


class InputFile(Struct, frozen=True):
    filename: str | None = None
    file_data: str | None = None


Content = InputText | Refused | InputImage | InputFile

CONTENTS: Final[dict[str, type[Any]]] = {
    "input_text": InputText,
    "output_text": InputText,
    "text": InputText,
    "refusal": Refused,
    "input_image": InputImage,
    "input_file": InputFile,
}


class InputMessage(Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Raw]


class FunctionCall(Struct, frozen=True):
    """A call that a model made before; `namespace` is the group that its tool was offered in."""

    call_id: str
    name: str
    arguments: str = ""
    namespace: str | None = None


class CustomCall(Struct, frozen=True):
    """A call of a tool that takes plain text."""

    call_id: str
    name: str
    input: str = ""
    namespace: str | None = None


class CallOutput(Struct, frozen=True):
    call_id: str
    output: str | list[Raw]


class Skipped(Struct, frozen=True):
    """What a model thought, or looked up at its provider: it means nothing to another."""


Item = InputMessage | FunctionCall | CustomCall | CallOutput | Skipped

ITEMS: Final[dict[str, type[Any]]] = {
    "message": InputMessage,
    "function_call": FunctionCall,
    "function_call_output": CallOutput,
    "custom_tool_call": CustomCall,
    "custom_tool_call_output": CallOutput,
    "reasoning": Skipped,
    "web_search_call": Skipped,
}


class FunctionTool(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class CustomTool(Struct, frozen=True):
    name: str
    description: str | None = None


class Namespace(Struct, frozen=True):
    """Tools in a group. Chat Completions knows no groups: `group` and `tool` go out as `group__tool`."""

    name: str
    tools: list[Raw]


class HostedTool(Struct, frozen=True):
    """A tool that its provider runs and that clients offer unasked: left out."""

    type: str


TOOLS: Final[dict[str, type[Any]]] = {
    "function": FunctionTool,
    "custom": CustomTool,
    "namespace": Namespace,
    "web_search": HostedTool,
    "web_search_preview": HostedTool,
    "image_generation": HostedTool,
    "tool_search": HostedTool,
}


class ToolChoice(Struct, frozen=True):
    type: str
    name: str = ""
    mode: Literal["auto", "required"] = "auto"
    tools: list["ToolChoice"] = []


class Format(Struct, frozen=True):
    type: str
    name: str = "answer"
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class TextOptions(Struct, frozen=True):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(Struct, frozen=True):
    effort: str | None = None


class Request(Struct, frozen=True, kw_only=True):
    """What we read of a request. Other members are for the provider's own bookkeeping and are left out."""

    model: str
    input: str | list[Raw] = []
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    tools: list[Raw] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None


class Echo(Struct, frozen=True, kw_only=True):
    """Members of a request that its response repeats as they came."""

    metadata: Raw = Raw(b"{}")
    instructions: Raw = Raw(b"null")
    max_output_tokens: Raw = Raw(b"null")
    parallel_tool_calls: Raw = Raw(b"true")
    reasoning: Raw = Raw(b'{"effort":null,"summary":null}')
    temperature: Raw = Raw(b"null")
    text: Raw = Raw(b'{"format":{"type":"text"}}')
    tool_choice: Raw = Raw(b'"auto"')
    top_logprobs: Raw = Raw(b"0")
    top_p: Raw = Raw(b"null")
    user: Raw = Raw(b"null")


class Offer(Struct, frozen=True):
    """A tool as the client named it, by the name that goes out."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


class Offered(Struct, frozen=True):
    """The tools of a request: as they go out, as they came, and which were left out."""

    tools: list[asking.Tool] = []
    raw: list[Raw] = []
    names: dict[str, Offer] = {}
    omitted: tuple[str, ...] = ()


class Opened(Struct, frozen=True):
    """What stands at the top of a request."""

    model: str
    stream: bool | None = None


class Responses:
    """See `Dialect` and `Translatable`."""

    name: Final = "responses"
    path: Final = "/v1/responses"
    headers: Final[tuple[str, ...]] = ()

    def open(self, body: bytes) -> Asked:
        """See `Dialect.open`."""
        opened = asking.decode(body, Opened, "The request")
        return Asked(opened.model, bool(opened.stream), wants_usage=True)

    def read(self, body: bytes) -> Exchange:
        """See `Translatable.read`."""
        request = asking.decode(body, Request, "The request")
        if request.max_output_tokens is not None and request.max_output_tokens < 1:
            raise ValidationFailed(fields=[{"field": "max_output_tokens", "error": "At least 1."}])
        if request.previous_response_id is not None or request.conversation is not None:
            raise NotTranslatable("No response is stored here to go on from; send the whole conversation as `input`.")
        if request.prompt is not None or request.background:
            raise NotTranslatable("Stored prompts and background responses do not exist here.")
        offered = _offered(request.tools or [])
        echo = asking.decode(body, Echo, "The request")
        return ResponsesExchange(_translated(request, offered), request, echo, offered)

    def stream(self, *, id: str) -> AnswerStream:
        """See `Dialect.stream`."""
        return ResponseStream(id)

    def said(self, tree: dict[str, Any]) -> Iterator[Said]:
        """See `Dialect.said`: what comes in pieces comes again whole, at its end and at the answer's."""
        name, index = str(tree.get("type", "")), tree.get("output_index", 0)
        stem, _, ending = name.rpartition(".")
        lane = f"{stem} {index} {tree.get('content_index', tree.get('summary_index', 0))}"
        match tree:
            case {"delta": str()} if ending == "delta":
                yield Said(lane, tree, "delta", beside=tree)
            case {"part": dict(part)} if ending in ("added", "done"):
                yield from _said(lane, [part])
            case {"item": dict(item)}:
                yield from _said_by_item(index, item)
            case {"response": {"output": list(items)}} | {"object": "response", "output": list(items)}:
                for number, item in enumerate(items):
                    yield from _said_by_item(number, item)
            case _:
                for member in ("text", "refusal", "arguments", "input", "code"):
                    if ending == "done" and isinstance(tree.get(member), str):
                        yield Said(lane, tree, member, is_whole=True, beside=tree)

    def closed(self, tree: dict[str, Any]) -> str | None:
        """See `Dialect.closed`: what ends is always repeated."""
        return None


_IN_ITEMS: Final = {"arguments": "function_call_arguments", "input": "custom_tool_call_input", "code": "code"}
"""Members of items that hold text, and how the events call it."""


def _said_by_item(index: Any, item: Any) -> Iterator[Said]:
    if not isinstance(item, dict):
        return
    for member, stem in _IN_ITEMS.items():
        if isinstance(item.get(member), str):
            yield Said(f"response.{stem} {index} 0", item, member, is_whole=True)
    for member in ("content", "summary"):
        parts = item.get(member)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _said(f"response.{member} {index} {number}", [part])
    for member in ("action", "queries", "results"):
        for said in strings(f"{member} {index}", item.get(member)):
            yield replace(said, is_whole=True)


def _said(lane: str, parts: list[Any]) -> Iterator[Said]:
    for part in parts:
        for member in ("text", "refusal"):
            if isinstance(part, dict) and isinstance(part.get(member), str):
                yield Said(lane, part, member, is_whole=True, beside=part)


class ResponseStream:
    """See `AnswerStream`."""

    def __init__(self, id: str) -> None:
        self._id = id
        self._sent = 0

    def push(self, chunk: Chunk) -> bytes:
        """See `AnswerStream.push`."""
        self._sent += 1
        return b"event: " + chunk.event.encode() + b"\ndata: " + chunk.data + b"\n\n"

    def close(self) -> bytes:
        """See `AnswerStream.close`."""
        return b""

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """See `AnswerStream.fail`: as OpenAI does, an `error` for who reads errors, then the failed response."""
        error = body["error"]
        told = {"code": error["code"], "message": error["message"]}
        response = {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "failed",
            "error": told,
            "output": [],
        }
        return self._last("error", {**body, **told, "param": None}) + self._last(
            "response.failed", {"response": response}
        )

    def _last(self, name: str, members: Mapping[str, Any]) -> bytes:
        data = msgspec.json.encode({"type": name, "sequence_number": self._sent, **members})
        return self.push(Chunk(data, event=name))


class ResponsesExchange:
    """See `Exchange`."""

    def __init__(self, translated: asking.Request, request: Request, echo: Echo, offered: Offered) -> None:
        self.request: Final = translated
        self.max_tokens: Final = request.max_output_tokens
        self.omitted: Final = offered.omitted
        self._model = request.model
        self._echo = echo
        self._offered = offered

    def writer(self, told: Told, *, id: str, wants_usage: bool) -> Writer:
        """See `Exchange.writer`."""
        return ResponseWriter(told, self._model, id, self._echo, self._offered)


class Growing(Struct, frozen=True):
    """The item that is being written. `texts` and `logprobs` grow."""

    begun: Begun
    offer: Offer
    id: str
    texts: list[str] = []
    logprobs: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)


class ResponseWriter:
    """See `Writer`: `response.created`, the items one after another, `response.completed`; all numbered."""

    def __init__(self, told: Told, model: str, id: str, echo: Echo, offered: Offered) -> None:
        self._told = told
        self._model = model
        self._id = id
        self._echo = echo
        self._offered = offered
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._growing: Growing | None = None

    def write(self, steps: Iterable[Step]) -> list[Chunk]:
        """See `Writer.write`."""
        return [*self._start(), *self._events(list(steps))]

    def close(self, steps: Iterable[Step], usage: Usage | None) -> list[Chunk]:
        """See `Writer.close`."""
        events = [*self._start(), *self._events(list(steps), is_last=True)]
        response = self._response(*self._ending(), usage=self._told.count(usage))
        return [*events, self._event(f"response.{response['status']}", {"response": response}, is_last=True)]

    def whole(self, steps: Iterable[Step], usage: Usage | None) -> bytes:
        """See `Writer.whole`."""
        for _ in self._events(list(steps), is_last=True):
            pass  # the items are what counts here
        return msgspec.json.encode(self._response(*self._ending(), usage=self._told.count(usage)))

    def _start(self) -> list[Chunk]:
        if self._sequence:
            return []
        response = {"response": self._response("in_progress", None)}
        return [self._event("response.created", response), self._event("response.in_progress", response)]

    def _event(self, name: str, members: Mapping[str, Any], *, is_last: bool = False) -> Chunk:
        event = {"type": name, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return Chunk(msgspec.json.encode(event), event=name, is_last=is_last)

    def _events(self, steps: list[Step], *, is_last: bool = False) -> Iterator[Chunk]:
        for number, step in enumerate(steps):
            match step:
                case Begun():
                    yield from self._begin(step)
                case Grown():
                    yield from self._grow(step)
                case Ended():
                    status, _ = self._ending() if is_last and number == len(steps) - 1 else ("completed", None)
                    yield from self._end(status)
                case _:
                    assert_never(step)

    def _begin(self, begun: Begun) -> Iterator[Chunk]:
        offer = self._offered.names.get(begun.name, Offer(begun.name))
        kind = "custom" if offer.is_custom else begun.kind
        self._growing = growing = Growing(begun, offer, f"{_PREFIXES[kind]}_{self._id}_{begun.number}")
        item = _item(growing, self._id, "in_progress", is_whole=False)
        yield self._event("response.output_item.added", {"output_index": begun.number, "item": item})
        if begun.kind != "tool":
            part = {"content_index": 0, "part": _part(begun.kind, "", [])}
            yield self._event("response.content_part.added", {**self._place(growing), **part})

    def _grow(self, grown: Grown) -> Iterator[Chunk]:
        growing = self._growing
        assert growing is not None
        growing.texts.append(grown.text)
        growing.logprobs.extend(grown.logprobs)
        if growing.offer.is_custom:
            return  # its text is within JSON: it is told when that is whole
        members = {**self._place(growing), "delta": grown.text}
        if growing.begun.kind != "tool":
            members["content_index"] = 0
        if growing.begun.kind == "text":
            members["logprobs"] = list(grown.logprobs)
        yield self._event(f"{_NAMES[growing.begun.kind]}.delta", members)

    def _end(self, status: str) -> Iterator[Chunk]:
        growing = self._growing
        assert growing is not None
        place, text, kind = self._place(growing), growing.text, growing.begun.kind
        if growing.offer.is_custom:
            written = _written(text)
            yield self._event("response.custom_tool_call_input.delta", {**place, "delta": written})
            yield self._event("response.custom_tool_call_input.done", {**place, "input": written})
        elif kind == "tool":
            told = {**place, "name": growing.offer.name, "arguments": text}
            yield self._event("response.function_call_arguments.done", told)
        else:
            part = _part(kind, text, growing.logprobs)
            told = {name: value for name, value in part.items() if name not in ("type", "annotations")}
            yield self._event(f"{_NAMES[kind]}.done", {**place, "content_index": 0, **told})
            yield self._event("response.content_part.done", {**place, "content_index": 0, "part": part})
        item = _item(growing, self._id, status, is_whole=True)
        self._output.append(item)
        yield self._event("response.output_item.done", {"output_index": growing.begun.number, "item": item})
        self._growing = None

    def _place(self, growing: Growing) -> dict[str, Any]:
        return {"item_id": growing.id, "output_index": growing.begun.number}

    def _ending(self) -> tuple[str, dict[str, str] | None]:
        """The status, and why it is incomplete."""
        match self._told.finish_reason:
            case "length":
                return "incomplete", {"reason": "max_output_tokens"}
            case "content_filter":
                return "incomplete", {"reason": "content_filter"}
            case _:
                return "completed", None

    def _response(self, status: str, why: dict[str, str] | None, *, usage: Tokens | None = None) -> dict[str, Any]:
        created = self._told.created or int(time.time())
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": why,
            "model": self._told.model or self._model,
            "output": self._output,
            "previous_response_id": None,
            "store": False,
            "tools": self._offered.raw,
            "truncation": "disabled",
            "usage": None if usage is None else _usage(usage),
            **msgspec.structs.asdict(self._echo),
        }


_PREFIXES: Final = {
    "reasoning": "rs",
    "text": "msg",
    "refusal": "msg",
    "tool": "fc",
    "custom": "ctc",
}

_NAMES: Final = {
    "reasoning": "response.reasoning_text",
    "text": "response.output_text",
    "refusal": "response.refusal",
    "tool": "response.function_call_arguments",
}


def _item(growing: Growing, id: str, status: str, *, is_whole: bool) -> dict[str, Any]:
    begun, text = growing.begun, growing.text
    content = [_part(begun.kind, text, growing.logprobs)] if is_whole and begun.kind != "tool" else []
    match begun.kind:
        case "reasoning":
            # No status: OpenAI's clients send items back as they got them, and a reasoning's has none there.
            return {"id": growing.id, "type": "reasoning", "summary": [], "content": content}
        case "text" | "refusal":
            members = {"type": "message", "role": "assistant", "content": content}
        case "tool":
            members = _call(growing, text, f"call_{id}_{begun.number}")
    return {"id": growing.id, "status": status, **members}


def _call(growing: Growing, text: str, id: str) -> dict[str, Any]:
    offer = growing.offer
    members: dict[str, Any] = {"call_id": growing.begun.id or id, "name": offer.name}
    if offer.namespace is not None:
        members["namespace"] = offer.namespace
    if offer.is_custom:
        return {"type": "custom_tool_call", "input": _written(text), **members}
    return {"type": "function_call", "arguments": text, **members}


def _part(kind: str, text: str, logprobs: list[Any]) -> dict[str, Any]:
    match kind:
        case "reasoning":
            return {"type": "reasoning_text", "text": text}
        case "refusal":
            return {"type": "refusal", "refusal": text}
        case _:
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


class _Written(Struct):
    input: str


def _written(arguments: str) -> str:
    """The text for a tool that takes plain text, out of the arguments we asked it in; or as the model wrote them."""
    try:
        return msgspec.json.decode(arguments, type=_Written).input
    except msgspec.DecodeError:
        return arguments


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def _translated(request: Request, offered: Offered) -> asking.Request:
    tools, choice = _chosen(offered, request.tool_choice)
    text = request.text or TextOptions()
    wants_logprobs = bool(request.top_logprobs) or "message.output_text.logprobs" in (request.include or ())
    return asking.Request(
        model=request.model,
        messages=asking.require_messages(_messages(request)),
        tools=tools or UNSET,
        tool_choice=choice if tools else UNSET,
        parallel_tool_calls=asking.given(request.parallel_tool_calls) if tools else UNSET,
        response_format=_format(text.format),
        reasoning_effort=asking.given(request.reasoning.effort if request.reasoning is not None else None),
        verbosity=asking.given(text.verbosity),
        temperature=asking.given(request.temperature),
        top_p=asking.given(request.top_p),
        logprobs=True if wants_logprobs else UNSET,
        top_logprobs=request.top_logprobs or UNSET,
    )


def _messages(request: Request) -> list[Message]:
    messages = [Message(role="system", content=request.instructions)] if request.instructions else []
    if isinstance(request.input, str):
        return [*messages, Message(role="user", content=request.input)] if request.input else messages
    for raw in request.input:
        item: Item = asking.decode_typed(raw, ITEMS, "An item of the input", default="message")
        match item:
            case InputMessage():
                _say(messages, item)
            case FunctionCall():
                function = asking.CalledFunction(_flat(item.namespace, item.name), item.arguments or "{}")
                _caller(messages).call(asking.ToolCall(id=item.call_id, function=function))
            case CustomCall():
                arguments = msgspec.json.encode({"input": item.input}).decode()
                function = asking.CalledFunction(_flat(item.namespace, item.name), arguments)
                _caller(messages).call(asking.ToolCall(id=item.call_id, function=function))
            case CallOutput():
                messages += _results(item)
            case Skipped():
                pass
            case _:
                assert_never(item)
    return _results_first(messages)


def _say(messages: list[Message], item: InputMessage) -> None:
    content = item.content if isinstance(item.content, str) else asking.plain(_parts(item.content))
    match item.role:
        case "user" | "assistant" as role:
            messages.append(Message(role=role, content=content))
            return
        case "system" | "developer":
            pass
        case _:
            assert_never(item.role)
    if isinstance(content, list):
        content = "\n\n".join(part.text for part in content if isinstance(part, asking.TextPart))
    first = messages[0] if len(messages) == 1 and messages[0].role == "system" else None
    if first is not None:
        # Many chat templates take one system message, at the beginning.
        first.content = f"{first.content}\n\n{content}"
    else:
        messages.append(Message(role="system", content=content))


def _caller(messages: list[Message]) -> Message:
    """The assistant's message that calls tools: the last, if it is the assistant's."""
    if not messages or messages[-1].role != "assistant":
        messages.append(Message(role="assistant", content=None))
    return messages[-1]


def _results(item: CallOutput) -> Iterator[Message]:
    """A tool's result; what it shows follows as the user's, for Chat Completions takes only text from tools."""
    if isinstance(item.output, str):
        yield Message(role="tool", content=item.output, tool_call_id=item.call_id)
        return
    parts = _parts(item.output)
    texts: list[Part] = [part for part in parts if isinstance(part, asking.TextPart)]
    shown: list[Part] = [part for part in parts if not isinstance(part, asking.TextPart)]
    yield Message(role="tool", content=asking.plain(texts) or "", tool_call_id=item.call_id)
    if shown:
        yield Message(role="user", content=shown)


def _results_first(messages: list[Message]) -> list[Message]:
    """`messages` with the results of tools right after their calls, as Chat Completions wants them."""
    calls = {call.id for message in messages for call in message.tool_calls or ()}
    results = {message.tool_call_id: message for message in messages if message.tool_call_id in calls}
    ordered: list[Message] = []
    for message in messages:
        if message.tool_call_id not in calls:
            ordered.append(message)
        ordered += [results[call.id] for call in message.tool_calls or () if call.id in results]
    return ordered


def _parts(contents: list[Raw]) -> list[Part]:
    return [_content(asking.decode_typed(raw, CONTENTS, "A part of a content")) for raw in contents]


def _content(content: Content) -> Part:
    match content:
        case InputText(text) | Refused(text):
            return asking.TextPart(text)
        case InputImage(image_url=str(url)):
            return asking.ImagePart(asking.ImageUrl(url, asking.given(content.detail)))
        case InputFile(file_data=str(data)):
            return asking.FilePart(asking.File(content.filename or "file", data))
        case InputImage() | InputFile():
            raise NotTranslatable("A file that is kept at OpenAI or elsewhere cannot be passed on; send its bytes.")
        case _:
            assert_never(content)


def _offered(raw: list[Raw], namespace: str | None = None) -> Offered:
    offered = Offered()
    for data in raw:
        tool = asking.decode_typed(data, TOOLS, "A tool")
        match tool:
            case FunctionTool():
                function = asking.Function(
                    name=_flat(namespace, tool.name),
                    description=asking.given(tool.description),
                    parameters=asking.raw(tool.parameters),
                    strict=asking.given(tool.strict),
                )
                found = _one(data, function, Offer(tool.name, namespace))
            case CustomTool():
                function = asking.Function(
                    name=_flat(namespace, tool.name),
                    description=asking.given(tool.description),
                    parameters=_TEXT_SCHEMA,
                )
                found = _one(data, function, Offer(tool.name, namespace, is_custom=True))
            case Namespace():
                found = replace(_offered(tool.tools, tool.name), raw=[data])
            case _:
                found = Offered(omitted=(tool.type,))
        offered = Offered(
            offered.tools + found.tools,
            offered.raw + found.raw,
            offered.names | found.names,
            offered.omitted + found.omitted,
        )
    return offered


_TEXT_SCHEMA: Final = Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)


def _one(raw: Raw, function: asking.Function, offer: Offer) -> Offered:
    return Offered([asking.Tool(function=function)], [raw], {function.name: offer})


def _flat(namespace: str | None, name: str) -> str:
    return name if namespace is None else f"{namespace}__{name}"


def _chosen(offered: Offered, choice: str | ToolChoice | None) -> tuple[list[asking.Tool], asking.Choice | UnsetType]:
    """The tools that may be called, and whether one must be."""
    match choice:
        case None:
            return offered.tools, UNSET
        case "auto" | "none" | "required":
            return offered.tools, choice
        case ToolChoice(type="function" | "custom", name=name):
            return offered.tools, asking.NamedTool(function=asking.FunctionName(name))
        case ToolChoice(type="allowed_tools"):
            allowed = {tool.name for tool in choice.tools}
            return [tool for tool in offered.tools if tool.function.name in allowed], choice.mode
        case ToolChoice(type=kind) | str(kind):
            raise NotTranslatable(f"The tool choice {kind[:60]} cannot be passed on to a model here.")
        case _:
            assert_never(choice)


def _format(wanted: Format | None) -> asking.ResponseFormat | UnsetType:
    match wanted:
        case None | Format(type="text"):
            return UNSET
        case Format(type="json_object"):
            return asking.ResponseFormat(type="json_object")
        case Format(type="json_schema", schema=schema) if asking.raw(schema) is not UNSET:
            return asking.ResponseFormat(
                type="json_schema",
                json_schema=asking.Schema(
                    name=wanted.name,
                    description=asking.given(wanted.description),
                    schema=schema,
                    strict=asking.given(wanted.strict),
                ),
            )
        case Format(type=kind):
            raise NotTranslatable(f"The text format {kind[:60]} cannot be passed on to a model here.")
        case _:
            assert_never(wanted)

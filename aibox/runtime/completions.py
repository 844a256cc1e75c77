"""The API of other AI clients: a call to `/v1/chat/completions` is a turn of its own.

Its steps are prepare, guard_in, ask, guard_out, resolve: no memory, no tools of ours, no conversation; guarded, metered
and sealed like chat. What no scanner or mask changes passes byte for byte. A client that leaves cancels the provider's
call, and the turn is sealed `abandoned`.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog
from litestar.types import Receive, Scope, Send
from msgspec import Raw, Struct
from msgspec.structs import replace

from aibox.core.errors import AIBoxError, BadRequest, Internal, ValidationFailed, error_body, render
from aibox.core.eventlog import EventLog
from aibox.core.events import TurnFailed
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Guardrail, OutputFilter, Verdict
from aibox.router import Answer, Chunk, ModelCall, ModelRouter

log = structlog.get_logger("aibox.runtime.completions")

PATH = "/v1/chat/completions"


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False


class CompletionRequest(Struct, frozen=True):
    """What we read of a Chat Completions request; every other member passes on as it is."""

    model: str
    messages: list[Raw]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = None


class Part(Struct, frozen=True):
    type: str
    text: str | None = None


class ReadMessage(Struct, frozen=True):
    """What we read of a message."""

    role: str
    content: str | list[Part] | None = None


class Call(Struct, frozen=True, kw_only=True):
    """What a call knows so far: the state that its steps hand on."""

    turn: Turn
    body: bytes
    request: CompletionRequest
    is_guarded: bool = True

    @property
    def model_call(self) -> ModelCall:
        options = self.request.stream_options
        return ModelCall(
            model=self.request.model,
            body=self.body,
            wants_usage=options is not None and options.include_usage,
        )


class Completions:
    """Serves calls of other AI clients."""

    def __init__(self, log: EventLog, guardrail: Guardrail, router: ModelRouter) -> None:
        self._log = log
        self._guardrail = guardrail
        self._router = router

    def serve(self, turn: Turn, body: bytes) -> "CompletionResponse":
        """The response to a request's `body`, as an ASGI application. It ends the turn."""
        return CompletionResponse(self, turn, body)

    async def prepare(self, turn: Turn, body: bytes) -> Call:
        """Read the request. Raises `BadRequest` for what is no JSON, `ValidationFailed` for what is no request."""
        try:
            request = msgspec.json.decode(body, type=CompletionRequest)
        except msgspec.ValidationError as error:
            raise ValidationFailed(f"The request is not valid: {error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest("The body is not JSON.") from None
        if not request.messages:
            raise ValidationFailed("The request has no messages.")
        return Call(turn=turn, body=body, request=request, is_guarded=not await self._guardrail.is_off(turn))

    async def guard_in(self, call: Call) -> Call:
        """Judge every text of the request; raises `Blocked`. Unchanged texts leave the body as it is."""
        if not call.is_guarded:
            return call
        messages = [_read(message) for message in call.request.messages]
        texts = [text for message in messages for text in _texts(message)]
        if not texts:
            return call
        external = await self._router.is_external(call.turn, call.request.model)
        verdicts = await self._guardrail.check_input(call.turn, texts, external=external)
        blocked = next((verdict for verdict in verdicts if verdict.decision == "block"), None)
        if blocked is not None:
            raise Blocked(blocked.reason)
        if all(verdict.content == text for verdict, text in zip(verdicts, texts, strict=True)):
            return call
        return replace(call, body=_rewritten(call.body, call.request.messages, messages, iter(verdicts)))

    async def complete(self, call: Call) -> tuple[bytes, Answer]:
        """Steps `ask` and `guard_out` of a call that does not stream: the response body, and what it cost."""
        answer = await self._router.complete(call.turn, call.model_call)
        if not call.is_guarded or not answer.text:
            return answer.data, answer
        output = self._guardrail.output(call.turn)
        shown = await output.push(answer.text) + await output.close()
        return (answer.data if shown == answer.text else _with_text(answer.data, shown)), answer

    async def resolve(self, turn: Turn, outcome: str, error: AIBoxError | None = None) -> None:
        """Seal the turn before the last byte leaves."""
        if error is not None and self._log.is_open(turn):
            await self._log.log(turn, TurnFailed(code=error.code))
        await self._log.end(turn, outcome)

    def leave(self, turn: Turn) -> None:
        """The call is over; what could not be sealed is the reaper's."""
        self._log.leave(turn)

    @property
    def router(self) -> ModelRouter:
        return self._router

    def output(self, call: Call) -> OutputFilter | None:
        return self._guardrail.output(call.turn) if call.is_guarded else None


class CompletionResponse:
    """One call as an ASGI application: works in a task of its own, which ends when the client leaves."""

    def __init__(self, completions: Completions, turn: Turn, body: bytes) -> None:
        self._completions = completions
        self._turn = turn
        self._body = body
        self._is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.create_task(self._work(send), name=f"completion.{self._turn.id}")
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._completions.leave(self._turn)

    async def _work(self, send: Send) -> None:
        turn = self._turn
        try:
            call = await self._completions.guard_in(await self._completions.prepare(turn, self._body))
            await (self._stream(call, send) if call.request.stream else self._answer(call, send))
        except asyncio.CancelledError:
            # The client left. The router has closed the provider's call and billed what was used.
            await asyncio.shield(self._completions.resolve(turn, "abandoned"))
            raise
        except Blocked as blocked:
            await self._refuse(send, blocked, "denied")
        except AIBoxError as error:
            await self._refuse(send, error, "failed")
        except Exception:
            log.exception("completion.failed", turn=str(turn.id))
            await self._refuse(send, Internal(), "failed")

    async def _answer(self, call: Call, send: Send) -> None:
        data, answer = await self._completions.complete(call)
        await self._completions.resolve(call.turn, "sealed")
        headers = _headers(answer.provider, answer.model, answer.attempts, "application/json")
        await self._start(send, 200, headers)
        await send({"type": "http.response.body", "body": data, "more_body": False})

    async def _stream(self, call: Call, send: Send) -> None:
        output = self._completions.output(call)
        async with self._completions.router.stream(call.turn, call.model_call) as stream:
            await self._start(send, 200, _headers(stream.provider, stream.model, stream.attempts, "text/event-stream"))
            if output is None:
                async for chunk in stream:
                    await _send_frame(send, chunk.data)
            else:
                relay = Relay(output)
                async for chunk in stream:
                    for data in await relay.push(chunk):
                        await _send_frame(send, data)
                for data in await relay.close():
                    await _send_frame(send, data)
        await self._completions.resolve(call.turn, "sealed")
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _refuse(self, send: Send, error: AIBoxError, outcome: str) -> None:
        turn_id = str(self._turn.id)
        try:
            await self._completions.resolve(self._turn, outcome, error)
        except AIBoxError as failure:
            log.error("completion.not_sealed", turn=turn_id, code=failure.code)  # the reaper seals it
        if self._is_started:
            body = msgspec.json.encode(error_body(error, path=PATH, turn_id=turn_id))
            await send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": False})
            return
        status, headers, body = render(error, path=PATH, turn_id=turn_id)
        await self._start(send, status, [(k.encode(), v.encode()) for k, v in headers.items()])
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._is_started = True
        await send({"type": "http.response.start", "status": status, "headers": headers})


class Relay:
    """Passes a stream's chunks on, as they are while the filter changes nothing, with its text from then on.

    The filter holds text back, so a chunk waits until all its text is released.
    """

    def __init__(self, output: OutputFilter) -> None:
        self._output = output
        self._waiting: deque[Chunk] = deque()
        self._released = ""
        self._is_changed = False

    async def push(self, chunk: Chunk) -> list[bytes]:
        self._waiting.append(chunk)
        if chunk.text:
            self._released += await self._output.push(chunk.text)
        return self._pass(is_last=False)

    async def close(self) -> list[bytes]:
        self._released += await self._output.close()
        return self._pass(is_last=True)

    def _pass(self, *, is_last: bool) -> list[bytes]:
        ready: list[bytes] = []
        while self._waiting:
            chunk = self._waiting[0]
            if not chunk.text:
                ready.append(chunk.data)
            elif not self._is_changed and self._released.startswith(chunk.text):
                self._released = self._released[len(chunk.text) :]
                ready.append(chunk.data)
            elif not is_last and not self._is_changed and chunk.text.startswith(self._released):
                return ready  # its rest is still held back
            else:
                self._is_changed = True
                if not is_last and not self._released:
                    return ready
                # From here the words are the filter's: put into the frames that wait, the last taking the rest.
                ready.append(_with_delta(chunk.data, self._released))
                self._released = ""
            self._waiting.popleft()
        return ready


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_frame(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})


def _headers(provider: str, model: str, attempts: int, media_type: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", media_type.encode()),
        (b"cache-control", b"no-store"),
        (b"x-aibox-provider", provider.encode()),
        (b"x-aibox-model", model.encode()),
        (b"x-aibox-attempts", str(attempts).encode()),
    ]


def _read(message: Raw) -> ReadMessage:
    try:
        return msgspec.json.decode(message, type=ReadMessage)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"A message is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None


def _texts(message: ReadMessage) -> list[str]:
    match message.content:
        case str(text):
            return [text]
        case list(parts):
            return [part.text for part in parts if part.text is not None]
        case None:
            return []


def _rewritten(body: bytes, raw: list[Raw], messages: list[ReadMessage], verdicts: Iterator[Verdict]) -> bytes:
    """The request with each text replaced by its verdict's; messages without text stay as they are."""
    replaced: list[object] = []
    for data, message in zip(raw, messages, strict=True):
        if not _texts(message):
            replaced.append(data)
            continue
        tree = msgspec.json.decode(data, type=dict[str, Any])
        if isinstance(message.content, str):
            tree["content"] = next(verdicts).content
        else:
            for part in tree["content"]:
                if part.get("text") is not None:
                    part["text"] = next(verdicts).content
        replaced.append(tree)
    members = msgspec.json.decode(body, type=dict[str, Raw])
    return msgspec.json.encode({**members, "messages": replaced})


def _with_delta(data: bytes, text: str) -> bytes:
    """A chunk with `text` as its first choice's delta."""
    tree = msgspec.json.decode(data, type=dict[str, Any])
    tree["choices"][0]["delta"]["content"] = text
    return msgspec.json.encode(tree)


def _with_text(data: bytes, text: str) -> bytes:
    """A response with `text` as its first choice's content."""
    tree = msgspec.json.decode(data, type=dict[str, Any])
    tree["choices"][0]["message"]["content"] = text
    return msgspec.json.encode(tree)

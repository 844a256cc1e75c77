"""The API of other AI clients: a call to `/v1/chat/completions`, `/v1/responses`, `/v1/messages` is a turn of its own.

A dialect translates the request to Chat Completions and the answer back; the rest is the same for all. The steps are
prepare, guard_in, ask, guard_out, resolve: no memory, no tools of ours, no conversation; guarded, metered and sealed
like chat. What no scanner or mask changes passes byte for byte where nothing is translated. A client that leaves
cancels the provider's call, and the turn is sealed `abandoned`.
"""

from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from aibox.core.errors import BadRequest, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Guardrail
from aibox.router import Answer, Dialect, Exchange, ModelCall, ModelRouter
from aibox.runtime.calls import CallResponse, Reply, headers_of
from aibox.runtime.relay import Relay, answered, asked


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
    """What a message has to be; more is not asked of it."""

    role: str
    content: str | list[Part] | None = None


class Call(Struct, frozen=True, kw_only=True):
    """What a call knows so far: the state that its steps hand on."""

    turn: Turn
    exchange: Exchange
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
            max_tokens=self.exchange.max_tokens,
        )


class Completions:
    """Serves calls of other AI clients."""

    def __init__(
        self, log: EventLog, guardrail: Guardrail, router: ModelRouter, dialects: Mapping[str, Dialect]
    ) -> None:
        self._log = log
        self._guardrail = guardrail
        self._router = router
        self._dialects = dialects

    def serve(self, turn: Turn, body: bytes, dialect: str) -> CallResponse:
        """The response to a request's `body`, as an ASGI application. It ends the turn."""
        spoken = self._dialects[dialect]
        return CallResponse(self._log, turn, spoken.path, partial(self._work, turn, body, spoken))

    async def _work(self, turn: Turn, body: bytes, dialect: Dialect, reply: Reply) -> None:
        call = await self.guard_in(await self.prepare(turn, dialect.read(body)))
        await (self._stream(call, reply) if call.request.stream else self._answer(call, reply))

    async def prepare(self, turn: Turn, exchange: Exchange) -> Call:
        """Read the request. Raises `BadRequest` for what is no JSON, `ValidationFailed` for what is no request."""
        try:
            request = msgspec.json.decode(exchange.body, type=CompletionRequest)
        except msgspec.ValidationError as error:
            raise ValidationFailed(f"The request is not valid: {error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest("The body is not JSON.") from None
        if not request.messages:
            raise ValidationFailed("The request has no messages.")
        is_guarded = not await self._guardrail.is_off(turn)
        return Call(turn=turn, exchange=exchange, body=exchange.body, request=request, is_guarded=is_guarded)

    async def guard_in(self, call: Call) -> Call:
        """Judge every text of the request; raises `Blocked`. Unchanged texts leave the body as it is."""
        if not call.is_guarded:
            return call
        for message in call.request.messages:
            _require_message(message)
        try:
            members, places = asked(call.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest("The body is not JSON.") from None
        texts = [place.text for place in places]
        if not texts:
            return call
        external = await self._router.is_external(call.turn, call.request.model)
        instructions = {index for index, place in enumerate(places) if place.is_instruction}
        verdicts = await self._guardrail.check_input(call.turn, texts, external=external, instructions=instructions)
        blocked = next((verdict for verdict in verdicts if verdict.decision == "block"), None)
        if blocked is not None:
            raise Blocked(blocked.reason)
        if all(verdict.content == text for verdict, text in zip(verdicts, texts, strict=True)):
            return call
        for verdict, place in zip(verdicts, places, strict=True):
            place.put(verdict.content)
        return replace(call, body=msgspec.json.encode(members))

    async def complete(self, call: Call) -> tuple[bytes, Answer]:
        """Steps `ask` and `guard_out` of a call that does not stream: the response body, and what it cost."""
        answer = await self._router.complete(call.turn, call.model_call)
        if not call.is_guarded:
            return answer.data, answer
        body = msgspec.json.decode(answer.data)
        is_changed = False
        for piece in list(answered(body, "message")):
            output = self._guardrail.output(call.turn)
            shown = await output.push(piece.place.text) + await output.close()
            if shown != piece.place.text:
                piece.put(shown)
                is_changed = True
        return (msgspec.json.encode(body) if is_changed else answer.data), answer

    async def _answer(self, call: Call, reply: Reply) -> None:
        data, answer = await self.complete(call)
        whole = call.exchange.whole(data, answer.usage, id=call.turn.id.hex)
        await self._log.end(call.turn, "sealed")
        await reply.start(headers_of(answer, omitted=call.exchange.omitted))
        await reply.end(whole)

    async def _stream(self, call: Call, reply: Reply) -> None:
        """The same three steps while the answer arrives. What passed no filter is on its way at once."""
        relay = Relay(lambda: self._guardrail.output(call.turn)) if call.is_guarded else None
        writer = reply.stream = call.exchange.stream(id=call.turn.id.hex)
        async with self._router.stream(call.turn, call.model_call) as stream:
            await reply.start(headers_of(stream, "text/event-stream", omitted=call.exchange.omitted))
            async for chunk in stream:
                for data in [chunk.data] if relay is None else await relay.push(chunk):
                    await reply.push(writer.push(data))
            for data in [] if relay is None else await relay.close():
                await reply.push(writer.push(data))
            last = writer.close(stream.usage)
        await self._log.end(call.turn, "sealed")
        await reply.end(last)


def _require_message(message: Raw) -> None:
    try:
        msgspec.json.decode(message, type=ReadMessage)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"A message is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None

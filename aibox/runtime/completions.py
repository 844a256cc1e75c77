"""The API of other AI clients: a call to `/v1/chat/completions`, `/v1/responses`, `/v1/messages` is a turn of its own.

A dialect translates the request to Chat Completions and the answer back; the rest is the same for all. The steps are
prepare, guard_in, ask, guard_out, resolve: no memory, no tools of ours, no conversation; guarded, metered and sealed
like chat. What no scanner or mask changes passes byte for byte where nothing is translated. A client that leaves
cancels the provider's call, and the turn is sealed `abandoned`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Guardrail
from aibox.knowledge import DocumentReader
from aibox.router import Answer, Asked, Dialect, ModelCall, ModelRouter, TokenCounter, require_allowed
from aibox.runtime.attachments import Read, attachments
from aibox.runtime.calls import CallResponse, Check, Reply, headers_of
from aibox.runtime.relay import Place, Relay, asked


class Call(Struct, frozen=True, kw_only=True):
    """What a call knows so far: the state that its steps hand on."""

    turn: Turn
    dialect: Dialect
    body: bytes
    asked: Asked
    headers: Mapping[str, str] = {}
    is_guarded: bool = True
    flags: tuple[str, ...] = ()
    """What the request may be, such as `prompt_injection`: whoever runs tools should ask first."""
    unscanned: tuple[str, ...] = ()
    """The kinds of what went along unread, such as `audio`."""

    def model_call(self, *, ends_turn: bool = False) -> ModelCall:
        """What the router is asked."""
        return ModelCall(
            model=self.asked.model,
            body=self.body,
            dialect=self.dialect.name,
            wants_usage=self.asked.wants_usage,
            headers=self.headers,
            ends_turn=ends_turn,
        )

    @property
    def remarks(self) -> list[tuple[bytes, bytes]]:
        """What the guardrail has to say of the request, as headers of the answer."""
        said = ((b"x-aibox-flags", self.flags), (b"x-aibox-unscanned", self.unscanned))
        return [(name, ", ".join(values).encode()) for name, values in said if values]

    def remarked(self, answer: bytes) -> bytes:
        """A whole answer with the same in its member `aibox`; untouched when there is nothing to say."""
        said = {name: values for name, values in (("flags", self.flags), ("unscanned", self.unscanned)) if values}
        if not said:
            return answer
        members: dict[str, Any] = dict(msgspec.json.decode(answer, type=dict[str, Raw]))
        return msgspec.json.encode({**members, "aibox": said})


class Completions:
    """Serves calls of other AI clients."""

    def __init__(
        self,
        log: EventLog,
        check: Check,
        guardrail: Guardrail,
        router: ModelRouter,
        counter: TokenCounter,
        reader: DocumentReader,
        dialects: Mapping[str, Dialect],
    ) -> None:
        self._log = log
        self._check = check
        self._guardrail = guardrail
        self._router = router
        self._counter = counter
        self._reader = reader
        self._dialects = dialects

    def serve(self, turn: Turn, body: bytes, dialect: str, headers: Mapping[str, str] = {}) -> CallResponse:
        """The response to a request's `body`, as an ASGI application. It ends the turn.

        `headers` are the request's, of which the dialect's own go along.
        """
        spoken = self._dialects[dialect]
        own = {name: headers[name] for name in spoken.headers if name in headers}
        return CallResponse(self._log, self._check, turn, spoken.path, partial(self._work, turn, body, spoken, own))

    def count(self, turn: Turn, body: bytes, headers: Mapping[str, str] = {}) -> CallResponse:
        """The response that says how many tokens a Messages request has. It ends the turn."""
        spoken = self._dialects["messages"]
        own = {name: headers[name] for name in spoken.headers if name in headers}
        return CallResponse(self._log, self._check, turn, spoken.path, partial(self._count, turn, body, spoken, own))

    async def _count(self, turn: Turn, body: bytes, dialect: Dialect, headers: Mapping[str, str], reply: Reply) -> None:
        call = await self.guard_in(await self.prepare(turn, body, dialect, headers))
        counted = await self._counter.count_tokens(turn, call.model_call())
        await self._log.end(turn, "sealed")
        await reply.start(headers_of(counted))
        await reply.end(msgspec.json.encode({"input_tokens": counted.tokens}))

    async def _work(self, turn: Turn, body: bytes, dialect: Dialect, headers: Mapping[str, str], reply: Reply) -> None:
        try:
            call = await self.guard_in(await self.prepare(turn, body, dialect, headers))
            await (self._stream(call, reply) if call.asked.is_stream else self._answer(call, reply))
        finally:
            self._guardrail.release(turn)

    async def ask(self, turn: Turn, body: bytes) -> tuple[bytes, Answer]:
        """Ask what is written as in Chat Completions, for a turn of this house: the answer as a client gets it."""
        try:
            call = await self.guard_in(await self.prepare(turn, body, self._dialects["chat_completions"]))
            return await self.complete(call, ends_turn=False)
        finally:
            self._guardrail.release(turn)

    async def prepare(self, turn: Turn, body: bytes, dialect: Dialect, headers: Mapping[str, str] = {}) -> Call:
        """Read the request. Raises `BadRequest`, `ValidationFailed`, `ModelForbidden`."""
        opened = dialect.open(body)
        require_allowed(turn, opened.model)
        is_guarded = not await self._guardrail.is_off(turn)
        return Call(turn=turn, dialect=dialect, body=body, asked=opened, headers=headers, is_guarded=is_guarded)

    async def guard_in(self, call: Call) -> Call:
        """Judge every text of the request, those in its files too; raises `Blocked`.

        Unchanged texts leave the body as it is.
        """
        if not call.is_guarded:
            return call
        opened = asked(call.body)
        places: list[Place | Read] = [*opened.places]
        unscanned: tuple[str, ...] = ()
        if opened.carried:
            reads_images = await self._guardrail.reads_images(call.turn)
            brought = await attachments(opened.carried, self._reader, reads_images=reads_images)
            places += brought.read
            unscanned = brought.unscanned
        if not places and not unscanned:
            return call
        texts = [place.text for place in places]
        verdicts = await self._guardrail.check_input(
            call.turn,
            texts,
            external=await self._router.is_external(call.turn, call.asked.model),
            instructions={index for index, place in enumerate(opened.places) if place.is_instruction},
            untrusted=range(len(opened.places), len(places)),
            unscanned=unscanned,
        )
        blocked = next((verdict for verdict in verdicts if verdict.decision == "block"), None)
        if blocked is not None:
            raise Blocked(blocked.reason)
        is_flagged = any(verdict.flagged for verdict in verdicts)
        call = replace(call, flags=("prompt_injection",) if is_flagged else (), unscanned=unscanned)
        changed = [
            (place, v.content) for place, v, text in zip(places, verdicts, texts, strict=True) if v.content != text
        ]
        for place, content in changed:
            place.put(content)
        return replace(call, body=msgspec.json.encode(opened.members)) if changed else call

    async def complete(self, call: Call, *, ends_turn: bool) -> tuple[bytes, Answer]:
        """Steps `ask` and `guard_out` of a call that does not stream: the response body, and what it cost.

        Where nothing is filtered, the answer is the last thing that happens in the turn, and ends it with itself.
        """
        relay = self._relay(call)
        answer = await self._router.complete(call.turn, call.model_call(ends_turn=ends_turn and relay is None))
        data = answer.data if relay is None else await relay.whole(answer.data)
        if ends_turn and relay is not None:
            await self._log.end(call.turn, "sealed")
        return data, answer

    async def _answer(self, call: Call, reply: Reply) -> None:
        data, answer = await self.complete(call, ends_turn=True)
        await reply.start(headers_of(answer) + call.remarks)
        await reply.end(call.remarked(data))

    async def _stream(self, call: Call, reply: Reply) -> None:
        """The same three steps while the answer arrives. What passed no filter is on its way at once; what ends the
        answer waits for the seal."""
        writer = reply.stream = call.dialect.stream(id=call.turn.id.hex)
        ready = last = b""
        relay = self._relay(call)
        async with self._router.stream(call.turn, call.model_call(ends_turn=relay is None)) as stream:
            await reply.start(headers_of(stream, "text/event-stream") + call.remarks)
            async for chunk in stream if relay is None else relay.through(stream):
                if chunk.is_last:
                    last = writer.push(chunk)
                    continue
                ready += writer.push(chunk)
                if relay is not None or not stream.has_more:  # what came together goes together: a write costs
                    await reply.push(ready)
                    ready = b""
            await reply.push(ready)
        if relay is not None:
            await self._log.end(call.turn, "sealed")
        await reply.end(last + writer.close())

    def _relay(self, call: Call) -> Relay | None:
        """What lets the answer through; None where nothing is filtered."""
        if not call.is_guarded:
            return None
        return Relay(call.dialect, lambda form: self._guardrail.output(call.turn, form=form))

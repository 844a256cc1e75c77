"""Runs what a provider sent through the adapters and the dialects, as the router does, without a socket."""

from collections.abc import Iterable
from typing import Any

import msgspec

from aibox.observability import Usage
from aibox.router import Chunk
from aibox.router.adapters.known import ADAPTERS
from aibox.router.adapters.port import Reading
from aibox.router.dialects import chat
from aibox.router.dialects.exchange import Exchange
from aibox.router.dialects.spoken import DIALECTS


def request_of(exchange: Exchange) -> dict[str, Any]:
    """The request as values, encoded: Chat Completions without a limit of tokens."""
    request: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(exchange.request))
    return request


def whole(exchange: Exchange, data: bytes, usage: Usage, *, adapter: str = "chat_completions") -> dict[str, Any]:
    """The answer's body for the client, out of a provider's."""
    reading = ADAPTERS[adapter].reading()
    reading.take(data)
    steps = [*reading.steps(), *reading.end()]
    writer = exchange.writer(reading.told, id="1", wants_usage=True)
    body: dict[str, Any] = msgspec.json.decode(writer.whole(steps, usage))
    return body


def chunks(
    exchange: Exchange, payloads: Iterable[bytes], usage: Usage | None, *, adapter: str = "chat_completions"
) -> list[Chunk]:
    """The events for the client, out of the payloads of a provider's."""
    reading = ADAPTERS[adapter].reading()
    writer = exchange.writer(reading.told, id="1", wants_usage=True)
    told: list[Chunk] = []
    for data in payloads:
        if data != chat.DONE:
            reading.take(data)
            told += writer.write(reading.steps())
    return [*told, *writer.close(reading.end(), usage)]


def sent(dialect: str, told: Iterable[Chunk]) -> bytes:
    """The bytes of a stream, as its client gets them."""
    stream = DIALECTS[dialect].stream(id="1")
    return b"".join([*map(stream.push, told), stream.close()])


def streamed(
    dialect: str,
    exchange: Exchange,
    payloads: Iterable[bytes],
    usage: Usage | None,
    *,
    adapter: str = "chat_completions",
) -> bytes:
    """`chunks`, as bytes."""
    return sent(dialect, chunks(exchange, payloads, usage, adapter=adapter))


def read_all(reading: Reading, payloads: Iterable[bytes]) -> tuple[chat.Transcript, Usage | None, str | None]:
    """What the meter and the log hear of an answer: text and calls, usage, and why it ended."""
    transcript, usage, finish = chat.Transcript(), None, None
    for data in payloads:
        seen = reading.take(data)
        assert seen.error is None
        transcript.add(seen)
        usage, finish = seen.usage or usage, seen.finish_reason or finish
    return transcript, usage, finish

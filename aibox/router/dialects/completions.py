"""Chat Completions for clients: requests, answers and chunks pass as they are."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from aibox.observability import Usage
from aibox.router import AnswerStream, Exchange


class ChatCompletions:
    """See `Dialect`."""

    path: Final = "/v1/chat/completions"

    def read(self, body: bytes) -> Exchange:
        """See `Dialect.read`. Nothing is read here: what the request must have, its reader checks."""
        return Passing(body)


class Passing:
    """See `Exchange` and `AnswerStream`: one object, for it remembers nothing of the answer."""

    max_tokens: Final = None
    omitted: Final[tuple[str, ...]] = ()

    def __init__(self, body: bytes) -> None:
        self.body: Final = body

    def whole(self, data: bytes, usage: Usage, *, id: str) -> bytes:
        """See `Exchange.whole`."""
        return data

    def stream(self, *, id: str) -> AnswerStream:
        """See `Exchange.stream`."""
        return self

    def push(self, data: bytes) -> bytes:
        """See `AnswerStream.push`."""
        return b"data: " + data + b"\n\n"

    def close(self, usage: Usage | None) -> bytes:
        """See `AnswerStream.close`."""
        return b"data: [DONE]\n\n"

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """See `AnswerStream.fail`."""
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

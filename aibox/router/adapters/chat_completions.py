"""Providers that speak Chat Completions: requests are the hub's own shape, answers come in chunks of choices."""

from collections.abc import Mapping
from typing import Final

import msgspec

from aibox.router.adapters.port import Reading
from aibox.router.dialects import chat
from aibox.router.dialects.asking import Request
from aibox.router.dialects.chat import DONE, Seen
from aibox.router.dialects.parts import Parts, Step

DONE_SEEN: Final = Seen(is_last=True)
"""What `[DONE]` says."""


class ChatCompletions:
    """See `Adapter`."""

    dialect: Final = "chat_completions"
    endpoint: Final = "/chat/completions"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """See `Adapter.headers`."""
        return bearer(key)

    def passed(self, body: bytes, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.passed`. A stream is asked for its usage."""
        return chat.rewrite(body, model=model, stream=stream, more=dict([limit]) if limit is not None else None)

    def asked(self, request: Request, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """See `Adapter.asked`."""
        return self.passed(msgspec.json.encode(request), model=model, stream=stream, limit=limit)

    def reading(self) -> Reading:
        """See `Adapter.reading`."""
        return ChatReading()


class ChatReading:
    """See `Reading`. An answer is whole when it says so, or when every choice that began has its end."""

    def __init__(self) -> None:
        self.told: Final = Parts()
        self._is_done = False
        self._open: set[int] = set()
        self._has_finished = False
        self._data = b""

    @property
    def is_complete(self) -> bool:
        """See `Reading.is_complete`. Some servers end without a reason; whoever says it is done is believed."""
        return self._is_done or (self._has_finished and not self._open)

    def take(self, data: bytes) -> Seen:
        """See `Reading.take`."""
        self._data = data
        if data == DONE:
            self._is_done = True
            self._data = b""
            return DONE_SEEN
        seen = chat.read(data)
        self._open.update(seen.open)
        if seen.finished:
            self._has_finished = True
            self._open.difference_update(seen.finished)
        return seen

    def steps(self) -> list[Step]:
        """See `Reading.steps`. Read here and not before: most answers pass as they are."""
        return self.told.take(self._data) if self._data else []

    def end(self) -> list[Step]:
        """See `Reading.end`."""
        return self.told.end()


def bearer(key: str | None) -> Mapping[str, str]:
    """The header that shows `key` as OpenAI and most others want it."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}

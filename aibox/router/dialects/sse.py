"""Cuts a stream of bytes into server-sent events, wherever the network cut it (WHATWG HTML, "Server-sent events")."""

import re
from typing import Final

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# Atomic groups: without them `\r\n` would be taken for two line ends when the next byte is not here yet.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOM: Final = b"\xef\xbb\xbf"


class TooLongError(ValueError):
    """An event without an end."""


class Splitter:
    """Takes the bytes as they come and gives each event's data, its lines joined, once the event is whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._searched = 0
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes. Raises `TooLongError`."""
        rest = self._rest + piece
        if not self._begun:
            if len(rest) < len(_BOM) and _BOM.startswith(rest):
                self._rest = rest
                return []
            rest = rest.removeprefix(_BOM)
            self._begun = True
        # A blank line may have begun with the last three bytes that were searched before.
        search = max(0, self._searched - 3)
        *whole, self._rest = rest.split(b"\n\n") if b"\r" not in rest else _split(rest, search)
        self._searched = len(self._rest)
        if self._searched > MAX_EVENT_BYTES:
            raise TooLongError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return [data for event in whole if (data := _data(event)) is not None]

    def end(self) -> list[bytes]:
        """What stands after the last blank line: some servers end `data: [DONE]` with one line feed or none."""
        data = _data(self._rest)
        self._rest = b""
        self._searched = 0
        return [] if data is None else [data]


def _split(rest: bytes, search: int) -> list[bytes]:
    """The events whose blank line is here, and what follows the last one: no blank line ends before `search`."""
    events: list[bytes] = []
    start = 0
    while found := _BLANK_LINE.search(rest, search):
        events.append(rest[start : found.start()])
        start = search = found.end()
    return [*events, rest[start:]]


def _data(event: bytes) -> bytes | None:
    """The data of one event, None when it has none (a comment, a keep-alive)."""
    if event.startswith(b"data: ") and b"\n" not in event and b"\r" not in event:
        return event[6:]
    lines = [
        line[5:].removeprefix(b" ") if line.startswith(b"data:") else b""
        for line in _LINE_END.split(event)
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(lines) if lines else None

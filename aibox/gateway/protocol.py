"""uvicorn's httptools protocol with the two gaps closed that lie below ASGI: endless headers, and trailers.

llhttp collects a header's value until it ends, without telling; and it reports a chunked trailer like a header, which
uvicorn then appends to the headers of a request that is being served already (identity.md, section 2).
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LIMIT = 64 * 1024
"""Bytes of one request's line, headers and trailers. The Guard's own limit is lower, and answers in JSON."""


class TooMuchError(Exception):
    """Raised inside a parser callback: makes the parser stop."""


class GuardedProtocol(HttpToolsProtocol):
    """Caps what a request's head may take, and never lets a trailer become a header."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # uvicorn asks the loggers, whose handlers are not its own
        self._head = 0
        self._silent = 0
        self._is_in_body = False
        self._is_too_large = False

    def data_received(self, data: bytes) -> None:
        # What the parser was fed since it last gave something back: a header without an end grows in here.
        if self._silent > LIMIT:
            self._is_too_large = True
            self.send_400_response("")
            return
        self._silent += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = self._silent = 0
        self._is_in_body = False

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if not self._is_in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._silent = 0
        self._is_in_body = True
        super().on_headers_complete()
        if self.parser.should_upgrade() and self.cycle is not None:
            # We upgrade to nothing; the parser stops after an upgrade, so the connection ends with this answer.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser's refusal, always closing. A request whose answer has begun is cut instead of answered twice."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        if not self._is_too_large:
            super().send_400_response(msg)
            return
        text = b"Request header fields too large."
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: " + str(len(text)).encode() + b"\r\nconnection: close\r\n\r\n" + text
        )
        self.transport.close()

    def _count(self, size: int) -> None:
        self._silent = 0
        self._head += size
        if self._head > LIMIT:
            self._is_too_large = True
            raise TooMuchError()

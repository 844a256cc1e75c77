"""The floor of the gateway benchmark: a provider that answers from prepared bytes, so that what is measured is the way.

Models: `ok` answers whole, or streams 50 chunks at once; `paced` waits `PACE` seconds before each chunk.
`python -m tests.bench.upstream PORT` serves it on loopback.
"""

import asyncio
import json
import sys
from typing import cast

import httptools
import msgspec

CHUNKS = 50
PACE = 0.01
USAGE = {"prompt_tokens": 60, "completion_tokens": CHUNKS, "total_tokens": 60 + CHUNKS}
HEAD = {"id": "chatcmpl-floor", "created": 1, "model": "ok"}


def _response(kind: str, body: bytes, *, length: bool = True) -> bytes:
    framing = f"Content-Length: {len(body)}" if length else "Transfer-Encoding: chunked"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode() + body


def _frame(body: dict[str, object]) -> bytes:
    data = b"data: " + json.dumps({**HEAD, "object": "chat.completion.chunk", **body}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


WHOLE = _response(
    "application/json",
    json.dumps(
        {
            **HEAD,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "word " * CHUNKS},
                    "finish_reason": "stop",
                }
            ],
            "usage": USAGE,
        }
    ).encode(),
)
MODELS = _response("application/json", b'{"object":"list","data":[{"id":"ok"},{"id":"paced"}]}')
STREAM_HEAD = _response("text/event-stream", b"", length=False)
FRAMES = [_frame(_choice({"role": "assistant", "content": ""}))] + [_frame(_choice({"content": "word "}))] * CHUNKS
LAST = _frame(_choice({}, "stop")) + _frame({"choices": [], "usage": USAGE})
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
BURST = STREAM_HEAD + b"".join(FRAMES) + LAST + DONE


class Asked(msgspec.Struct):
    """What of a request decides the answer."""

    model: str
    stream: bool = False


class Floor(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        if self.parser.get_method() == b"GET":
            self.transport.write(MODELS)
            return
        asked = msgspec.json.decode(body, type=Asked)
        if asked.model == "paced":
            self._tell(0)
        else:
            self.transport.write(BURST if asked.stream else WHOLE)

    def _tell(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number == len(FRAMES):
            self.transport.write(LAST + DONE)
            return
        self.transport.write((STREAM_HEAD if number == 0 else b"") + FRAMES[number])
        asyncio.get_running_loop().call_later(PACE, self._tell, number + 1)


async def serve(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))

"""A provider that answers with what was recorded, in any of the three formats, in pieces of any size."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from aiohttp import web

MODEL = "recorded"


class Replaying:
    """What it answers next, and what it was asked last. `piece` is how many bytes it sends at once, 0 for all."""

    def __init__(self) -> None:
        self.base_url = ""
        self.body = b""
        self.content_type = "application/json"
        self.status = 200
        self.piece = 0
        self.script: list[bytes] = []
        """Streams that come before it, one a call."""
        self.asked = b""
        self.all_asked: list[bytes] = []
        self.path = ""
        self.headers: dict[str, str] = {}

    def answer(self, body: bytes, *, is_stream: bool, piece: int = 0, status: int = 200) -> None:
        """Answer with this from here on."""
        self.body, self.piece, self.status = body, piece, status
        self.content_type = "text/event-stream" if is_stream else "application/json"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/{path:.*}", self._serve)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        return web.json_response({"data": [{"id": MODEL, "type": "model", "max_input_tokens": 8192}]})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked = await request.read()
        self.all_asked.append(self.asked)
        self.path = f"/{request.match_info['path']}"
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        response = web.StreamResponse(status=self.status, headers={"Content-Type": self.content_type})
        await response.prepare(request)
        body = self.script.pop(0) if self.script else self.body
        step = self.piece or len(body) or 1
        for at in range(0, len(body), step):
            await response.write(body[at : at + step])
        await response.write_eof()
        return response


def told(*events: dict[str, Any]) -> bytes:
    """A stream of named events."""
    return b"".join(
        f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n" for event in events
    )


def message_of(*pieces: str, stop: str = "end_turn") -> bytes:
    """A stream of Anthropic's with one text: 11 tokens in, of them 4 from the cache and 2 into it, and 7 out."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    usage = {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1}
    return told(
        {"type": "message_start", "message": {**start, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    )


def response_of(*pieces: str) -> bytes:
    """A stream of OpenAI's Responses with one text: 11 tokens in, 7 out."""
    text = "".join(pieces)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": text}]}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return _response(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
            {"type": "response.content_part.added", **place, "part": {**part, "text": "", "logprobs": []}},
            *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces),
            {"type": "response.output_text.done", **place, "text": text, "logprobs": [{"token": text}]},
            {"type": "response.content_part.done", **place, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        ],
        item,
    )


def call_of(name: str, arguments: str) -> bytes:
    """A stream of OpenAI's Responses that calls a function of the client's."""
    item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": name, "status": "completed"}
    place = {"item_id": "fc_1", "output_index": 0}
    return _response(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
            {"type": "response.function_call_arguments.delta", **place, "delta": arguments},
            {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
            {"type": "response.output_item.done", "output_index": 0, "item": {**item, "arguments": arguments}},
        ],
        {**item, "arguments": arguments},
    )


def _response(events: list[dict[str, Any]], item: dict[str, Any]) -> bytes:
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt", "status": "completed"}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    begins = {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    ends = {"type": "response.completed", "response": {**response, "output": [item], "usage": usage}}
    return told(*({**event, "sequence_number": n} for n, event in enumerate([begins, *events, ends])))


@contextlib.asynccontextmanager
async def replaying() -> AsyncGenerator[Replaying]:
    """Serve one on a free loopback port."""
    upstream = Replaying()
    runner = web.AppRunner(upstream.app(), shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address: Any = runner.addresses[0]
        upstream.base_url = f"http://127.0.0.1:{address[1]}/v1"
        yield upstream
    finally:
        await runner.cleanup()

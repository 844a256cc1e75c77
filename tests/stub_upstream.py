"""A provider for tests and benchmarks: an OpenAI-compatible server whose behaviour is picked by the model's name.

`async with run_stub() as stub:` gives `stub.base_url` (ending in /v1), `stub.requests` and `stub.left` (calls whose
client went away). Models: `ok`, `echo`, `slow`, `usage-less`, `html`, `redirect`, `cut`, `reset`, `garbage`, `empty`,
`error-event`, `error-first`, `unfinished`, `no-done`, `400`, `401`, `404`, `429`, `500`, `silent`, `stall`, `json`,
`flaky-N` (fails N times, then answers), `embedding`, and those of `FAULTS`. `python -m tests.stub_upstream --port 9000`
serves it alone.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web

FAULTS = {
    "429-after-N": "429 with `Retry-After: N` seconds; any status will do",
    "429-date-N": "429 with `Retry-After` as a date in N seconds",
    "late-N": "an answer whose first byte comes after N milliseconds",
    "hold": "an answer once `let_go` is set",
    "hang-up": "the connection closed without an answer",
    "no-http": "bytes that are not HTTP",
    "no-content": "204",
    "gzip": "a body that says it is compressed",
    "text": "a good answer under the wrong content type",
    "page-as-stream": "a web page under the content type of a stream",
    "not-utf8": "bytes that are no UTF-8",
    "giant-line": "a line without an end",
    "huge-usage": "a usage beyond every number",
    "negative-usage": "a usage below zero",
}
"""Models beyond `MODELS`, and what each does."""

MODELS = (
    "ok",
    "echo",
    "slow",
    "usage-less",
    "html",
    "redirect",
    "cut",
    "reset",
    "garbage",
    "empty",
    "error-event",
    "error-first",
    "unfinished",
    "no-done",
    "400",
    "401",
    "404",
    "429",
    "500",
    "silent",
    "stall",
    "json",
    "flaky-1",
    "flaky-2",
    "flaky-9",
    "embedding",
)
WORDS = ("The", " answer", " is", " forty-two", ".")
GIANT_BYTES = 9 * 1024 * 1024
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def says(text: str) -> list[dict[str, Any]]:
    """The frames of an answer in words."""
    return [_frame({"content": text}), _frame({}, "stop")]


def uses(*calls: tuple[str, Any], text: str = "", ids: bool = True) -> list[dict[str, Any]]:
    """The frames of an answer that uses tools; arguments that are text are sent as they are."""
    frames = [_frame({"content": text})] if text else []
    for number, (name, arguments) in enumerate(calls):
        given = arguments if isinstance(arguments, str) else json.dumps(arguments)
        begun = {"index": number, "type": "function", "function": {"name": name, "arguments": ""}}
        frames.append(_frame({"tool_calls": [begun | ({"id": f"call-{number}"} if ids else {})]}))
        for piece in (given[:7], given[7:]):
            frames.append(_frame({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}))
    return [*frames, _frame({}, "tool_calls")]


def _frame(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    usage = {"usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}} if finish else {}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "ok", "choices": [choice], **usage}


class Stub:
    """What the stub saw. `token_delay` is the pause before each token, in seconds."""

    def __init__(self, *, token_delay: float = 0.0, key: str | None = None, words: tuple[str, ...] = WORDS) -> None:
        self.token_delay = token_delay
        self.key = key
        self.words = words
        self.base_url = ""
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.peers: set[object] = set()
        self.left = 0
        self.frames: list[dict[str, Any]] | None = None
        """When set, a stream is these frames."""
        self.next_frames: list[list[dict[str, Any]]] = []
        """While there are some, each stream is the frames of the first, which goes."""
        self.choices: list[dict[str, Any]] | None = None
        """When set, a whole answer has these choices."""
        self.models: list[str] = list(MODELS)
        self.script: Callable[[dict[str, Any]], str] | None = None
        """When set, says for each request which model to play, whatever it asked for."""
        self.canned: tuple[int, str, bytes] | None = None
        """When set, the status, content type and body of every answer."""
        self.metrics: str | None = None
        """What `/metrics` says, beside `/v1` as at vLLM."""
        self.let_go = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self._failures: dict[str, int] = {}

    def forget(self) -> None:
        """As if new, at the same address and with the same key."""
        vars(self).update(vars(Stub(key=self.key)), base_url=self.base_url)

    def app(self) -> web.Application:
        """The stub as an aiohttp application."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/rerank", self._rerank)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/moved/models", self._moved)
        app.router.add_get("/page/models", self._page)
        app.router.add_get("/prices", self._prices)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        listed = [{"id": name, "object": "model", "created": 1, "max_model_len": 8192} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _metrics(self, _: web.Request) -> web.Response:
        if self.metrics is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.Response(text=self.metrics)

    async def _moved(self, _: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": f"{self.base_url}/models?token=secret"})

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Welcome</title>", content_type="text/html")

    async def _prices(self, _: web.Request) -> web.Response:
        price = {"prompt": "0.000001", "completion": "0.000002"}
        return web.json_response({"data": [{"id": f"stub/{name}", "pricing": price} for name in self.models]})

    async def _embeddings(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.requests.append(asked)
        if asked["model"] == "500":
            return web.json_response({"error": {"message": "the stub says 500"}}, status=500)
        if asked["model"] == "garbage":
            return web.json_response({"data": []})
        data = [{"index": n, "embedding": [float(len(text)), 3.0, 4.0]} for n, text in enumerate(asked["input"])]
        return web.json_response({"data": data[::-1], "usage": {"prompt_tokens": 7, "total_tokens": 7}})

    async def _rerank(self, request: web.Request) -> web.Response:
        """The more words of the question a document has, the more relevant; the best first, as vLLM answers."""
        asked = await request.json()
        self.requests.append(asked)
        if asked["model"] == "500":
            return web.json_response({"error": {"message": "the stub says 500"}}, status=500)
        if asked["model"] == "silent":
            await asyncio.Event().wait()
        words = set(asked["query"].lower().split())
        scores = [len(words & set(document.lower().split())) / len(words) for document in asked["documents"]]
        results = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
        if asked["model"] == "garbage":
            results.pop()
        best = sorted(results, key=lambda result: -result["relevance_score"])
        return web.json_response({"model": asked["model"], "results": best, "usage": {"total_tokens": 9}})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = json.loads(raw)
        self.requests.append(asked)
        self.bodies.append(raw)
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, asked)
        except (ConnectionResetError, asyncio.CancelledError):
            self.left += 1
            raise
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if self.canned is not None:
            status, kind, body = self.canned
            return web.Response(status=status, body=body, headers={"Content-Type": kind})
        model = asked["model"] if self.script is None else self.script(asked)
        if model.startswith("flaky-"):
            self._failures[model] = self._failures.get(model, 0) + 1
            model = "503" if self._failures[model] <= int(model[6:]) else "ok"
        match model:
            case "html":
                return web.Response(text="<html><body>Sign in to the proxy</body></html>", content_type="text/html")
            case "redirect":
                return web.Response(status=307, headers={"Location": "https://elsewhere.example/v1/chat?key=secret"})
            case "401":
                return web.json_response({"error": "Unauthorized"}, status=401)
            case _ if model.isdecimal():
                error = {"message": f"the stub says {model}", "type": "stub", "code": int(model)}
                return web.json_response({"error": error}, status=int(model))
            case "silent":
                await asyncio.sleep(3600)
            case "hold":
                await self.let_go.wait()
            case "no-content":
                return web.Response(status=204)
            case "gzip":
                return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
            case "hang-up" | "no-http":
                return self._speak_no_http(request, b"" if model == "hang-up" else b"come in, we are open\r\n\r\n")
            case _ if "-after-" in model or "-date-" in model:
                return _asks_to_wait(model)
            case _ if model.startswith("late-"):
                await asyncio.sleep(int(model[5:]) / 1000)
            case "json":
                return web.json_response({"error": {"message": "no streams here"}})
            case _:
                pass
        if asked.get("stream"):
            return await self._stream(request, asked, model)
        if model == "error-event":
            return web.json_response({"error": {"message": "the engine died"}})
        if model == "garbage":
            return web.Response(text='{"choices": [', content_type="application/json")
        if model in ("cut", "reset"):
            return await self._cut_body(request)
        if model in ("slow", "stall"):
            await asyncio.sleep(3600)
        text = asked["messages"][-1]["content"] if model == "echo" else "".join(self.words)
        message = {"role": "assistant", "content": text}
        answer: dict[str, Any] = {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [] if model == "empty" else [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        if self.choices is not None:
            answer["choices"] = self.choices
        if model != "usage-less":
            answer["usage"] = _usage(model)
        match model:
            case "giant-line":
                return web.Response(body=b'{"choices": "' + b"x" * GIANT_BYTES, content_type="application/json")
            case "not-utf8":
                return web.Response(body=b'{"choices": "\xff\xfe"}', content_type="application/json")
            case "page-as-stream" | "text":
                text = "<html>" if model == "page-as-stream" else json.dumps(answer)
                return web.Response(text=text, content_type="text/plain")
            case _:
                return web.json_response(answer)

    def _speak_no_http(self, request: web.Request, data: bytes) -> web.StreamResponse:
        transport: Any = request.transport
        if data:
            transport.write(data)
        transport.close()
        return web.Response()

    async def _cut_body(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices":')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _stream(self, request: web.Request, asked: dict[str, Any], model: str) -> web.StreamResponse:
        kind = "text/plain" if model == "text" else "text/event-stream; charset=utf-8"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        if model in ("giant-line", "page-as-stream", "not-utf8"):
            await self._write_nonsense(response, model)
            return response

        async def send(data: str) -> None:
            await response.write(f"data: {data}\n\n".encode())

        def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return json.dumps(
                {
                    "id": "chatcmpl-stub",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": asked["model"],
                    "choices": [choice],
                }
            )

        await self._frames(request, asked, model, send, chunk)
        if model not in ("cut", "reset"):
            await response.write_eof()
        return response

    async def _write_nonsense(self, response: web.StreamResponse, model: str) -> None:
        match model:
            case "giant-line":
                for _ in range(GIANT_BYTES // 2**18):
                    await response.write(b"x" * 2**18)
            case "not-utf8":
                await response.write(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n')
            case _:
                await response.write(b"<!doctype html>\n\n<title>Sign in</title>\n\n")
        await response.write_eof()

    async def _frames(
        self,
        request: web.Request,
        asked: dict[str, Any],
        model: str,
        send: Callable[[str], Any],
        chunk: Callable[..., str],
    ) -> None:
        assert request.transport is not None
        if model == "error-first":
            await send('{"error": {"message": "no memory left", "code": 500}}')
            await send("[DONE]")
            return
        if model == "empty":
            await send("[DONE]")
            return
        frames = self.next_frames.pop(0) if self.next_frames else self.frames
        if frames is not None:
            for frame in frames:
                await send(json.dumps(frame))
            await send("[DONE]")
            return
        await send(chunk({"role": "assistant", "content": ""}))
        words = (asked["messages"][-1]["content"],) if model == "echo" else self.words
        for number, word in enumerate(words):
            if self.token_delay:
                await asyncio.sleep(self.token_delay)
            await send(chunk({"content": word}))
            if number == 1:
                match model:
                    case "cut":
                        request.transport.close()
                        return
                    case "reset":
                        request.transport.abort()
                        return
                    case "garbage":
                        await send('{"choices": [{"delta": ')
                    case "error-event":
                        await send('{"error": {"message": "the engine died", "code": 500}}')
                        await send("[DONE]")
                        return
                    case "unfinished":
                        return
                    case "slow" | "stall":
                        await asyncio.sleep(3600)
                    case _:
                        pass
        await send(chunk({}, "stop"))
        if model != "usage-less" and (asked.get("stream_options") or {}).get("include_usage"):
            told = {"id": "chatcmpl-stub", "model": asked["model"], "choices": [], "usage": _usage(model)}
            await send(json.dumps(told))
        if model != "no-done":
            await send("[DONE]")


def _asks_to_wait(model: str) -> web.Response:
    """`429-after-7` in seconds, `503-date-7` as a date."""
    status, how, seconds = model.split("-")
    wait = seconds if how == "after" else formatdate(time.time() + int(seconds), usegmt=True)
    error = {"message": f"the stub says {status}", "type": "stub", "code": int(status)}
    return web.json_response({"error": error}, status=int(status), headers={"Retry-After": wait})


def _usage(model: str) -> dict[str, int]:
    match model:
        case "huge-usage":
            return {"prompt_tokens": 10**30, "completion_tokens": 10**30, "total_tokens": 2 * 10**30}
        case "negative-usage":
            return {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}
        case _:
            return USAGE


@contextlib.asynccontextmanager
async def run_stub(stub: Stub | None = None, *, port: int = 0) -> AsyncGenerator[Stub]:
    """Serve the stub on a free loopback port."""
    stub = stub or Stub()
    # Without handler_cancellation the stub would never learn that a client left.
    runner = web.AppRunner(stub.app(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        stub.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield stub
    finally:
        await runner.cleanup()


async def _serve(port: int, token_delay: float) -> None:
    async with run_stub(Stub(token_delay=token_delay), port=port) as stub:
        print(stub.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--token-delay", type=float, default=0.0)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.token_delay))

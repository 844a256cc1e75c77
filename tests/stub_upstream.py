"""A provider for tests and benchmarks: an OpenAI-compatible server whose behaviour is picked by the model's name.

`async with run_stub() as stub:` gives `stub.base_url` (ending in /v1), `stub.requests` and `stub.left` (calls whose
client went away). Models: `ok`, `echo`, `slow`, `usage-less`, `html`, `redirect`, `cut`, `reset`, `garbage`, `empty`,
`error-event`, `error-first`, `unfinished`, `no-done`, `400`, `401`, `404`, `429`, `500`, `silent`, `stall`, `json`,
`flaky-N` (fails N times, then answers), `embedding`. `python -m tests.stub_upstream --port 9000` serves it alone.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from aiohttp import web

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
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


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
        self.choices: list[dict[str, Any]] | None = None
        """When set, a whole answer has these choices."""
        self.models: list[str] = list(MODELS)
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
        app.router.add_get("/moved/models", self._moved)
        app.router.add_get("/page/models", self._page)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        listed = [{"id": name, "object": "model", "created": 1, "max_model_len": 8192} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _moved(self, _: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": f"{self.base_url}/models?token=secret"})

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Welcome</title>", content_type="text/html")

    async def _embeddings(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.requests.append(asked)
        if asked["model"] == "500":
            return web.json_response({"error": {"message": "the stub says 500"}}, status=500)
        if asked["model"] == "garbage":
            return web.json_response({"data": []})
        data = [{"index": n, "embedding": [float(len(text)), 3.0, 4.0]} for n, text in enumerate(asked["input"])]
        return web.json_response({"data": data[::-1], "usage": {"prompt_tokens": 7, "total_tokens": 7}})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = json.loads(raw)
        self.requests.append(asked)
        self.bodies.append(raw)
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        try:
            return await self._answer(request, asked)
        except (ConnectionResetError, asyncio.CancelledError):
            self.left += 1
            raise

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        model = asked["model"]
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
            case "400" | "404" | "429" | "500" | "503":
                error = {"message": f"the stub says {model}", "type": "stub", "code": int(model)}
                return web.json_response({"error": error}, status=int(model))
            case "silent":
                await asyncio.sleep(3600)
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
        body = {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [] if model == "empty" else [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        if self.choices is not None:
            body["choices"] = self.choices
        if model != "usage-less":
            body["usage"] = USAGE
        return web.json_response(body)

    async def _cut_body(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices":')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _stream(self, request: web.Request, asked: dict[str, Any], model: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)

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
        if self.frames is not None:
            for frame in self.frames:
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
            await send(json.dumps({"id": "chatcmpl-stub", "model": asked["model"], "choices": [], "usage": USAGE}))
        if model != "no-done":
            await send("[DONE]")


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

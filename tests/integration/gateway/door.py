"""A real server with the Guard and a few handlers that say what reached them, and raw sockets to knock with."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import Litestar, Request, post, route
from litestar.params import FromPath, JSONBody
from litestar.types import ASGIApp
from msgspec import Struct

from aibox.core.errors import Conflict
from aibox.gateway import Settings
from aibox.gateway.checks import checked
from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.guard import Guard
from aibox.gateway.media import require_json
from aibox.gateway.serve import Server, bind
from aibox.gateway.static import web_app


class Item(Struct, forbid_unknown_fields=True):
    name: str
    count: int = 0


@route("/v1/echo", http_method=["GET", "POST"], status_code=200)
async def echo(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What reached the handler, headers read after the body so that a trailer would have had its chance."""
    body = await request.body()
    client = request.scope.get("client")
    return {
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.scope["headers"]],
        "path": request.scope["path"],
        "method": request.scope["method"],
        "client": None if client is None else client[0],
        "state": {key: request.scope["state"].get(key) for key in ("stripped", "claimed_tenant")},
        "body": len(body),
    }


@post("/v1/items")
async def items(data: JSONBody[Item]) -> Item:
    return data


@route("/healthz", http_method=["GET"])
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@route("/v1/fail/{kind:str}", http_method=["GET"])
async def fail(kind: FromPath[str]) -> None:
    if kind == "conflict":
        raise Conflict("It is taken.")
    raise RuntimeError("a secret that nobody may see")


def application() -> Litestar:
    return Litestar(
        [echo, items, healthz, fail, web_app()],
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[checked(require_json)],
        request_max_body_size=None,
        openapi_config=None,
        logging_config=None,
    )


class Answer(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str | None:
        """The stable code of an error body of ours; None for a body that is the server's own."""
        if self.headers.get("content-type") != "application/json":
            return None
        code: str | None = self.json.get("code")
        return code


class Door(Struct, frozen=True):
    """Where the server listens."""

    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def send(self, request: bytes, *, hurry: bool = True) -> Answer:
        """The first answer to these very bytes. `hurry`: the client says that it sends no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return await answer(reader)
        finally:
            writer.close()

    async def get(self, path: str = "/v1/echo", *headers: str, host: str | None = None) -> Answer:
        """A plain GET with further header lines."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {host or self.host}", *headers, "Connection: close", "", ""]
        return await self.send("\r\n".join(lines).encode("latin-1"))


async def answer(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
    return Answer(int(status_line.split()[1]), headers, body)


@contextlib.asynccontextmanager
async def opened(app: ASGIApp) -> AsyncGenerator[Door]:
    """The real server with `app`, on a port of its own."""
    listening = bind(Settings(port=0))
    up = asyncio.Event()
    server = Server(app, Settings(port=0), up.set)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(10):
            await up.wait()
        yield Door(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await running


def guarded(settings: Settings | None = None, **options: Any) -> Guard:
    """The Guard of a first run around the test's application; options change it."""
    return Guard(
        application(), settings or Settings(), **{"public_url": "", "base_url": "http://localhost:8080", **options}
    )

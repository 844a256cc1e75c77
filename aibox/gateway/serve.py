"""Runs the application on uvicorn with httptools and uvloop, until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Generator

import uvicorn
import uvloop
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from aibox.core.errors import BootRefused
from aibox.gateway import Settings
from aibox.gateway.protocol import GuardedProtocol

GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 30
STOPPING = (signal.SIGINT, signal.SIGTERM)

SERVED = "aibox.served"
"""What stands in the state of each scope that our server makes."""

new_event_loop = uvloop.new_event_loop
"""For `asyncio.Runner(loop_factory=new_event_loop)`: the loop belongs to whoever starts the process."""


async def serve(app: ASGIApp, settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Serve `app` until SIGINT or SIGTERM, then let open requests finish for ten seconds.

    `ready` is called once connections are taken. Returns normally, so that the caller can undo what it started. Raises
    `BootRefused` (`boot_port`) when the port is taken.
    """
    await Server(app, settings, ready).serve(sockets=[bind(settings)])


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises `BootRefused` (`boot_port`)."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. asyncio sets it only on sockets made with the protocol's number, and an
        # answer in two writes then waits 40 ms for the client's delayed acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise BootRefused(
            "boot_port",
            f"Port {settings.port} on {settings.host} cannot be opened ({error.strerror}); set AIBOX_GATEWAY_PORT.",
        ) from None
    return listening


class Server(uvicorn.Server):
    """uvicorn's server without its own way of dying: it re-raises the signal, which would skip our clean-up."""

    def __init__(self, app: ASGIApp, settings: Settings, ready: Callable[[], None] | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=GuardedProtocol,
                ws="none",
                loop="none",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state[SERVED] = True
        await super().startup(sockets=sockets)
        if self._ready is not None and self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        try:
            for number in STOPPING:
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except (ValueError, RuntimeError):
            # Not the main thread, as in tests: whoever runs us sets `should_exit`.
            yield
            return
        try:
            yield
        finally:
            for number in STOPPING:
                loop.remove_signal_handler(number)


class OnlyHere:
    """Around the application: lets no other server run it, for each lets pass what this one stops (identity.md, 2).

    Another one ends with exit code 78 and one sentence when it starts the application (B06); one that never says that
    it starts gets no request answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if SERVED in scope.get("state", {}):
            await self.app(scope, receive, send)
            return
        refused = BootRefused("boot_server", "Start AIBox by `aibox serve`: other servers let through what it stops.")
        if scope["type"] == ScopeType.HTTP:
            raise refused
        print(f"aibox: {refused} ({refused.code})", file=sys.stderr)
        # Whatever the application raises here servers catch, and some go on without it: so it answers nothing.
        asyncio.get_running_loop().call_soon(sys.exit, BootRefused.exit_code)
        await asyncio.Event().wait()

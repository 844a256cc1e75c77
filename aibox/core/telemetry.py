"""Logs, metrics and request ids: structlog to standard error, Prometheus counters by stable names.

No prompt, answer, secret or address is ever logged. `AIBOX_LOG_FORMAT=json` is for machines, `text` for people.
"""

import functools
import logging
import sys
import time
from collections.abc import Awaitable
from typing import Annotated, Literal

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Meta, Struct
from prometheus_client import Counter, Histogram

from aibox.core.turn import uuid7

REQUESTS = Counter("aibox_http_requests", "HTTP requests that were answered", ["method", "route", "status"])
SECONDS = Histogram(
    "aibox_http_request_seconds",
    "Time from a request to the end of its answer",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# There are as many as routes; to find one by its labels takes a lock and writes each as text.
_requests = functools.cache(REQUESTS.labels)
_seconds = functools.cache(SECONDS.labels)


class Settings(Struct, frozen=True, kw_only=True):
    """Logging."""

    format: Annotated[Literal["text", "json"], Meta(description="`text` for people, `json` for machines")] = "text"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least severe level that is logged"),
    ] = "info"


def configure(settings: Settings) -> None:
    """Set up structlog and route the standard library's records through it. Idempotent."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        # Plain: where Rich is installed, the default prints the local variables of every frame, prompts among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if settings.format == "json" else []),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("aibox").setLevel(level)


class Telemetry:
    """Gives each request an id (`X-Correlation-ID` of the caller is kept), binds it to its log lines, and counts it.

    Plain ASGI around the whole application, so that a path nobody serves has an id too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-correlation-id"), b"")
        request_id = given.decode()[:128] if given.isascii() and given else str(uuid7())

        status = 500
        began = time.perf_counter()

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-correlation-id", request_id.encode())]
            return send(message)

        try:
            with structlog.contextvars.bound_contextvars(request=request_id):
                await self.app(scope, receive, send_with_id)
        finally:
            # The route's template, never the address: its ids would each make a series of their own.
            route = scope.get("path_template") or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            _requests(method, route, status).inc()
            _seconds(route).observe(time.perf_counter() - began)

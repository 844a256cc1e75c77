"""What every route is checked for once it is found, before its handler or anything of the body is read."""

from collections.abc import Awaitable, Callable

from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Middleware, Receive, Scope, Send

Check = Callable[[HTTPScope, BaseRouteHandler], Awaitable[None]]
"""Raises what the caller is refused with."""


def checked(*checks: Check) -> Middleware:
    """A Litestar middleware that makes these checks in order. (Litestar's guards copy the handler for each.)"""

    def around(app: ASGIApp) -> ASGIApp:
        async def check_and_go_on(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                for check in checks:
                    await check(scope, scope["route_handler"])
            await app(scope, receive, send)

        return check_and_go_on

    return around

"""Every route states its policy, or the server does not start; a check enforces it before anything is read."""

from collections.abc import Awaitable, Callable, Iterator

from litestar import Litestar
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import HTTPScope

from aibox.core.errors import BootRefused
from aibox.core.turn import Turn
from aibox.identity import ANY_SCOPE, Identity
from aibox.identity.roles import PERMISSIONS, SCOPES


def require_policy(identity: Identity) -> Callable[[HTTPScope, BaseRouteHandler], Awaitable[None]]:
    """A `Check` of all routes (gateway/checks.py): `opt["policy"]`, for API keys `opt["scope"]`, and `opt["fresh"]`."""

    async def check(scope: HTTPScope, handler: BaseRouteHandler) -> None:
        if _is_options(handler):
            return
        turn: Turn = scope["state"]["turn"]
        opt = handler.opt
        await identity.authorize(turn, opt["policy"], scope=opt.get("scope"), fresh=opt.get("fresh", False))

    return check


def check_routes(app: Litestar) -> None:
    """Raise `BootRefused` (`boot_route_policy`, B12) when a route states no policy, or one that does not exist."""
    for path, handler in _handlers(app):
        policy, scope = handler.opt.get("policy"), handler.opt.get("scope")
        if policy not in {"public", "signed-in"} and not PERMISSIONS.issuperset(str(policy).split(" or ")):
            raise BootRefused("boot_route_policy", f"The route {path} ({handler}) states no policy.")
        if scope not in {None, ANY_SCOPE} and not set(str(scope).split(" and ")).issubset(SCOPES):
            raise BootRefused("boot_route_policy", f"The route {path} ({handler}) names an unknown scope.")


def _handlers(app: Litestar) -> Iterator[tuple[str, BaseRouteHandler]]:
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        yield from ((route.path, handler) for handler in handlers if not _is_options(handler))


def _is_options(handler: BaseRouteHandler) -> bool:
    """Litestar adds to each path a handler that names the methods, and nothing else."""
    return getattr(handler, "http_methods", None) == {"OPTIONS"}

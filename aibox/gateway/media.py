"""A JSON route takes only JSON (L14): what a form on another site can send never reaches a handler."""

from litestar.handlers import BaseRouteHandler
from litestar.types import HTTPScope

from aibox.core.errors import UnsupportedMediaType

JSON = "application/json"


_READ = frozenset({b"content-length", b"content-type", b"transfer-encoding"})


async def require_json(scope: HTTPScope, handler: BaseRouteHandler) -> None:
    """A `Check`: a body must be of the route's `opt["media"]`, which is JSON where it states none."""
    headers = {name: value for name, value in scope["headers"] if name in _READ}
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return
    kind, _, parameters = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if kind.strip().lower() != handler.opt.get("media", JSON):
        raise UnsupportedMediaType()
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() == JSON and charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType()

"""A JSON route takes only JSON (L14): what a form on another site can send never reaches a handler."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from aibox.core.errors import UnsupportedMediaType

JSON = "application/json"


async def require_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A Litestar guard: a body must be of the route's `opt["media"]`, which is JSON where it states none.

    It waits for nothing, and is asynchronous because Litestar runs a plain function in a thread.
    """
    headers = connection.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    kind, _, parameters = headers.get("content-type", "").partition(";")
    if kind.strip().lower() != handler.opt.get("media", JSON):
        raise UnsupportedMediaType()
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() == JSON and charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType()

"""Turns every exception into the one error body: ours, Litestar's, the database's, and a bug's without its text."""

import re
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aibox.core.connections import LOST
from aibox.core.errors import (
    AIBoxError,
    BadRequest,
    Forbidden,
    Internal,
    NotFound,
    StateUnavailable,
    TooLarge,
    UnknownField,
    UnsupportedMediaType,
    ValidationFailed,
    render,
)
from aibox.core.turn import Turn
from aibox.gateway import MethodNotAllowed

log = structlog.get_logger("aibox.gateway")

AnyRequest = Request[Any, Any, Any]

_BY_STATUS: dict[int, type[AIBoxError]] = {
    401: Forbidden,  # Litestar raises none of its own; identity's are AIBoxErrors
    403: Forbidden,
    404: NotFound,
    413: TooLarge,
    415: UnsupportedMediaType,
}
NOT_STORABLE = ("22021", "22P05")
"""What PostgreSQL says of a NUL in a text, and of one in JSON."""

_TOO_LARGE = re.compile(r"value out of u?int\d+ range")
"""What asyncpg says of a number that the column's type cannot hold: nothing that we store is called that."""

_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `([^`]*)`")


def shown(request: AnyRequest, error: AIBoxError) -> Response[bytes]:
    """`error` as it goes out, with the request's turn."""
    turn: Turn | None = request.scope.get("state", {}).get("turn")
    path = request.scope.get("path", "")
    status, headers, body = render(error, path=path, turn_id=None if turn is None else str(turn.id))
    media_type = headers.pop("content-type")
    return Response(body, status_code=status, headers=headers, media_type=media_type)


def http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Litestar's own refusals: unknown path, wrong method, a body or parameter that does not fit."""
    return shown(request, _of_litestar(error))


def database_error(request: AnyRequest, error: SQLAlchemyError) -> Response[bytes]:
    """A database that went away is 503; a statement it refused is a bug of ours."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return shown(request, StateUnavailable())
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in NOT_STORABLE:
        return shown(request, ValidationFailed("The text holds a character that cannot be stored."))
    if isinstance(error, DBAPIError) and _TOO_LARGE.search(str(error.orig)):
        return shown(request, ValidationFailed("A number is too large."))
    return unknown_error(request, error)


def lost_connection(request: AnyRequest, error: Exception) -> Response[bytes]:
    """What asyncpg raises when the server went away."""
    log.warning("request.connection_lost", error=type(error).__name__)
    return shown(request, StateUnavailable())


def too_deep(request: AnyRequest, error: RecursionError) -> Response[bytes]:
    """Nothing of ours is nested so deeply: the body is."""
    log.warning("request.too_deep", error=type(error).__name__)
    return shown(request, BadRequest("The body is nested too deeply."))


def unknown_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A bug. Its text may hold anything, so it goes to our log and never to the caller."""
    turn: Turn | None = request.scope.get("state", {}).get("turn")
    log.error("request.failed", turn=None if turn is None else str(turn.id), exc_info=error)
    return shown(request, Internal())


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    AIBoxError: shown,
    HTTPException: http_error,
    SQLAlchemyError: database_error,
    RecursionError: too_deep,
    **{kind: lost_connection for kind in LOST if kind is not OSError},
    Exception: unknown_error,
}


def _of_litestar(error: HTTPException) -> AIBoxError:
    if isinstance(error, ValidationException):
        return _validation(error)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow", "")
        return MethodNotAllowed(headers={"Allow": allowed})
    if error.status_code == 400:
        return BadRequest("The body is not valid JSON.")
    if error.status_code >= 500:
        return _misplaced(error) or Internal()
    return _BY_STATUS.get(error.status_code, BadRequest)()


def _validation(error: ValidationException) -> AIBoxError:
    extra = error.extra if isinstance(error.extra, list) else []
    fields = [_field(item) for item in extra]
    if any("unknown field" in item.get("message", "") for item in extra):
        return UnknownField(fields=fields)
    return ValidationFailed(fields=fields or [{"field": "", "error": error.detail.partition(" for path")[0]}])


def _misplaced(error: HTTPException) -> AIBoxError | None:
    """Litestar takes a wrong value for a bug of ours where a member of the body is called as a dependency is."""
    sentence, _, place = str(error.__cause__).partition(" - at `$.data.")
    if not place or not isinstance(error.__cause__, msgspec.ValidationError):
        return None
    return ValidationFailed(fields=[{"field": place.rstrip("`"), "error": sentence}])


def _field(item: dict[str, Any]) -> dict[str, str]:
    """msgspec names the object, and the field in its sentence; people want the field."""
    message, key = str(item.get("message", "")), str(item.get("key", ""))
    parent = "" if key == "data" else key
    match = _NAMED.search(message)
    if match is not None:
        sentence = "Unknown field." if "unknown" in message else "Required."
        return {"field": f"{parent}.{match[1]}".lstrip("."), "error": sentence}
    if parent == "" and message.strip("'") == "data":
        return {"field": "", "error": "A JSON body is required."}
    return {"field": parent, "error": message}

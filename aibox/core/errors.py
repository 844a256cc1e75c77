"""Errors that carry their HTTP status and a stable code, and the one renderer that shows them.

    AIBoxError
    ├── BadRequest 400 bad_request
    ├── Forbidden 403 forbidden
    ├── NotFound 404 not_found                 also a stranger's object
    ├── Conflict 409 conflict
    ├── TurnEnded 409 turn_ended               an event for a turn that is over
    ├── TooLarge 413 too_large
    ├── UnsupportedMediaType 415 unsupported_media_type
    ├── ValidationFailed 422 validation_failed (+ fields)
    ├── UnknownField 422 unknown_field
    ├── RateLimited 429 rate_limited           (+ Retry-After)
    ├── Internal 500 internal
    ├── NotAvailable 501 not_available         off, or a preview
    ├── AuditUnavailable 503 audit_unavailable the log cannot take an event: nothing acts
    ├── StateUnavailable 503 state_unavailable database or cache down
    └── BootRefused exit 78                    the server does not start; its code begins `boot_`

Modules derive their own from these in their faces. The message is a sentence fit to show to a person; it never
quotes a bare exception.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec


class AIBoxError(Exception):
    """Base of every error that may be shown. `status` and `code` are the class's; the sentence is the instance's."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    sentence: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, sentence: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence or self.sentence)
        self.headers: dict[str, str] = dict(headers or {})

    @property
    def details(self) -> dict[str, Any]:
        """Further members of the error body, such as `fields`."""
        return {}


class BadRequest(AIBoxError):
    status = 400
    code = "bad_request"
    sentence = "The request could not be understood."


class Forbidden(AIBoxError):
    status = 403
    code = "forbidden"
    sentence = "You may not do this."


class NotFound(AIBoxError):
    status = 404
    code = "not_found"
    sentence = "There is no such thing here."


class Conflict(AIBoxError):
    status = 409
    code = "conflict"
    sentence = "This conflicts with the present state."


class TurnEnded(Conflict):
    code = "turn_ended"
    sentence = "The turn is over; nothing more is recorded in it."


class TooLarge(AIBoxError):
    status = 413
    code = "too_large"
    sentence = "The request is too large."


class UnsupportedMediaType(AIBoxError):
    status = 415
    code = "unsupported_media_type"
    sentence = "This route takes application/json."


class ValidationFailed(AIBoxError):
    """A well-formed body with wrong values; `fields` names each: `[{"field": "email", "error": "…"}]`."""

    status = 422
    code = "validation_failed"
    sentence = "Some fields are not valid."

    fields: Sequence[Mapping[str, str]] = ()

    def __init__(self, sentence: str | None = None, *, fields: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(sentence)
        self.fields = [dict(field) for field in fields]

    @property
    def details(self) -> dict[str, Any]:
        return {"fields": self.fields} if self.fields else {}


class UnknownField(ValidationFailed):
    code = "unknown_field"
    sentence = "The body has a field that this route does not know."


class RateLimited(AIBoxError):
    """`retry_after` in whole seconds goes out as the `Retry-After` header."""

    status = 429
    code = "rate_limited"
    sentence = "Too many requests; try again later."

    def __init__(self, sentence: str | None = None, *, retry_after: int) -> None:
        super().__init__(sentence, headers={"Retry-After": str(retry_after)})


class Internal(AIBoxError):
    status = 500
    code = "internal"


class NotAvailable(AIBoxError):
    status = 501
    code = "not_available"
    sentence = "This is not available in this installation."


class AuditUnavailable(AIBoxError):
    status = 503
    code = "audit_unavailable"
    sentence = "The audit log cannot be written, so nothing may act. Try again shortly."


class StateUnavailable(AIBoxError):
    status = 503
    code = "state_unavailable"
    sentence = "The database cannot be reached. Try again shortly."


class BootRefused(Exception):
    """The server must not start like this. One sentence that names the fix, and a code that begins `boot_`."""

    exit_code: ClassVar[int] = 78

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


OPENAI_SURFACE = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models", "/v1/routes")
ANTHROPIC_SURFACE = ("/v1/messages",)
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def revive(code: str, sentence: str) -> AIBoxError:
    """The error of class `code` that said `sentence` elsewhere, such as in a run's stream; `Internal` if unknown."""
    kind = next((kind for kind in _kinds(AIBoxError) if kind.code == code), Internal)
    error = kind.__new__(kind)
    AIBoxError.__init__(error, sentence)
    return error


def _kinds(kind: type[AIBoxError]) -> list[type[AIBoxError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_kinds(child))]


def is_openai_surface(path: str) -> bool:
    """Whether errors on this path take the shape that OpenAI's SDKs read."""
    return path.startswith(OPENAI_SURFACE)


def error_body(error: AIBoxError, *, path: str, turn_id: str | None) -> dict[str, Any]:
    """The body for `error` in the dialect that `path` speaks (architecture.md, "Errors").

    Everywhere `{"error": sentence, "code": code, "turn_id": id or null}`; on the OpenAI-compatible surface `error` is
    OpenAI's object and on `/v1/messages` Anthropic's, with `code` and `turn_id` beside it.
    """
    body: dict[str, Any] = {"error": str(error), "code": error.code, "turn_id": turn_id, **error.details}
    if is_openai_surface(path):
        kind = "server_error" if error.status >= 500 else HTTPStatus(error.status).phrase.lower().replace(" ", "_")
        kind = "invalid_request_error" if error.status in (400, 404, 409, 422) else kind
        body["error"] = {"message": str(error), "type": kind, "code": error.code, "param": None}
    if path.startswith(ANTHROPIC_SURFACE):
        kind = _ANTHROPIC_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
        body = {"type": "error", **body, "error": {"type": kind, "message": str(error)}}
    return body


def render(error: AIBoxError, *, path: str, turn_id: str | None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and JSON bytes for `error`: what the handlers, the Guard and the middleware all send."""
    headers = {"content-type": "application/json", **{k.lower(): v for k, v in error.headers.items()}}
    return error.status, headers, msgspec.json.encode(error_body(error, path=path, turn_id=turn_id))

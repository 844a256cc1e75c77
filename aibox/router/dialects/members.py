"""JSON objects by their members: the few that we set, all others kept as the bytes they came in."""

from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from aibox.core.errors import BadRequest, ValidationFailed

T = TypeVar("T")

TRUE: Final = Raw(b"true")
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def decoded(body: bytes, complaint: str = "The body is not a JSON object.") -> dict[str, Raw]:
    """The members of `body`. Raises `BadRequest` with `complaint`."""
    try:
        return _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(complaint) from None


def encoded(value: object) -> Raw:
    """`value` as a member."""
    return Raw(_encode(value))


def typed(body: bytes, kind: type[T]) -> T:
    """`body` as `kind`. Raises `ValidationFailed`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValidationFailed(f"The request is not valid: {error}.") from None


def put_stream(found: dict[str, Raw], stream: bool) -> None:
    """Set `stream`; a request for a whole answer does not say so."""
    if stream:
        found["stream"] = TRUE
    else:
        found.pop("stream", None)

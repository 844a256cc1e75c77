"""OpenAI's embeddings: requests as they came or for some texts, and the vectors in the answer."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from aibox.observability import Usage
from aibox.router.dialects import members
from aibox.router.dialects.chat import MalformedError

ROUNDING: Final = 1e-6
"""How far from 1 the length of a unit vector may be whose numbers have single precision."""


class _Item(Struct):
    embedding: list[float]
    index: int | None = None


class _UsageMembers(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Body(Struct):
    data: list[_Item]
    usage: _UsageMembers | None = None


class _Passed(Struct):
    data: list[Raw]
    usage: _UsageMembers | None = None


_read = msgspec.json.Decoder(_Body).decode
_read_passed = msgspec.json.Decoder(_Passed).decode


def request(texts: Sequence[str], *, model: str, dimensions: int | None = None) -> bytes:
    """The body that asks `model` for one vector per text."""
    size = {} if dimensions is None else {"dimensions": dimensions}
    return msgspec.json.encode({"model": model, "input": list(texts), "encoding_format": "float", **size})


def passed(body: bytes, *, model: str) -> bytes:
    """A client's request with `model` set, every other member as it came. Raises `BadRequest`."""
    found = members.decoded(body)
    found["model"] = members.encoded(model)
    return msgspec.json.encode(found)


def usage_of(data: bytes, *, count: int) -> Usage | None:
    """What an answer with `count` vectors says of its usage, whatever form they have. Raises `MalformedError`."""
    try:
        body = _read_passed(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if len(body.data) != count:
        raise MalformedError("a vector is missing, or there is one too many")
    said = body.usage
    tokens = None if said is None else said.prompt_tokens if said.prompt_tokens is not None else said.total_tokens
    return None if tokens is None else Usage(input_tokens=tokens)


def read(data: bytes, *, count: int) -> tuple[list[list[float]], Usage | None]:
    """The `count` vectors in the order of the texts, brought to unit length. Raises `MalformedError`."""
    try:
        body = _read(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    vectors: list[list[float] | None] = [None] * count
    for number, item in enumerate(body.data):
        index = number if item.index is None else item.index
        if not 0 <= index < count:
            raise MalformedError("a vector for a text that was not sent")
        vectors[index] = unit(item.embedding)
    whole = [vector for vector in vectors if vector]
    if len(whole) != count or len({len(vector) for vector in whole}) > 1:
        raise MalformedError("a vector is missing, or they differ in size")
    said = body.usage.prompt_tokens if body.usage else None
    return whole, None if said is None else Usage(input_tokens=said)


def unit(vector: Sequence[float]) -> list[float]:
    """`vector` at length 1; one that has it, and the zero vector, stay as they are.

    Raises `MalformedError` for infinities.
    """
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length):
        raise MalformedError("a vector that is not finite")
    if not length or abs(length - 1) < ROUNDING:
        return list(vector)
    return [value / length for value in vector]

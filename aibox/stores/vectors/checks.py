"""What every backend of `Vectors` refuses alike: odd collection names, filters and payloads."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Scalar = str | int | bool

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")


def require_collection(name: str) -> str:
    """`name` itself; ValueError unless lower-case letters, digits, `_`, `-`."""
    if not _COLLECTION.fullmatch(name):
        raise ValueError(f"not a collection's name: {name!r}")
    return name


def any_of(filter: Mapping[str, Any]) -> dict[str, list[Scalar]]:
    """`filter` with every condition as the list of values of which one must match; an empty list matches nothing."""
    return {_field(name): _values(name, condition) for name, condition in filter.items()}


def require_payload(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `payload`; ValueError unless flat: scalars, or lists of strings."""
    for name, value in payload.items():
        _field(name)
        _values(name, value)
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in payload.items()}


def _field(name: str) -> str:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"not a payload field: {name!r}")
    return name


def _values(name: str, value: object) -> list[Scalar]:
    values: Sequence[object] = value if isinstance(value, list | tuple) else [value]
    found: list[Scalar] = []
    for item in values:
        if not isinstance(item, str | int):  # bool is an int
            raise ValueError(f"the payload field {name} takes strings, integers and booleans")
        found.append(item)
    return found

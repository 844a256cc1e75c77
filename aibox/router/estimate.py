"""What a request may use at most, told from its body before it is sent: for the budgets that hold for it.

It reads any dialect: every text in the body counts, whatever member it stands in.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from aibox.router.dialects.chat import count_tokens

ATTACHED_TOKENS: Final = 2000
"""What an image or a file counts: the most that the well-known models take for one image, about."""

MOST: Final = 10**9
"""No model writes so many tokens or choices; a number beyond it is this one."""
_LONGEST: Final = 20

_ATTACHED: Final = frozenset({"data", "file_data", "b64_json", "encrypted_content"})
_SHORT: Final = 512
"""A member with such a name and no more than so many characters is a text like any other."""


class Estimate(Struct, frozen=True):
    """`output_tokens` is the request's own limit, None without one, for each of its `choices`."""

    input_tokens: int = 0
    output_tokens: int | None = None
    choices: int = 1


class _Limits(Struct):
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None


_limits = msgspec.json.Decoder(_Limits).decode


def estimate(body: bytes) -> Estimate:
    """A third more than the texts of `body` are counted to have, for a count can be short."""
    try:
        limits = _limits(body)
        counted = _count(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Estimate()
    given = (limits.max_completion_tokens, limits.max_output_tokens, limits.max_tokens)
    # Which of several the provider reads is its own affair: the largest, so that the others cannot hide it.
    output = max((limit for limit in map(_limit, given) if limit is not None), default=None)
    return Estimate((counted * 4 + 2) // 3, output, _limit(limits.n) or 1)


def _count(value: object) -> int:
    match value:
        case str():
            return ATTACHED_TOKENS if value.startswith("data:") and len(value) > _SHORT else count_tokens(value)
        case dict():
            return sum(_member(name, inner) for name, inner in value.items())
        case list():
            return sum(map(_count, value))
        case _:
            return 1


def _member(name: str, value: object) -> int:
    if name == "image_url" or (name in _ATTACHED and isinstance(value, str) and len(value) > _SHORT):
        return ATTACHED_TOKENS
    return count_tokens(name) + _count(value)


def _limit(value: object) -> int | None:
    """A number above 0, also where it is written as `8.0` or `"8"`: some providers take that for 8."""
    match value:
        case bool():
            return None
        case str() if len(value) <= _LONGEST and value.isascii() and value.isdigit():
            number = int(value)
        case float() if value.is_integer():
            number = int(value)
        case int():
            number = value
        case _:
            return None
    return min(number, MOST) if number > 0 else None

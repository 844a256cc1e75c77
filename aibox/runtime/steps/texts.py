"""The texts in what a tool gave: the guardrail reads each as it is written, not as JSON spells it.

In JSON a line break is a backslash and a letter, and a quote has a backslash before it: a key at the beginning of a
line would be no key any more, and a password in quotes no password.
"""

from collections.abc import Iterator
from typing import Any

CUT = "… (cut: the result is longer)"


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, in order. What names its members is ours, and no text."""
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from texts(member)
        case list() | tuple():
            for member in value:
                yield from texts(member)


def replaced(value: Any, by: Iterator[str]) -> Any:
    """The value with its texts replaced, in order."""
    match value:
        case str():
            return next(by)
        case dict():
            return {name: replaced(member, by) for name, member in value.items()}
        case list() | tuple():
            return [replaced(member, by) for member in value]
        case _:
            return value


def shortened(value: Any, room: int) -> Any:
    """The value with at most `room` characters of text; where more is, it says so."""
    return replaced(value, _short(texts(value), room))


def _short(written: Iterator[str], room: int) -> Iterator[str]:
    for text in written:
        yield text if len(text) <= room else text[:room] + CUT
        room = max(0, room - len(text))

"""Spans of a text, and how they are replaced."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

SECRET = "SECRET"  # noqa: S105 - the name of a kind, no secret
SECRET_TOKEN = f"<{SECRET}>"
"""What stands for a secret; there is no way back."""


class Span(NamedTuple):
    """`text[start:end]` is something of this kind: `SECRET`, or one of the masks."""

    start: int
    end: int
    kind: str


def settle(spans: Iterable[Span]) -> list[Span]:
    """Spans that do not overlap, in order. What touches a secret joins it; of others the longer wins."""
    settled: list[Span] = []
    for span in sorted(spans):
        if not settled or span.start >= settled[-1].end:
            settled.append(span)
            continue
        last = settled[-1]
        if SECRET in (span.kind, last.kind):
            settled[-1] = Span(last.start, max(last.end, span.end), SECRET)
        elif span.end - span.start > last.end - last.start:
            settled[-1] = span
    return settled


def replace(text: str, spans: Iterable[Span], by: Callable[[Span], str]) -> str:
    """`text` with each of the settled `spans` replaced."""
    parts: list[str] = []
    done = 0
    for span in spans:
        parts += [text[done : span.start], by(span)]
        done = span.end
    return "".join((*parts, text[done:]))

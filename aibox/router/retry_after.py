"""Reads how long a provider asks us to wait: `Retry-After` in seconds or as a date, and `retry-after-ms`."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MOST_SECONDS = 3600.0
"""Whatever a provider says, it is asked again after an hour."""


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait by an answer's headers (RFC 9110, 10.2.3), None when they say nothing that can be read.

    `now` is the time as a POSIX timestamp, ours when None. A date that is past means at once.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, MOST_SECONDS)
    text = headers.get("Retry-After", "").strip()
    seconds = _number(text)
    if seconds is None:
        seconds = _until(text, time.time() if now is None else now)
    return None if seconds is None else min(seconds, MOST_SECONDS)


def header(seconds: float) -> str:
    """`seconds` as we say it: whole ones, at least one."""
    return str(max(1, math.ceil(seconds)))


def _number(text: str) -> float | None:
    """A number that is not negative; some say `1.5`, which RFC 9110 does not know."""
    if not text.replace(".", "", 1).isdecimal() or not text.isascii():
        return None
    return float(text)


def _until(text: str, now: float) -> float | None:
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if then.tzinfo is None:
        return None  # `-0000`: no zone that we could trust
    return max(0.0, then.timestamp() - now)

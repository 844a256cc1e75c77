"""How long a provider asks us to wait, in every form that is met."""

import pytest

from aibox.router.retry_after import header, retry_after

NOW = 1_780_000_000.0  # Thu, 28 May 2026 20:26:40 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Thu, 28 May 2026 20:27:40 GMT"}, 60.0),
        ({"Retry-After": "Thu May 28 20:27:40 2026"}, None),
        ({"Retry-After": "Thu, 28 May 2026 20:25:40 GMT"}, 0.0),
        ({"Retry-After": "Thu, 28 May 2099 20:25:40 GMT"}, 3600.0),
        ({"Retry-After": "99999999999999999999"}, 3600.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "1"}, 1.0),
    ],
)
def test_seconds_dates_and_milliseconds_are_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1e3", "inf", "nan", "١", "1.2.3", ".", "Thu, 99 May 2026 25:00:00 GMT"]
)
def test_what_says_nothing_is_nothing(text: str) -> None:
    assert retry_after({"Retry-After": text}, now=NOW) is None


def test_we_say_whole_seconds_and_never_none() -> None:
    assert [header(seconds) for seconds in (0.0, 0.2, 1.0, 1.01)] == ["1", "1", "1", "2"]

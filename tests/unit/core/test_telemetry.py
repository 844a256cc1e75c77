"""What a log line of an exception holds, and what it never does."""

import logging
from collections.abc import Generator
from typing import Literal

import pytest
import structlog

from aibox.core import telemetry


@pytest.fixture
def own_logging() -> Generator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize("format", ["text", "json"])
def test_a_logged_exception_shows_where_it_was_and_no_local_variable(
    capsys: pytest.CaptureFixture[str], format: Literal["text", "json"]
) -> None:
    telemetry.configure(telemetry.Settings(format=format))

    def answer(prompt: str) -> None:
        raise ZeroDivisionError

    try:
        answer("xylo" + "phone")
    except ZeroDivisionError:
        structlog.get_logger("aibox.test").exception("failed")
    written = capsys.readouterr().err
    assert "in answer" in written
    assert "xylophone" not in written

"""What the gateway refuses to start with, and how database errors are told apart."""

from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import RequestFactory
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aibox.core.errors import BootRefused
from aibox.gateway import Settings
from aibox.gateway.errors import database_error
from aibox.gateway.guard import Guard


def guard(base_url: str = "http://localhost:8080", **settings: Any) -> Guard:
    app = Litestar([], openapi_config=None, logging_config=None)
    return Guard(app, Settings(**settings), public_url="", base_url=base_url)


@pytest.mark.parametrize("proxies", [("*",), ("0.0.0.0/0",), ("::/0",), ("proxy.lan",)])
def test_b06_believing_every_proxy_does_not_start(proxies: tuple[str, ...]) -> None:
    with pytest.raises(BootRefused) as refused:
        guard(proxies=proxies)
    assert refused.value.code == "boot_server"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("SELECT secret", None, Exception("gone")), 503, "state_unavailable"),
        (PoolTimeoutError("QueuePool limit"), 503, "state_unavailable"),
        (DBAPIError("SELECT secret", None, Exception("$2: 2e30 (value out of int64 range)")), 422, "validation_failed"),
        (IntegrityError("INSERT secret", None, Exception("duplicate")), 500, "internal"),
    ],
)
def test_a_lost_database_is_unavailable_a_number_beyond_it_no_number_and_a_refused_statement_a_bug(
    error: Exception, status: int, code: str
) -> None:
    request: Any = RequestFactory().get("/v1/x")
    answer = database_error(request, error)  # type: ignore[arg-type]
    body = msgspec.json.decode(answer.content)
    assert (answer.status_code, body["code"]) == (status, code)
    assert "secret" not in str(body)

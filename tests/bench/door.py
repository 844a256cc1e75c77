"""What the door costs: CPU of a request by access token and by API key, beside a bare Litestar handler in the same run.

The applications are called as uvicorn calls them, without a socket, so that nothing but their own work is measured.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from litestar import Litestar, get
from litestar.types import ASGIApp

from aibox.app import build, create_app
from aibox.core.turn import system_turn
from aibox.gateway import LimitsSettings
from aibox.gateway.serve import SERVED
from aibox.identity import Client, TokenGrant
from aibox.router import Settings as RouterSettings
from aibox.settings import Settings

ROUNDS, BATCH = 30, 200
BAR_MS = 0.3


@get("/v1/auth/verify", status_code=204)
async def bare() -> None:
    """What is left when nobody is asked for."""


async def measure() -> dict[str, float]:
    """Milliseconds of CPU a request: `bare`, `token`, `key`, and what the two add. Batches alternate; medians."""
    with tempfile.TemporaryDirectory(prefix="aibox-", dir="/tmp") as folder:
        limits = LimitsSettings(tenant_per_minute=10**9, user_per_minute=10**9, key_per_minute=10**9)
        system = build(Settings(data=str(Path(folder)), router=RouterSettings(local=False), limits=limits))
        async with system.run():
            app, turn = create_app(system), system_turn(system.settings.tenancy.single_tenant_id)
            password = "correct horse battery"
            user = await system.identity.create_user(
                turn, name="Ada", email="ada@example.com", password=password, roles=["owner"]
            )
            key = await system.identity.create_key(turn, user_id=user.id, name="bench", scopes=["chat"])
            granted = await system.identity.sign_in(
                turn, username=user.email, password=password, client=Client(address="bench"), browser=False
            )
            await system.log.end(turn, "sealed")
            assert isinstance(granted, TokenGrant)
            plain = Litestar([bare], openapi_config=None, logging_config=None)
            ways: dict[str, tuple[ASGIApp, str | None]] = {
                "bare": (plain, None),
                "token": (app, granted.access_token),
                "key": (app, key),
            }
            samples: dict[str, list[float]] = {name: [] for name in ways}
            await asyncio.sleep(1)  # the listener for revocations is up: what was found may be remembered
            for _ in range(ROUNDS):
                for name, (called, credential) in ways.items():
                    samples[name].append(await _batch(called, credential))
    found = {name: round(1000 * statistics.median(sample) / BATCH, 4) for name, sample in samples.items()}
    return {**found, "token_adds": found["token"] - found["bare"], "key_adds": found["key"] - found["bare"]}


async def _batch(app: ASGIApp, credential: str | None) -> float:
    """CPU seconds of a batch."""
    headers = [(b"host", b"localhost:8080"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
    if credential is not None:
        headers.append((b"authorization", f"Bearer {credential}".encode()))
    begin = time.process_time()
    for _ in range(BATCH):
        status = await ask(app, headers)
        if status != 204:
            raise RuntimeError(f"answered {status}")
    return time.process_time() - begin


async def ask(
    app: ASGIApp,
    headers: list[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    path: str = "/v1/auth/verify",
    body: bytes = b"",
) -> int:
    """The status of one request, as our server would hand it to the application."""
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
        "state": {SERVED: True},
    }
    await app(scope, receive, send)
    return status


def report() -> dict[str, Any]:
    """The figures and whether they meet the bar."""
    found: dict[str, Any] = uvloop.run(measure())
    return {**found, "bar_ms": BAR_MS, "met": max(found["token_adds"], found["key_adds"]) < BAR_MS}


if __name__ == "__main__":
    print(json.dumps(report(), indent=1))

"""Whether the time of a refused sign-in tells if there is such a person (L01): Welch's t-test over both branches.

An unknown name and a wrong password are tried in random order, as requests to the whole application and without a
socket; what they take is compared by wall clock and by CPU time of all threads. `|t|` under 4.5 is the bar.
"""

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from litestar.types import ASGIApp

from aibox.app import build, create_app
from aibox.core.turn import system_turn
from aibox.identity.throttle import Throttle
from aibox.router import Settings as RouterSettings
from aibox.settings import Settings
from tests.bench.door import ask

TRIES = int(os.environ.get("TRIES", "10000"))
WARM_UP = 20
BAR = 4.5
PASSWORD = "correct horse battery"
KNOWN = "ada@example.com"


async def measure(tries: int) -> dict[str, Any]:
    """The figures of `tries` refused sign-ins, half of them of a person who is there."""
    with tempfile.TemporaryDirectory(prefix="aibox-", dir="/tmp") as folder:
        system = build(Settings(data=folder, router=RouterSettings(local=False)))
        app = create_app(system)
        async with system.run():
            turn = system_turn(system.settings.tenancy.single_tenant_id)
            await system.identity.create_user(turn, name="Ada", email=KNOWN, password=PASSWORD, roles=["member"])
            await system.log.end(turn, "sealed")
            throttle = Throttle(system.cache)
            order = [n % 2 == 0 for n in range(tries)]
            random.shuffle(order)
            samples: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
            for n, is_known in enumerate([True, False] * WARM_UP + order):
                name = KNOWN if is_known else f"{random.randbytes(2).hex()[:3]}@example.com"
                took = await _refused(app, throttle, name)
                if n >= 2 * WARM_UP:
                    samples[is_known].append(took)
    known, unknown = samples[True], samples[False]
    figures = {
        name: {
            "known_ms": round(1000 * statistics.fmean(one[at] for one in known), 3),
            "unknown_ms": round(1000 * statistics.fmean(one[at] for one in unknown), 3),
            "t": round(welch([one[at] for one in known], [one[at] for one in unknown]), 2),
        }
        for at, name in enumerate(("wall", "cpu"))
    }
    return {"tries": tries, **figures, "bar_t": BAR, "met": all(abs(figure["t"]) < BAR for figure in figures.values())}


async def _refused(app: ASGIApp, throttle: Throttle, name: str) -> tuple[float, float]:
    """Seconds by the clock and of CPU that a wrong password took; the throttle forgets it afterwards."""
    body = json.dumps({"username": name, "password": "wrong password"}).encode()
    headers = [
        (b"host", b"localhost:8080"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    status = await ask(app, headers, method="POST", path="/v1/auth/login", body=body)
    took = time.perf_counter() - wall, time.process_time() - cpu
    if status != 401:
        raise RuntimeError(f"answered {status}")
    await throttle.succeeded(name, "127.0.0.1")
    return took


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Welch's t of two samples."""
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return (statistics.fmean(first) - statistics.fmean(second)) / float(spread**0.5)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(TRIES)), indent=1))

"""`make bench`: what AIBox costs, measured in one run beside a floor, printed as a table and as JSON.

Time from start to ready (cold and warm), idle memory, and what AIBox adds to a proxied `/v1/chat/completions` request,
in time and CPU, streaming and not, 1 and 16 in flight, against the same requests sent straight to the stub upstream.
"""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import psutil

from tests.bench import door
from tests.bench.load import cpu, rss
from tests.installation import Installation, StubProvider, installed

ROUNDS = int(os.environ.get("BENCH_REQUESTS", "400"))
WARM_UP = 40
MODEL = "ok"
QUESTION = "What is the capital of France, and since when? " * 6
OFF = {"scanners": {"*": False}, "masks": {"*": False}}


async def load(url: str, key: str, *, stream: bool, at_once: int, rounds: int) -> list[float]:
    """Seconds of each of `rounds` requests, `at_once` in flight; a failed request fails the run."""
    body = json.dumps({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    seconds: list[float] = []
    left = iter(range(rounds))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            for _ in left:
                begin = time.perf_counter()
                async with session.post(f"{url}/chat/completions", data=body, headers=headers) as answer:
                    data = await answer.read()
                    if answer.status != 200 or (stream and b"[DONE]" not in data):
                        raise RuntimeError(f"{answer.status}: {data[:300]!r}")
                seconds.append(time.perf_counter() - begin)

        await asyncio.gather(*(one() for _ in range(at_once)))
    return seconds


def spread(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
        "p99_ms": round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
    }


def measure(installation: Installation, stub: StubProvider, key: str, *, scanners: str) -> list[dict[str, Any]]:
    """The floor and AIBox, alternating in one run, for each shape of load."""
    rows = []
    server, postmaster, floor = installation.server, installation.postmaster(), psutil.Process(stub.process.pid)
    through = f"{installation.url.replace('localhost', '127.0.0.1')}/v1"
    for stream in (False, True):
        for at_once in (1, 16):
            for url, name in ((stub.url, "direct"), (through, "aibox")):
                asyncio.run(load(url, key, stream=stream, at_once=at_once, rounds=WARM_UP))
                before = [cpu(process) for process in (server, postmaster, floor)]
                seconds = asyncio.run(load(url, key, stream=stream, at_once=at_once, rounds=ROUNDS))
                after = [cpu(process) for process in (server, postmaster, floor)]
                used = [round(1000 * (b - a) / ROUNDS, 2) for a, b in zip(before, after, strict=True)]
                rows.append(
                    {
                        "path": name,
                        "scanners": scanners if name == "aibox" else "-",
                        "stream": stream,
                        "in_flight": at_once,
                        **spread(seconds),
                        "server_cpu_ms": used[0] if name == "aibox" else 0.0,
                        "postgres_cpu_ms": used[1] if name == "aibox" else 0.0,
                        "upstream_cpu_ms": used[2],
                    }
                )
                print(".", end="", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    report: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "requests": ROUNDS}
    }
    with StubProvider() as stub:
        with installed() as one:
            report["start_cold_s"] = round(one.seconds_to_ready, 2)
            time.sleep(10)
            report["idle_server_rss_mb"] = rss(one.server)
            report["idle_local_model_rss_mb"] = sum(rss(child) for child in one.server.children())
            one.stop()
            one.start()
            report["start_warm_s"] = round(one.seconds_to_ready, 2)
        settings = {
            "AIBOX_ROUTER_LOCAL": "false",
            "AIBOX_HTTP_INTERNAL_HOSTS": stub.authority,
            "AIBOX_LOG_LEVEL": "warning",
        }
        with installed(**settings) as one:
            one.admin("providers", "add", "stub", stub.url, "--model", MODEL)
            guarded, bare, admin = one.key("models"), one.key("models"), one.key("admin")
            with one.client(admin) as client:
                answer = client.put("/v1/guard/policy", json={**OFF, "key_id": bare.split("_")[1]})
                assert answer.status_code == 200, answer.text
            report["proxied"] = [
                *measure(one, stub, bare, scanners="off"),
                *measure(one, stub, guarded, scanners="on"),
            ]
        report["door"] = door.report()
    print(file=sys.stderr)
    _table(report)
    print(json.dumps(report, indent=1))


def _table(report: dict[str, Any]) -> None:
    by_token, by_key = report["door"]["token_adds"], report["door"]["key_adds"]
    print(f"the door adds {by_token:.3f} ms of CPU to a request by token, {by_key:.3f} ms by key")
    print(f"start to ready: {report['start_cold_s']} s cold, {report['start_warm_s']} s warm")
    print(
        f"idle memory: server {report['idle_server_rss_mb']} MB, local model {report['idle_local_model_rss_mb']} MB\n"
    )
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "path": lambda row: row["path"],
        "scanners": lambda row: row["scanners"],
        "stream": lambda row: "yes" if row["stream"] else "no",
        "in flight": lambda row: str(row["in_flight"]),
        "p50 ms": lambda row: f"{row['p50_ms']:.2f}",
        "p99 ms": lambda row: f"{row['p99_ms']:.2f}",
        "server CPU ms": lambda row: f"{row['server_cpu_ms']:.2f}",
        "PostgreSQL CPU ms": lambda row: f"{row['postgres_cpu_ms']:.2f}",
    }
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in report["proxied"]:
        print("| " + " | ".join(show(row) for show in columns.values()) + " |")
    print()


if __name__ == "__main__":
    main()

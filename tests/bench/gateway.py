"""`make bench-gateway`: what AIBox adds to a proxied request, beside nginx and LiteLLM in the same run.

Every path leads to the same floor (`tests.bench.upstream`) and is driven by the same client (`tests.bench.load`). AIBox
runs with identity, limits, a budget and its durable log on, once with scanners off by policy and once with them on.
LiteLLM's proxy runs as its `make` target installs it, one worker, one master key, no database: it
keeps no log.
`BENCH_REQUESTS` is the number of requests of each measurement, `BENCH_SOAK` that of the memory run.
"""

import asyncio
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from tests.bench.load import Failed, cpu, load, rss
from tests.bench.upstream import CHUNKS
from tests.installation import Installation, free_port, installed

ROUNDS = int(os.environ.get("BENCH_REQUESTS", "2000"))
SOAK = int(os.environ.get("BENCH_SOAK", "10000"))
LITELLM = Path(os.environ.get("BENCH_LITELLM", ".bench/litellm/bin/litellm"))
LITELLM_KEY = "sk-" + "0123456789abcdef" * 4
QUESTION = "What is the capital of France, and since when? " * 6
OFF = {"scanners": {"*": False}, "masks": {"*": False}}
SHAPES: dict[str, tuple[dict[str, Any], bytes]] = {
    "whole": ({"model": "ok"}, b'"usage"'),
    "burst": ({"model": "ok", "stream": True}, b"[DONE]"),
    "paced": ({"model": "paced", "stream": True}, b"[DONE]"),
}
"""What is asked, and what every answer to it must hold."""


class Way(NamedTuple):
    """One way to the floor: where, with which key, and whose CPU it costs."""

    name: str
    url: str
    key: str
    processes: list[psutil.Process]
    store: psutil.Process | None = None


def measure(path: Way, shape: str, at_once: int, rounds: int) -> dict[str, Any]:
    """One row: time and CPU of `rounds` requests."""
    asked, marker = SHAPES[shape]
    body = json.dumps({**asked, "messages": [{"role": "user", "content": QUESTION}]}).encode()

    def send(count: int) -> Any:
        return load(f"{path.url}/chat/completions", path.key, body, at_once=at_once, rounds=count, marker=marker)

    row: dict[str, Any] = {"path": path.name, "shape": shape, "in_flight": at_once}
    try:
        send(max(at_once, rounds // 10))
        before = [sum(map(cpu, path.processes)), cpu(path.store) if path.store else 0.0]
        timings = send(rounds)
        time.sleep(0.2)  # what a request leaves to be done (seals, delivery) is part of its price
        after = [sum(map(cpu, path.processes)), cpu(path.store) if path.store else 0.0]
    except Failed as error:
        return {**row, "failed": str(error)}
    used = [round(1000 * (b - a) / rounds, 3) for a, b in zip(before, after, strict=True)]
    print(".", end="", file=sys.stderr, flush=True)
    return {**row, **timings.report(), "cpu_ms": used[0], "store_cpu_ms": used[1]}


@contextlib.contextmanager
def floor() -> Generator[Way]:
    """The provider, asked directly."""
    port = free_port()
    with _process(
        [sys.executable, "-m", "tests.bench.upstream", str(port)], f"http://127.0.0.1:{port}/v1/models"
    ) as it:
        yield Way("direct", f"http://127.0.0.1:{port}/v1", "none", [it])


@contextlib.contextmanager
def nginx(upstream: str) -> Generator[Way | None]:
    """nginx as a plain proxy with one worker and kept connections; None where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; upstream floor {{ server {upstream}; keepalive 128; }}\n"
            f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://floor; proxy_http_version 1.1;\n"
            'proxy_set_header Connection ""; proxy_buffering off; } } }\n'
        )
        with _process([program, "-c", str(config)], f"http://127.0.0.1:{port}/v1/models") as it:
            yield Way("nginx", f"http://127.0.0.1:{port}/v1", "none", [it])


@contextlib.contextmanager
def litellm(upstream: str) -> Generator[Way | None]:
    """LiteLLM's proxy; None where it is not installed."""
    if not LITELLM.exists():
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        models = [
            {
                "model_name": name,
                "litellm_params": {"model": f"openai/{name}", "api_base": f"http://{upstream}/v1", "api_key": "none"},
            }
            for name in ("ok", "paced")
        ]
        config.write_text(json.dumps({"model_list": models}))  # JSON is YAML
        environment = {
            "PATH": os.environ["PATH"],
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": LITELLM_KEY,
        }
        command = [str(LITELLM), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
        command += ["--num_workers", "1", "--telemetry", "False"]
        with _process(command, f"http://127.0.0.1:{port}/health/liveliness", environment) as it:
            yield Way("litellm", f"http://127.0.0.1:{port}/v1", LITELLM_KEY, [it])


@contextlib.contextmanager
def aibox(upstream: str) -> Generator[tuple[Installation, list[Way]]]:
    """AIBox as installed, with a budget that holds: scanners off by the policy of one key, on for the other."""
    settings = {
        "AIBOX_ROUTER_LOCAL": "false",
        "AIBOX_HTTP_INTERNAL_HOSTS": upstream,
        "AIBOX_LOG_LEVEL": "warning",
    }
    with installed(**settings) as one:
        one.admin("providers", "add", "floor", f"http://{upstream}/v1", "--model", "ok", "--model", "paced")
        for model in ("ok", "paced"):
            one.admin("models", "price", f"floor/{model}", "3", "15")
        bare, guarded, admin = one.key("models"), one.key("models"), one.key("admin")
        with one.client(admin) as client:
            for key in (bare, guarded):
                terms = {"subject": "key", "subject_id": key.split("_")[1], "period": "month", "limit_usd": "100000"}
                budget = client.post("/v1/admin/observability/budgets", json=terms)
                assert budget.status_code == 201, budget.text
            policy = client.put("/v1/guard/policy", json={**OFF, "key_id": bare.split("_")[1]})
            assert policy.status_code == 200, policy.text
        url = f"http://127.0.0.1:{one.port}/v1"
        yield (
            one,
            [
                Way("aibox, scanners off", url, bare, [one.server], one.postmaster()),
                Way("aibox, scanners on", url, guarded, [one.server], one.postmaster()),
            ],
        )


def soak(path: Way, rounds: int) -> list[int]:
    """The server's memory in MB before and after each tenth of `rounds` requests."""
    body = json.dumps({"model": "ok", "messages": [{"role": "user", "content": QUESTION}]}).encode()
    memory = [rss(path.processes[0])]
    for _ in range(10):
        load(f"{path.url}/chat/completions", path.key, body, at_once=16, rounds=rounds // 10, marker=b'"usage"')
        memory.append(rss(path.processes[0]))
        print("·", end="", file=sys.stderr, flush=True)
    return memory


def main() -> None:
    """Measure and print."""
    report: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "requests": ROUNDS},
        "rows": [],
    }
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(floor())
        upstream = direct.url.removeprefix("http://").removesuffix("/v1")
        peers = [stack.enter_context(nginx(upstream)), stack.enter_context(litellm(upstream))]
        installation, ours = stack.enter_context(aibox(upstream))
        report["idle_server_rss_mb"] = rss(installation.server)
        for shape in SHAPES:
            for at_once in (1, 16, 64):
                for path in (direct, *peers, *ours):
                    if path is not None:
                        slow = 10 if path.name == "litellm" else 1
                        paced = 4 if shape == "paced" else 1
                        rounds = max(at_once * 2, ROUNDS * (4 if at_once > 1 else 1) // (slow * paced * 4))
                        report["rows"].append(measure(path, shape, at_once, rounds))
        report["soak_requests"] = SOAK
        report["soak_rss_mb"] = soak(ours[0], SOAK)
    print(file=sys.stderr)
    _table(report)
    print(json.dumps(report, indent=1))


def _table(report: dict[str, Any]) -> None:
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "path": lambda row: row["path"],
        "shape": lambda row: row["shape"],
        "in flight": lambda row: str(row["in_flight"]),
        "p50 ms": lambda row: f"{row['p50_ms']:.2f}",
        "p99 ms": lambda row: f"{row['p99_ms']:.2f}",
        "first byte p50 ms": lambda row: f"{row['first_p50_ms']:.2f}",
        "requests/s": lambda row: f"{row['rps']:.0f}",
        "CPU ms": lambda row: f"{row['cpu_ms']:.3f}",
        "PostgreSQL CPU ms": lambda row: f"{row['store_cpu_ms']:.3f}" if row["store_cpu_ms"] else "-",
        "CPU µs a chunk": lambda row: f"{1000 * row['cpu_ms'] / CHUNKS:.0f}" if row["shape"] != "whole" else "-",
    }
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in report["rows"]:
        cells = [show(row) for show in columns.values()] if "failed" not in row else [row["path"], row["failed"]]
        print("| " + " | ".join(cells) + " |")
    print(f"\nidle {report['idle_server_rss_mb']} MB; over {report['soak_requests']} requests: {report['soak_rss_mb']}")


@contextlib.contextmanager
def _process(command: list[str], ready: str, environment: dict[str, str] | None = None) -> Generator[psutil.Process]:
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(_answers(ready, child))
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


async def _answers(url: str, child: subprocess.Popen[bytes], *, limit: float = 90.0) -> None:
    async with asyncio.timeout(limit), httpx.AsyncClient() as client:
        while child.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{child.args!r} ended before it answered")


if __name__ == "__main__":
    main()

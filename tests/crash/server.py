"""The whole `aibox serve` killed under HTTP load, in front of a stub provider that remembers every call it saw."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import psutil

from aibox.core.connections import LOST
from aibox.core.failpoints import EXIT_CODE
from tests.crash import outside
from tests.crash.outside import Told
from tests.crash.world import REST_SECONDS, Plan, plan
from tests.installation import Installation
from tests.stub_upstream import Stub, run_stub

CLIENTS = 24
LIFE_SECONDS = 3.0
FIRST_SECONDS = 15.0
MODEL = "ok"
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "What is the answer?"}]}).encode()
REPORT = json.dumps({"action": "crash.test", "result": "ok"}).encode()
OFF = {"scanners": {"*": False}, "masks": {"*": False}}


class Servers:
    """An installation that is started, asked, and killed."""

    def __init__(self, installation: Installation, stub: Stub, *, seed: int) -> None:
        self.installation = installation
        self.stub = stub
        self.seed = seed
        self.told = Told()
        self.kills: Counter[str] = Counter()
        self.violations: list[str] = []
        self.headers: dict[str, str] = {}

    @property
    def objects(self) -> Path:
        return self.installation.folder / "data" / "objects"

    async def prepare(self) -> None:
        """A first start: its owner, a provider, and a key whose requests no scanner slows."""
        one = self.installation
        await asyncio.to_thread(one.start)
        await asyncio.to_thread(one.create_owner)
        await asyncio.to_thread(one.admin, "providers", "add", "stub", self.stub.base_url, "--model", MODEL)
        key = await asyncio.to_thread(one.key, "models", "admin", "audit:write")
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(one.url, headers=self.headers) as session:
            policy = {**OFF, "key_id": key.split("_")[1]}
            async with session.put("/v1/guard/policy", json=policy) as answer:
                assert answer.status == 200, await answer.text()
        await asyncio.to_thread(one.stop)

    async def live_and_die(self, number: int) -> None:
        """One life under load to its violent end."""
        dice = random.Random(self.seed * 7_000_003 + number)
        end = plan(number, dice)
        target = f":{self.installation.folder}/data/postgres/postmaster.pid" if end.victim == "postmaster" else ""
        # A start alone passes some places several times: most lives are to end under load.
        armed = f"{end.place}={end.action}{target}@{end.count * dice.choice((1, 10, 30))}" if end.place else ""
        self.installation.environment["AIBOX_FAILPOINTS"] = armed
        with contextlib.suppress(AssertionError):  # it met its failpoint while it started
            await asyncio.to_thread(self.installation.start)
        process = self.installation.process
        assert process is not None
        if process.poll() is None:
            await self._ask_until(lambda: process.poll() is not None, end)
        if process.poll() is None:
            self._signal(process.pid)
            self.kills[end.name if end.place is None else f"{end.victim} {end.action} at {end.place} or random"] += 1
        else:
            self.kills[end.name] += 1
            if process.returncode not in (-signal.SIGKILL, EXIT_CODE):
                self.violations.append(f"the server ended by itself with {process.returncode} after {end.name}")
        process.wait()
        self.told.calls = len(self.stub.requests)

    async def _ask_until(self, is_dead: Callable[[], bool], end: Plan) -> None:
        async with aiohttp.ClientSession(self.installation.url, headers=self.headers) as session:
            asking = [asyncio.create_task(self._ask(session, number)) for number in range(CLIENTS)]
            await self._first_answer(is_dead)
            begin, hit = time.monotonic(), end.place is not None
            while not is_dead() and time.monotonic() - begin < LIFE_SECONDS:
                if not hit and time.monotonic() - begin > end.after:
                    hit = True
                    self._kill(end.victim)
                await asyncio.sleep(0.02)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _first_answer(self, is_dead: Callable[[], bool]) -> None:
        """The first chat after a start waits for the guardrail's models; a life is counted from there."""
        before, begin = len(self.told.answered), time.monotonic()
        while len(self.told.answered) == before and not is_dead() and time.monotonic() - begin < FIRST_SECONDS:
            await asyncio.sleep(0.02)

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        """One request after the other; only a whole answer of 2xx acknowledges anything."""
        path, body = ("/v1/audit", REPORT) if number % 4 == 0 else ("/v1/chat/completions", BODY)
        while True:
            try:
                async with session.post(path, data=body) as answer:
                    await answer.read()
                    turn = UUID(answer.headers["x-aibox-turn-id"])
                    if answer.status == 200:
                        self.told.answered.add(turn)
                    elif answer.status == 201:
                        self.told.ended.add(turn)
            except (aiohttp.ClientError, KeyError, TimeoutError, OSError):
                await asyncio.sleep(0.02)

    def _kill(self, victim: str) -> None:
        match victim:
            case "process":
                assert self.installation.process is not None
                self._signal(self.installation.process.pid)
            case "postmaster":
                self._signal(self.installation.postmaster().pid)
            case _:
                children = self.installation.postmaster().children()
                serving = [child for child in children if "aibox_system" in " ".join(child.cmdline())]
                if serving:
                    self._signal(serving[0].pid)

    def _signal(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.kill(pid, signal.SIGKILL)

    async def judge(self) -> tuple[dict[str, Any], list[str]]:
        """A last start that seals what is left; then all that is wrong with the log."""
        self.installation.environment["AIBOX_FAILPOINTS"] = ""
        await asyncio.to_thread(self.installation.start)
        connection = await self._connect()
        begin = time.monotonic()
        while time.monotonic() - begin < REST_SECONDS:
            if not await connection.fetchval("SELECT count(*) FROM core.turn WHERE state <> 'sealed'"):
                break
            await asyncio.sleep(0.2)
        wrong = self.violations + await outside.check(connection, self.objects, self.told)
        report = {
            "kills": sum(self.kills.values()),
            "acknowledged_turns": len(self.told.answered) + len(self.told.ended),
            "acts": self.told.calls,
            **await outside.counts(connection),
            "ends": dict(sorted(self.kills.items())),
        }
        await connection.close()
        await asyncio.to_thread(self.installation.stop)
        return report, wrong

    async def _connect(self) -> asyncpg.Connection:
        folder = self.installation.folder / "data" / "postgres"
        while True:
            try:
                return await asyncpg.connect(f"postgresql://postgres@/aibox?host={folder}")
            except LOST:
                await asyncio.sleep(0.1)


async def kill_servers(folder: Path, *, kills: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many lives of the whole server, each to the end that `plan` gives it; report and violations."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    async with run_stub() as stub:
        settings = {
            "AIBOX_ROUTER_LOCAL": "false",
            "AIBOX_HTTP_INTERNAL_HOSTS": stub.base_url.removeprefix("http://").removesuffix("/v1"),
            "AIBOX_LOG_LEVEL": "error",
            "AIBOX_AUDIT_LEASE_SECONDS": "3",
            "AIBOX_AUDIT_GRACE_SECONDS": "1",
        }
        servers = Servers(Installation(folder, **settings), stub, seed=seed)
        try:
            await servers.prepare()
            for number in range(kills):
                await servers.live_and_die(number)
            return await servers.judge()
        finally:
            await asyncio.to_thread(servers.installation.stop, signal.SIGKILL)
            with contextlib.suppress(FileNotFoundError):
                servers._signal(servers.installation.postmaster().pid)

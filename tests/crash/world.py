"""The driver: a real PostgreSQL, a process on it that is killed, what that process said, and the check afterwards."""

import asyncio
import atexit
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import asyncpg
import msgspec
import psutil

from aibox.core import connections, failpoints
from aibox.core.connections import LOST, Urls
from aibox.core.failpoints import EXIT_CODE, Action
from aibox.stores.postgres import open_postgres
from tests.crash import outside, worker
from tests.crash.outside import Told
from tests.crash.worker import Order, Said

DIE_SECONDS = 2.5
"""How long a life may last whose failpoint nobody reaches; then it is killed where it stands."""

SURVIVE_SECONDS = 1.5
"""How long a process goes on whose database was killed, before it is killed itself."""

REST_SECONDS = 60.0

PLACES = [place for place in failpoints.STEPS if not place.startswith("erasure.")]
"""Where a life may end; the two of an erasure have tests of their own (test_erasure.py)."""

TASKS = 48

ACTIONS: tuple[Action, ...] = ("kill", "kill", "exit", "raise")
"""What befalls a process at a place, the worst twice as often."""

Victim = str
"""`process`, `postmaster` or `backend`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one life ends."""

    victim: Victim
    place: str | None
    """The failpoint, or None: at some moment."""
    action: Action = "kill"
    count: int = 1
    after: float = 0.0
    """Seconds until the random moment."""

    @property
    def name(self) -> str:
        return f"{self.victim} {self.action} at {self.place or 'random'}"


def plan(number: int, dice: random.Random) -> Plan:
    """The end of life `number`: every place in turn, and every fourth at a random moment."""
    victim = dice.choices(("process", "postmaster", "backend"), (8, 1, 1))[0]
    if victim == "backend" or number % 4 == 3:
        return Plan(victim=victim, place=None, after=dice.uniform(0.05, 1.5))
    place = PLACES[(number - number // 4) % len(PLACES)]
    action = dice.choice(ACTIONS) if victim == "process" else "kill"
    return Plan(victim=victim, place=place, action=action, count=dice.choice((1, 1, 1, 2, 5)))


class World:
    """A folder with a database, and what was heard of the processes that lived on it."""

    def __init__(self, folder: Path, urls: Urls, *, seed: int) -> None:
        self.folder = folder
        self.urls = urls
        self.seed = seed
        self.told = Told()
        self.kills: Counter[str] = Counter()
        self.violations: list[str] = []
        self.lives = 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.crash.worker"])

    @property
    def postmaster(self) -> Path:
        return self.folder / "postgres" / "postmaster.pid"

    @property
    def killed(self) -> int:
        return sum(self.kills.values())

    async def live_and_die(self) -> None:
        """One life to its violent end, and what of the log can be judged at once."""
        self.lives += 1
        dice = random.Random(self.seed * 1_000_003 + self.lives)
        await self.live(plan(self.lives - 1, dice), seed=dice.randrange(10**9))
        await self._look()

    async def live(self, end: Plan, *, seed: int) -> None:
        target = f":{self.postmaster}" if end.victim == "postmaster" else ""
        armed = f"{end.place}={end.action}{target}@{end.count}" if end.place else ""
        process, pipe, reader = self._start(seed, tasks=TASKS, armed=armed)
        begin = time.monotonic()
        try:
            if end.place is None:
                await asyncio.sleep(0.3 + end.after)
                self._kill(end.victim, process.pid or 0)
            await self._wait_for_the_end(process, end, begin)
        finally:
            if process.is_alive():
                self._signal(process.pid or 0)
            process.join()
            # What the dead have said stays in the pipe until it is read: closed too early, it would look never said.
            reader.join()
            pipe.close()

    async def _wait_for_the_end(self, process: multiprocessing.process.BaseProcess, end: Plan, begin: float) -> None:
        """The process that was hit dies at once; one whose database was hit, or that met an error, goes on."""
        seconds = DIE_SECONDS if end.victim == "process" and end.action != "raise" else SURVIVE_SECONDS
        while process.is_alive() and time.monotonic() - begin < seconds + end.after:
            await asyncio.sleep(0.01)
        if not process.is_alive():
            process.join()
            if process.exitcode not in (-signal.SIGKILL, EXIT_CODE):
                self.violations.append(f"life {self.lives} ended by itself with {process.exitcode} after {end.name}")
            self.kills[end.name] += 1
            return
        reached = end.place is None or end.victim == "postmaster" or end.action == "raise"
        self.kills[end.name if reached else f"{end.victim} kill at random"] += 1

    async def crowd(self, *, processes: int, tasks: int, turns: int) -> None:
        """Several processes at once on the same logs, until so many turns ended; then they stop in peace."""
        started = [self._start(number, tasks=tasks, pool=6) for number in range(processes)]
        while len(self.told.ended) < turns:
            await asyncio.sleep(0.05)
        for _, pipe, _ in started:
            pipe.send_bytes(b"stop")
        for process, _, reader in started:
            await asyncio.to_thread(process.join)
            reader.join()

    def _start(
        self, seed: int, *, tasks: int, armed: str = "", pool: int = 8
    ) -> tuple[multiprocessing.process.BaseProcess, Pipe, threading.Thread]:
        ours, theirs = self._context.Pipe()
        order = Order(folder=self.folder, urls=self.urls, seed=seed, tasks=tasks, failpoints=armed, pool=pool)
        process = self._context.Process(target=worker.live, args=(order, theirs), daemon=True)
        process.start()
        theirs.close()
        reader = threading.Thread(target=self._listen, args=(ours,), daemon=True)
        reader.start()
        return process, ours, reader

    def _listen(self, pipe: Pipe) -> None:
        decoder = msgspec.msgpack.Decoder(Said)
        with contextlib.suppress(EOFError, OSError):
            while True:
                said = decoder.decode(pipe.recv_bytes())
                match said.what:
                    case "end":
                        self.told.ended.add(said.turn)
                    case "heard":
                        self.told.heard.add(said.turn)
                    case what:
                        known = self.told.acts if what == "act" else self.told.events
                        known.update({(said.turn, number): leaf for number, leaf in said.leaves})

    def _kill(self, victim: Victim, process: int) -> None:
        match victim:
            case "process":
                self._signal(process)
            case "postmaster":
                self._signal(int(self.postmaster.read_text().split("\n", 1)[0]))
            case _:
                children = psutil.Process(int(self.postmaster.read_text().split("\n", 1)[0])).children()
                serving = [child for child in children if "aibox_system" in " ".join(child.cmdline())]
                if serving:
                    self._signal(random.Random(self.lives).choice(serving).pid)

    def _signal(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def connect(self) -> asyncpg.Connection:
        """A connection of the superuser; the database may be on its way back."""
        begin = time.monotonic()
        while True:
            try:
                return await asyncpg.connect(self.urls.owner.replace("aibox_owner@", "postgres@"), timeout=5)
            except (*LOST, TimeoutError):
                if time.monotonic() - begin > REST_SECONDS:
                    raise
                await asyncio.sleep(0.05)

    async def _look(self) -> None:
        connection = await self.connect()
        try:
            self.violations += await outside.see_heads(connection, self.folder / "objects", self.told)
        finally:
            await connection.close()

    async def judge(self) -> list[str]:
        """Let a last process end and seal what is left; then all that is wrong with the log."""
        process, pipe, reader = self._start(0, tasks=0)
        connection = await self.connect()
        try:
            moved, before = time.monotonic(), (-1, -1)
            while time.monotonic() - moved < REST_SECONDS:
                left = await connection.fetchval(
                    "SELECT (SELECT count(*) FROM core.turn WHERE state <> 'sealed')"
                    " + (SELECT count(*) FROM audit.log WHERE anchored < size)"
                )
                if not left and await self._is_all_heard(connection):
                    break
                if before != (now := (left, len(self.told.heard))):
                    moved, before = time.monotonic(), now
                await asyncio.sleep(0.1)
            pipe.send_bytes(b"stop")
            await asyncio.to_thread(process.join)
            reader.join()
            sealed = await connection.fetch("SELECT turn FROM core.event WHERE type = 'turn_sealed'")
            unheard = {row["turn"] for row in sealed} - self.told.heard
            wrong = [f"Delivery: the end of {turn} was never delivered" for turn in unheard]
            return self.violations + wrong + await outside.check(connection, self.folder / "objects", self.told)
        finally:
            await connection.close()

    async def _is_all_heard(self, connection: asyncpg.Connection) -> bool:
        sealed: int = await connection.fetchval("SELECT count(*) FROM core.event WHERE type = 'turn_sealed'")
        return len(self.told.heard) >= sealed


_folders: list[Path] = []


@atexit.register
def _sweep() -> None:
    """Registered before PostgreSQL's wheel is loaded: its own handler runs sooner, and writes a lock file."""
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def short_folder() -> Generator[Path]:
    """A folder whose path is short enough for a database's socket, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="crash-", dir="/tmp"))
    folder.chmod(0o755)
    _folders.append(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def world(folder: Path, *, seed: int) -> AsyncGenerator[World]:
    """A fresh database in `folder`, which is watched and started again when it dies."""
    (folder / "objects").mkdir(parents=True)
    async with open_postgres(connections.Settings(), folder) as urls:
        yield World(folder, urls, seed=seed)

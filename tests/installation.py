"""A whole AIBox in a folder of its own, started as users start it: for end-to-end, failure tests and benchmarks."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

BIN = Path(sys.executable).parent
OWNER = {"name": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse battery"}
READY_SECONDS = 120


class Installation:
    """One data folder and the server on it. `settings` are environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIBOX_")},
            "AIBOX_DATA": str(folder / "data"),
            "AIBOX_CONFIG": str(folder / "none.toml"),
            "AIBOX_GATEWAY_PORT": str(self.port),
            # A test or benchmark asks more in a minute than a person does.
            **{f"AIBOX_LIMITS_{name}_PER_MINUTE": "0" for name in ("TENANT", "USER", "KEY", "TURNS")},
            "AIBOX_LIMITS_STREAMS": "0",
            **settings,
        }
        self.output: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.seconds_to_ready = 0.0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def setup_link(self) -> str:
        """The link that the start printed."""
        found = re.search(r"http\S+/setup#token=\S+", "".join(self.output))
        assert found, "".join(self.output)
        return found.group()

    def start(self, command: str = "serve") -> None:
        """Start it and wait until it says that it is ready."""
        begin = time.monotonic()
        self.output = []
        self.process = subprocess.Popen(
            [BIN / "aibox", command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        ready = threading.Event()

        def read() -> None:
            assert self.process is not None
            assert self.process.stdout is not None
            for line in self.process.stdout:
                self.output.append(line)
                if "Stop with Ctrl-C" in line:
                    self.seconds_to_ready = time.monotonic() - begin
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        ready.wait(READY_SECONDS)
        assert self.seconds_to_ready, "".join(self.output)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    @property
    def server(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def postmaster(self) -> psutil.Process:
        pid = int((self.folder / "data" / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        return psutil.Process(pid)

    def local_model(self) -> psutil.Process:
        """The supervised child that serves the local model."""
        (child,) = [one for one in self.server.children() if "llama_child" in " ".join(one.cmdline())]
        return child

    def admin(self, *arguments: str, stdin: str = "") -> str:
        """Run `aibox-admin`; what it prints."""
        return _printed(self.run("aibox-admin", *arguments, stdin=stdin))

    def aibox(self, *arguments: str) -> str:
        """Run `aibox`; what it prints."""
        return _printed(self.run("aibox", *arguments))

    def run(self, program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of ours to its end, whatever that is."""
        return subprocess.run(
            [BIN / program, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def create_owner(self) -> None:
        """Use the setup link, as an API client does."""
        token = self.setup_link.partition("#token=")[2]
        answer = httpx.post(f"{self.url}/v1/auth/setup", json={"token": token, **OWNER})
        assert answer.status_code == 200, answer.text

    def key(self, *scopes: str) -> str:
        """A new API key of the owner."""
        options = [option for scope in scopes for option in ("--scope", scope)]
        return self.admin("keys", "add", OWNER["email"], "--name", "test", *options).strip()

    def client(self, key: str, **options: Any) -> httpx.Client:
        """An HTTP client that sends the key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=120, **options)


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class StubProvider:
    """The stub upstream (`tests.stub_upstream`) in a process of its own, until the `with` ends."""

    def __init__(self) -> None:
        self.port = free_port()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.authority}/v1"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.stub_upstream", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == self.url
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def installed(**settings: str) -> Generator[Installation]:
    """A started installation with its owner, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aibox-", dir="/tmp"))
    folder.chmod(0o755)
    installation = Installation(folder, **settings)
    try:
        installation.start()
        installation.create_owner()
        yield installation
    finally:
        installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


def events(lines: Any) -> Generator[tuple[str, dict[str, Any], int]]:
    """The events of an SSE answer: name, data, id."""
    name, number = "", 0
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield name, json.loads(line[6:]), number

"""Starts that `aibox serve` refuses, by the rows of identity.md's table B: exit code 78 and one sentence.

The single conditions of each row are tested where they are checked; here the server that we ship is asked.
"""

import contextlib
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest

from aibox import cli
from aibox.app import build, create_app
from aibox.core.errors import BootRefused
from aibox.settings import Settings
from tests.installation import Installation, free_port, installed

PRODUCTION = {"AIBOX_ENV": "production", "AIBOX_PUBLIC_URL": "https://ai.example"}
KEY = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
NTLM = {"AIBOX_AUTH_NTLM_ENABLED": "true", "AIBOX_PUBLIC_URL": "https://ai.example"}
ROPC = {"AIBOX_AUTH_PASSWORD_ROPC": "true", "AIBOX_AUTH_ISSUER": "https://id.example/realms/aibox"}


def serve(folder: Path, **environment: str) -> tuple[int, str]:
    """(exit code, what was said) of `aibox serve`, in a fork of a process that has imported it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    answer, told = context.Pipe(duplex=False)
    everything = {
        "PATH": os.environ["PATH"],
        "AIBOX_DATA": str(folder / "data"),
        "AIBOX_CONFIG": str(folder / "none.toml"),
        "AIBOX_GATEWAY_PORT": str(free_port()),
        **environment,
    }
    process = context.Process(target=_serve, args=(told, everything))
    process.start()
    told.close()
    ended: tuple[int, str] = answer.recv()
    process.join()
    return ended


def _serve(told: Connection, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    code = 0
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            cli.main(["serve"])
        except SystemExit as ended:
            code = int(ended.code or 0)
    told.send((code, said.getvalue()))


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"AIBOX_AUTH_ENABLED": "false"}, "boot_no_auth"),
        ({**PRODUCTION, "AIBOX_AUTH_ENABLED": "false", "AIBOX_ALLOW_AUTH_DISABLED": "true"}, "boot_no_auth"),
        ({"AIBOX_AUTH_PASSWORD_LOGIN": "false"}, "boot_no_auth"),
        ({"AIBOX_TOKEN_KEYS": "k1:c2hvcnQ="}, "boot_bad_key"),
        ({"AIBOX_TOKEN_KEYS": KEY, "AIBOX_COOKIE_KEYS": KEY}, "boot_bad_key"),
        ({"AIBOX_PUBLIC_URL": "http://ai.example"}, "boot_bad_issuer"),
        ({"AIBOX_AUTH_ISSUER": "http://id.example"}, "boot_bad_issuer"),
        ({**PRODUCTION, "AIBOX_LOG_LEVEL": "debug"}, "boot_default"),
        ({**PRODUCTION, "AIBOX_CACHE_URL": "redis://:changeme@cache"}, "boot_default"),
        ({"AIBOX_GATEWAY_CORS_ORIGINS": "*"}, "boot_cors"),
        ({"AIBOX_GATEWAY_PROXIES": "*"}, "boot_server"),
        ({"AIBOX_GATEWAY_PROXIES": "0.0.0.0/0"}, "boot_server"),
        ({"EGRESS_ENFORCE": "true"}, "boot_egress"),
        ({**NTLM, "AIBOX_AUTH_NTLM_CHANNEL_BINDING": "off"}, "boot_login_method"),
        ({**ROPC, "AIBOX_AUTH_CLIENT_SECRET": "s"}, "boot_login_method"),
    ],
    ids=[
        "b01 sign-in is off",
        "b01 sign-in is off in production",
        "b01 nobody could sign in",
        "b02 a short key",
        "b02 one key in two rings",
        "b03 a public address in the clear",
        "b03 an issuer in the clear",
        "b04 debugging in production",
        "b04 a well-known password",
        "b05 every site may call",
        "b06 every proxy is believed",
        "b06 every network is believed",
        "b09 egress without its proxy",
        "b10 ntlm without channel binding",
        "b10 password checks by an open client",
    ],
)
def test_a_start_that_would_be_unsafe_ends_with_78_and_one_sentence(
    tmp_path: Path, environment: dict[str, str], code: str
) -> None:
    ended, said = serve(tmp_path, **environment)
    assert ended == 78, said
    (line,) = said.splitlines()  # no traceback, nothing else
    assert line.startswith("aibox: ")
    assert line.endswith(f" ({code})")


def test_b06_another_asgi_server_does_not_run_it(tmp_path: Path) -> None:
    module = "from aibox.app import build, create_app\nfrom aibox.settings import load\n"
    (tmp_path / "other.py").write_text(f"{module}app = create_app(build(load().settings))\n")
    environment = {"PATH": os.environ["PATH"], "AIBOX_DATA": str(tmp_path / "data"), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "uvicorn", "--port", str(free_port()), "other:app"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 78, done.stderr
    assert "aibox: Start AIBox by `aibox serve`" in done.stderr
    assert "(boot_server)" in done.stderr


async def test_b06_a_server_that_never_starts_the_application_gets_no_answer_of_it(tmp_path: Path) -> None:
    app = create_app(build(Settings(data=str(tmp_path))))
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
        with pytest.raises(BootRefused, match="aibox serve"):
            await http.get("/healthz")


def test_b11_a_restored_old_backup_does_not_start() -> None:
    with installed(AIBOX_ROUTER_LOCAL="false") as one:
        database = one.folder / "data" / "postgres"
        _anchor(one)
        one.stop()
        backup = one.folder / "backup"
        subprocess.run(["cp", "-a", database, backup], check=True)  # with its owner, who may not be us
        one.start()
        _anchor(one)
        one.stop()
        shutil.rmtree(database)
        backup.rename(database)
        done = one.run("aibox", "serve")
        assert done.returncode == 78, done.stdout + done.stderr
        *_, sentence = done.stderr.splitlines()
        assert sentence.startswith("aibox: Restore the newest backup")
        assert sentence.endswith("(boot_log_rollback)")
        assert "the copy has a head of" in one.admin("audit", "recover")


def _anchor(one: Installation) -> None:
    """Have something sealed and its head copied out."""
    with one.client(one.key("audit:write", "audit:read")) as http:
        turn = http.post("/v1/audit", json={"action": "a.b"}).json()["turn_id"]
        deadline = time.monotonic() + 60
        while http.get(f"/v1/receipts/{turn}").json()["state"] != "anchored":
            assert time.monotonic() < deadline
            time.sleep(0.1)

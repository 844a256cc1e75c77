"""A real winbindd on this machine with accounts of its own, where Samba is installed: for tests of Windows sign-in."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

PROGRAMS = ("winbindd", "ntlm_auth", "wbinfo", "smbpasswd")
ACCOUNTS = ("games", "news")
"""Samba's accounts need accounts of the system; these are on every Debian, and nobody signs in with them."""
PASSWORD = "Secr3t!x of the domain"
READY_SECONDS = 20

CONFIGURATION = """
[global]
  workgroup = CORP
  netbios name = FILESRV
  server role = standalone server
  passdb backend = tdbsam:{0}/private/passdb.tdb
  private dir = {0}/private
  state directory = {0}/state
  cache directory = {0}/cache
  lock directory = {0}/lock
  pid directory = {0}/run
  ncalrpc dir = {0}/ncalrpc
  log file = {0}/log/%m.log
  interfaces = lo
  bind interfaces only = yes
  disable netbios = yes
  map to guest = never
  ntlm auth = ntlmv2-only
  load printers = no
"""


@contextlib.contextmanager
def winbind(folder: Path) -> Generator[Path]:
    """A running winbindd with ACCOUNTS in the domain FILESRV; the path of its configuration. Skips where it cannot."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        pytest.skip(f"Samba is not installed: no {', '.join(missing)} (apt-get install winbind samba-common-bin)")
    if os.geteuid() != 0:
        pytest.skip("winbindd needs root")
    if _answers():
        pytest.skip("another winbindd runs on this machine, and there is one socket for it")
    for name in ("private", "state", "cache", "lock", "run", "ncalrpc", "log"):
        (folder / name).mkdir(parents=True)
    path = folder / "smb.conf"
    path.write_text(CONFIGURATION.format(folder))
    for account in ACCOUNTS:
        subprocess.run(
            [_program("smbpasswd") or "", "-c", path, "-s", "-a", account],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )
    process = subprocess.Popen(
        [_program("winbindd") or "", "-s", path, "-F", "--no-process-group"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers():
            assert process.poll() is None, "winbindd ended"
            assert time.monotonic() < deadline, "winbindd does not answer"
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _answers() -> bool:
    return subprocess.run(["wbinfo", "--ping"], capture_output=True, check=False).returncode == 0

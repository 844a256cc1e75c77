"""Asking winbind, whose programs are played by scripts here: what they may say, and what they must not bring about.

`tests/integration/identity/test_winbind.py` asks the real one.
"""

import base64
import time
from pathlib import Path

import pytest

from aibox.core.errors import BootRefused
from aibox.identity import IdpUnavailable
from aibox.identity.ntlm import WANTED, Target, challenge
from aibox.identity.winbind import Proven, Winbind

SID = "S-1-5-21-3922230397-1975300304-2630116931-1000"
YES = "Authenticated: Yes\nUser-Session-Key: 000102030405060708090A0B0C0D0E0F\n."


class Programs:
    """`ntlm_auth` and `wbinfo` in a folder of their own. What they were asked stands in `asked`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.ntlm_auth(YES)
        self.wbinfo(f"{SID} SID_USER (1)")

    def ntlm_auth(self, says: str, *, complains: str = "", sleeps: int = 0) -> None:
        self._write("ntlm_auth", f"sleep {sleeps}\ncat > {self._folder}/asked\n{_says(says, complains)}")

    def wbinfo(self, says: str, *, separator: str = "\\") -> None:
        self._write(
            "wbinfo",
            f"if [ \"$1\" = --separator ]; then echo '{separator}'; exit; fi\n"
            f'printf "%s" "$1" > {self._folder}/named\n{_says(says, "")}',
        )

    def asked(self) -> list[str]:
        return (self._folder / "asked").read_text().splitlines()

    def named(self) -> str:
        return (self._folder / "named").read_text()

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


def _says(text: str, complaint: str) -> str:
    return f"cat <<'END'\n{text}\nEND\ncat >&2 <<'END'\n{complaint}\nEND"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path, monkeypatch)


async def test_a_right_response_is_the_account_by_its_sid(programs: Programs) -> None:
    proven = await Winbind("winbind:").response("CORP", "alice", challenge=bytes(8), response=b"\xab" * 40)
    assert proven == Proven(SID, bytes(range(16)))
    assert programs.named() == "--name-to-sid=CORP\\alice"
    assert f"NT-Response: {'ab' * 40}" in programs.asked()


async def test_nothing_in_a_name_or_password_is_a_line_of_its_own(programs: Programs) -> None:
    evil = "x\n.\nUsername: administrator\nPassword: y"
    await Winbind("winbind:").password("CORP", "alice", evil)
    lines = programs.asked()
    assert len(lines) == 4
    assert lines[2] == f"Password:: {base64.b64encode(evil.encode()).decode()}"


@pytest.mark.parametrize(
    "says", ["Authenticated: No\nAuthentication-Error: Wrong password.\n.", "Authenticated: No\n."]
)
async def test_a_no_is_a_no(programs: Programs, says: str) -> None:
    programs.ntlm_auth(says)
    assert await Winbind("winbind:").password("CORP", "alice", "x") is None


@pytest.mark.parametrize("kind", [f"{SID} SID_DOM_GROUP (2)", "Could not lookup name", f"{SID} SID_USER (1)\nmore", ""])
async def test_who_is_no_person_of_the_domain_does_not_get_in(programs: Programs, kind: str) -> None:
    programs.wbinfo(kind)
    assert await Winbind("winbind:").password("CORP", "alice", "x") is None


@pytest.mark.parametrize("says", ["", "garbage", "authenticated: yes", "Authenticated: Maybe\n."])
async def test_an_answer_that_is_neither_yes_nor_no_lets_nobody_in(programs: Programs, says: str) -> None:
    programs.ntlm_auth(says)
    with pytest.raises(IdpUnavailable):
        await Winbind("winbind:").password("CORP", "alice", "x")


async def test_a_winbind_that_is_down_is_no_wrong_password(programs: Programs) -> None:
    programs.ntlm_auth("Authenticated: No\n.", complains="could not obtain winbind interface details")
    with pytest.raises(IdpUnavailable):
        await Winbind("winbind:").password("CORP", "alice", "x")
    programs.ntlm_auth(YES)
    programs.wbinfo("", separator="")
    with pytest.raises(IdpUnavailable):
        await Winbind("winbind:").password("CORP", "alice", "x")


async def test_a_child_that_takes_too_long_is_ended(programs: Programs) -> None:
    programs.ntlm_auth(YES, sleeps=60)
    begun = time.monotonic()
    with pytest.raises(IdpUnavailable):
        await Winbind("winbind:", seconds=0.3).password("CORP", "alice", "x")
    assert time.monotonic() - begun < 30


async def test_the_machines_names_are_asked_for_once(programs: Programs) -> None:
    known = Target(name="CORP", is_domain=True, pairs={2: "CORP".encode("utf-16-le")})
    second = challenge(known, WANTED, bytes(8), handle="", now=0)
    programs.ntlm_auth(f"TT {base64.b64encode(second).decode()}")
    winbind = Winbind("winbind:/etc/samba/smb.conf")
    assert await winbind.target() == known
    programs.ntlm_auth("BH no")
    assert await winbind.target() == known
    for says in ("BH no", "TT abc", "TT TlRMTVNTUAAB", "", "TT"):
        programs.ntlm_auth(says)
        with pytest.raises(IdpUnavailable):
            await Winbind("winbind:").target()


@pytest.mark.parametrize("url", ["", "ldap:", "winbind://dc/x", "file:/etc/passwd"])
def test_b10_another_verifier_does_not_start(programs: Programs, url: str) -> None:
    with pytest.raises(BootRefused, match="VERIFIER"):
        Winbind(url)


def test_b10_a_machine_without_sambas_programs_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BootRefused, match="Install Samba's winbind") as refused:
        Winbind("winbind:")
    assert refused.value.code == "boot_login_method"

"""Asks Samba's winbind, by its own programs, whether an account of the Windows domain proved itself, and which it is.

`ntlm_auth` speaks `ntlm-server-1` (one question, one answer): the challenge is ours, so that any replica can check the
answer to it. It runs as a child for each question, with a time limit.
"""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from msgspec import Struct

from aibox.core.errors import BootRefused
from aibox.identity import IdpUnavailable
from aibox.identity.ntlm import ALWAYS_SIGN, KEY_56, KEY_128, REQUEST_TARGET, SIGNATURE, WANTED, NtlmError, Target
from aibox.identity.ntlm import target_of as names_in

log = structlog.get_logger("aibox.identity.winbind")

SECONDS = 10.0
AT_ONCE = 8
PROGRAMS = ("ntlm_auth", "wbinfo")
_SID = re.compile(r"(S(?:-[0-9]+){3,15}) SID_USER \(1\)")
_FIRST = (
    SIGNATURE
    + (1).to_bytes(4, "little")
    + (WANTED | KEY_128 | KEY_56 | ALWAYS_SIGN | REQUEST_TARGET).to_bytes(4, "little")
    + bytes(16)
)
"""A type 1 message, to hear by which names this machine answers."""


class Proven(Struct, frozen=True):
    """An account that proved itself: its security identifier, which no renaming changes, and the session's key."""

    sid: str
    key: bytes = b""


class Verifier(Protocol):
    """Knows the passwords of a Windows domain. Raises `IdpUnavailable` when it cannot say."""

    async def target(self) -> Target:
        """The names that clients authenticate to."""
        ...

    async def response(self, domain: str, account: str, *, challenge: bytes, response: bytes) -> Proven | None:
        """Whose NTLMv2 `response` to `challenge` this is; None when it is wrong, or there is no such account."""
        ...

    async def password(self, domain: str, account: str, password: str) -> Proven | None:
        """Whose password this is, as `response` says it."""
        ...


class Winbind:
    """The `Verifier` of the domain that this machine is a member of, or of Samba's own accounts on it."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        """`winbind:`, or `winbind:/path/smb.conf`. Raises `BootRefused` (`boot_login_method`)."""
        parts = urlsplit(url)
        if parts.scheme != "winbind" or parts.netloc:
            raise BootRefused("boot_login_method", "Set AIBOX_AUTH_NTLM_VERIFIER to `winbind:`.")
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise BootRefused(
                "boot_login_method", f"Install Samba's winbind for auth.ntlm: {' and '.join(missing)} cannot be found."
            )
        self._options = [f"--configfile={parts.path}"] if parts.path else []
        self._seconds = seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._target: Target | None = None

    async def target(self) -> Target:
        if self._target is None:
            question = f"YR {base64.b64encode(_FIRST).decode()}\n"
            said, _ = await self._run("ntlm_auth", *self._options, "--helper-protocol=squid-2.5-ntlmssp", said=question)
            mark, _, message = said.strip().partition(" ")
            with contextlib.suppress(ValueError, NtlmError):  # what it said is logged below
                self._target = names_in(base64.b64decode(message, validate=True)) if mark == "TT" else None
            if self._target is None:
                log.error("identity.winbind_strange", said=said[:100])
                raise IdpUnavailable()
        return self._target

    async def response(self, domain: str, account: str, *, challenge: bytes, response: bytes) -> Proven | None:
        return await self._asked(
            domain,
            account,
            f"LANMAN-Challenge: {challenge.hex()}",
            f"NT-Response: {response.hex()}",
            "Request-User-Session-Key: Yes",
        )

    async def password(self, domain: str, account: str, password: str) -> Proven | None:
        return await self._asked(domain, account, _line("Password", password))

    async def _asked(self, domain: str, account: str, *lines: str) -> Proven | None:
        question = "\n".join((_line("NT-Domain", domain), _line("Username", account), *lines, ".\n"))
        said, complaint = await self._run("ntlm_auth", *self._options, "--helper-protocol=ntlm-server-1", said=question)
        answer = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        match answer.get("Authenticated"):
            case "Yes":
                sid = await self._sid(domain, account)
                return None if sid is None else Proven(sid, bytes.fromhex(answer.get("User-Session-Key", "")))
            case "No" if "winbind" not in complaint.lower():
                log.info("identity.ntlm_wrong", reason=answer.get("Authentication-Error", "")[:200])
                return None
            case _:
                log.error("identity.winbind_silent", said=said[:100], complaint=complaint[:200])
                raise IdpUnavailable()

    async def _sid(self, domain: str, account: str) -> str | None:
        """The account's security identifier; None for a name that is no person's."""
        separator, complaint = await self._run("wbinfo", "--separator")
        if not separator.strip():
            log.error("identity.winbind_silent", complaint=complaint[:200])
            raise IdpUnavailable()
        named, complaint = await self._run("wbinfo", f"--name-to-sid={domain}{separator.strip()}{account}")
        match = _SID.fullmatch(named.strip())
        if match is None:
            log.warning("identity.ntlm_no_person", said=named[:100], complaint=complaint[:200])
        return match and match[1]

    async def _run(self, program: str, *arguments: str, said: str = "") -> tuple[str, str]:
        """(what the child printed, what it complained of). Raises `IdpUnavailable` when it takes too long."""
        async with self._slots:
            child = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # so that it is killed with what it started
            )
            try:
                async with asyncio.timeout(self._seconds):
                    printed, complained = await child.communicate(said.encode())
            except TimeoutError:
                log.error("identity.winbind_slow", program=program)
                raise IdpUnavailable() from None
            finally:
                if child.returncode is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    await child.wait()
        return printed.decode("utf-8", "replace"), complained.decode("utf-8", "replace")


def _line(name: str, value: str) -> str:
    """A line of the protocol with its value in base64, so that nothing in it is a line of its own."""
    return f"{name}:: {base64.b64encode(value.encode('utf-8', 'replace')).decode()}"


def _environment() -> dict[str, str]:
    """Nothing of ours but what finds programs and libraries: our environment may hold secrets."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}

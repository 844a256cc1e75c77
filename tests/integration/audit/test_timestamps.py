"""RFC 3161 time stamps, by an authority that `openssl ts` plays and by what may go wrong with one."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aibox.audit import Settings
from aibox.audit.service import Audit
from aibox.audit.timestamps import StampError, Timestamps, read_roots, stamped_at
from aibox.cli import main
from aibox.core import http
from aibox.core.errors import BootRefused, NotFound
from aibox.core.http import Outgoing
from aibox.core.turn import Turn
from tests.integration.audit.conftest import STRANGER, Bench

CONFIGURATION = """
[ tsa ]
default_tsa = it
[ it ]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
[ ca ]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[ signer ]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    """A certificate authority and a time stamp authority under it, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "serial").write_text("01")
        (folder / "tsa.cnf").write_text(CONFIGURATION.format(folder=folder))
        self._openssl("req", "-x509", *new_key("ca"), "-subj", "/CN=Test CA", "-days", "9", *section("ca", "ca.pem"))
        self._openssl("req", *new_key("tsa"), "-subj", "/CN=Test TSA", "-out", "tsa.csr", "-config", "/dev/null")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9", "-extfile", "tsa.cnf"]
        self._openssl("x509", "-req", "-in", "tsa.csr", *signing, "-extensions", "signer", "-out", "tsa.pem")
        self.answers = 0

    @property
    def roots(self) -> Path:
        return self.folder / "ca.pem"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def reply(self, query: bytes) -> bytes:
        self.answers += 1
        (self.folder / "query.tsq").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        return (self.folder / "reply.tsr").read_bytes()

    def verifies(self, reply: bytes, text: bytes) -> bool:
        """What OpenSSL itself says."""
        (self.folder / "got.tsr").write_bytes(reply)
        (self.folder / "text").write_bytes(text)
        command = ["openssl", "ts", "-verify", "-in", "got.tsr", "-data", "text", "-CAfile", "ca.pem"]
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True).returncode == 0


def new_key(name: str) -> list[str]:
    return ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]


def section(name: str, out: str) -> list[str]:
    return ["-config", "/dev/null", "-config", "tsa.cnf", "-extensions", name, "-out", out]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "it")


class Stamping:
    """A server that answers as the authority does, or otherwise when a test says so."""

    def __init__(self, bench: Bench, authority: Authority, outgoing: Outgoing) -> None:
        self.bench = bench
        self.authority = authority
        self.outgoing = outgoing
        self.status = 200
        self.bend: Callable[[bytes], bytes] = bytes
        self.server: TestServer

    async def start(self) -> None:
        async def answer(asked: web.Request) -> web.Response:
            reply = await asyncio.to_thread(self.authority.reply, await asked.read())
            return web.Response(status=self.status, body=self.bend(reply), content_type="application/timestamp-reply")

        app = web.Application()
        app.router.add_post("/", answer)
        self.server = TestServer(app, host="127.0.0.1")
        await self.server.start_server()

    def timestamps(self, *, every: int = 3600) -> Timestamps:
        settings = Settings(
            timestamp_url=f"http://127.0.0.1:{self.server.port}/",
            timestamp_roots=str(self.authority.roots),
            timestamp_seconds=every,
        )
        return Timestamps(settings, self.bench.kernel.connections, self.outgoing)


@pytest.fixture
async def stamping(bench: Bench, authority: Authority) -> AsyncGenerator[Stamping]:
    outgoing = Outgoing(http.Settings(internal_hosts=("127.0.0.1",)))
    async with outgoing.run():
        made = Stamping(bench, authority, outgoing)
        await made.start()
        yield made
        await made.server.close()


async def sealed(bench: Bench) -> Turn:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    return turn


async def log_of(audit: Audit, turn: Turn) -> str:
    return ((await audit.receipt(turn, turn.id)).log or "").split("/")[-2]


async def test_a_head_is_stamped_and_openssl_agrees(stamping: Stamping) -> None:
    turn = await sealed(stamping.bench)
    log_id = await log_of(stamping.bench.audit, turn)

    await stamping.timestamps().stamp()

    [stamped] = await stamping.bench.audit.stamps(turn, log_id)
    reply = await stamping.bench.audit.stamp(turn, log_id, stamped.size)
    text = "\n".join((await stamping.bench.audit.checkpoint(turn, log_id)).split("\n")[:3]).encode() + b"\n"
    assert stamping.authority.verifies(reply, text)
    assert stamped_at(reply, text, read_roots(stamping.authority.roots)).isoformat().startswith(stamped.at[:19])
    assert abs(datetime.fromisoformat(stamped.at) - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_log_is_stamped_again_only_when_its_last_stamp_is_old_and_it_has_grown(stamping: Stamping) -> None:
    turn = await sealed(stamping.bench)
    log_id = await log_of(stamping.bench.audit, turn)
    before = stamping.authority.answers

    for _ in range(2):
        await stamping.timestamps().stamp()
        await sealed(stamping.bench)
    assert stamping.authority.answers == before + 1
    await asyncio.sleep(1.1)
    for _ in range(2):
        await stamping.timestamps(every=1).stamp()

    assert [stamped.size for stamped in await stamping.bench.audit.stamps(turn, log_id)] == [4, 2]


async def test_the_command_verifies_a_stamp_of_the_head_or_of_the_older_one(
    stamping: Stamping, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBOX_CONFIG", str(tmp_path / "none.toml"))
    turn = await sealed(stamping.bench)
    log_id = await log_of(stamping.bench.audit, turn)
    await stamping.timestamps().stamp()
    later = await sealed(stamping.bench)
    (tmp_path / "head.tsr").write_bytes(await stamping.bench.audit.stamp(turn, log_id, 2))
    for name, one, pin in (("own", turn, None), ("older", later, 2), ("other", later, None)):
        (tmp_path / f"{name}.json").write_bytes(await stamping.bench.audit.proof(one, one.id, pin=pin))

    given = ["--timestamp", str(tmp_path / "head.tsr"), "--roots", str(stamping.authority.roots), "--json"]
    codes = {}
    for name in ("own", "older", "other"):
        with pytest.raises(SystemExit) as stop:
            main(["verify", str(tmp_path / f"{name}.json"), *given])
        verdict = json.loads(capsys.readouterr().out)
        codes[name] = stop.value.code
        assert verdict["steps"][-1]["name"] == "timestamp"
        assert verdict["ok"] == (stop.value.code == 0)

    assert codes == {"own": 0, "older": 0, "other": 1}


async def test_a_stamp_by_an_authority_that_is_not_trusted_is_not_kept(
    stamping: Stamping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turn = await sealed(stamping.bench)
    timestamps = stamping.timestamps()
    stamping.authority = Authority(tmp_path / "other")

    await timestamps.stamp()

    assert "audit.not_stamped" in capsys.readouterr().out
    assert await stamping.bench.audit.stamps(turn, await log_of(stamping.bench.audit, turn)) == []


@pytest.mark.parametrize("fault", ["an error", "cut short", "of another head"])
async def test_an_answer_that_is_no_stamp_of_this_head_is_not_kept(stamping: Stamping, fault: str) -> None:
    turn = await sealed(stamping.bench)
    match fault:
        case "an error":
            stamping.status = 500
        case "cut short":
            stamping.bend = lambda reply: reply[:-20]
        case _:
            query = stamping.authority.folder / "elsewhere.tsq"
            subprocess.run(
                ["openssl", "ts", "-query", "-data", "ca.pem", "-sha256", "-cert", "-out", query.name],
                cwd=query.parent,
                check=True,
                capture_output=True,
            )
            other = stamping.authority.reply(query.read_bytes())
            stamping.bend = lambda reply: other

    await stamping.timestamps().stamp()

    assert await stamping.bench.audit.stamps(turn, await log_of(stamping.bench.audit, turn)) == []


async def test_a_stranger_has_no_stamp_of_anothers_log(stamping: Stamping) -> None:
    turn = await sealed(stamping.bench)
    theirs = await stamping.bench.ended(STRANGER)
    await stamping.timestamps().stamp()
    log_id = await log_of(stamping.bench.audit, turn)

    assert await stamping.bench.audit.stamps(theirs, log_id) == []
    with pytest.raises(NotFound):
        await stamping.bench.audit.stamp(theirs, log_id, 2)


def test_an_authority_without_roots_refuses_the_start(bench: Bench, tmp_path: Path) -> None:
    for roots in ("", str(tmp_path / "none.pem")):
        with pytest.raises(BootRefused, match="AIBOX_AUDIT_TIMESTAMP_ROOTS"):
            Timestamps(
                Settings(timestamp_url="http://tsa.test", timestamp_roots=roots),
                bench.kernel.connections,
                Outgoing(http.Settings()),
            )


def test_bytes_that_are_no_answer_are_refused(authority: Authority) -> None:
    for data in (b"", b"\x30\x03\x02\x01\x00", b"nonsense"):
        with pytest.raises(StampError):
            stamped_at(data, b"text", read_roots(authority.roots))

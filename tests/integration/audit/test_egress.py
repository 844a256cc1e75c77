"""What an egress proxy judged is in the audit log: a real Squid with the rules we ship, `aibox-egress`, and AIBox."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

import aibox
from aibox.audit.verifier import verify
from aibox.core.http import Outgoing, Unreachable
from aibox.core.http import Settings as HttpSettings
from tests.conftest import new_database
from tests.installation import BIN, free_port
from tests.system import Served, served

SQUID = shutil.which("squid", path="/usr/sbin:/usr/bin")
RULES = Path(aibox.__file__).parents[1] / "deploy" / "squid" / "aibox.conf"
WAIT_SECONDS = 20.0

AS_PROXY = ("setpriv", "--reuid", "proxy", "--regid", "proxy", "--init-groups") if os.getuid() == 0 else ()
"""Squid does not run as root; anybody else runs it as themselves."""

pytestmark = pytest.mark.skipif(SQUID is None, reason="Squid is not installed (apt-get install squid)")


class Proxy:
    """A Squid with the rules we ship. For the tests it lets `there.test` through as well, which is this machine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "log" / "aibox.jsonl"
        for name in ("log", "run"):
            (folder / name).mkdir()
            if AS_PROXY:
                shutil.chown(folder / name, "proxy", "proxy")
        (folder / "hosts").write_text("127.0.0.1 there.test inside.openai.com\n")
        ours = RULES.read_text()
        assert "/var/log/squid/" in ours
        rules = folder / "aibox.conf"
        rules.write_text(ours.replace("/var/log/squid/", f"{folder}/log/"))
        self._config = folder / "squid.conf"
        self._config.write_text(
            f"http_port 127.0.0.1:{self.port}\npid_filename {folder}/run/squid.pid\ncoredump_dir {folder}/run\n"
            f"cache_log {folder}/log/cache.log\nhosts_file {folder}/hosts\ncache deny all\ncache_mem 8 MB\n"
            "visible_hostname egress.test\nshutdown_lifetime 0 seconds\npinger_enable off\nnetdb_filename none\n"
            "dns_nameservers 127.0.0.1\ndns_timeout 1 second\nlogfile_rotate 3\n"
            "acl there dstdomain -n there.test\nacl is_there annotate_transaction rule=test\n"
            f"http_access allow there is_there\ninclude {rules}\n"
        )

    @contextlib.contextmanager
    def run(self) -> Generator[None]:
        """Squid in the foreground, until the block ends."""
        process = subprocess.Popen(self._command("-N"), stderr=subprocess.PIPE)
        try:
            for _ in range(200):
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{self.port}/")
                    break
                assert process.poll() is None, process.stderr and process.stderr.read()
            yield
        finally:
            process.terminate()
            process.wait(20)
            assert process.stderr is not None
            process.stderr.close()

    def rotate(self) -> None:
        """Begin a new log, as logrotate has Squid do."""
        subprocess.run(self._command("-k", "rotate"), check=True, capture_output=True)

    def _command(self, *options: str) -> list[str | Path]:
        assert SQUID is not None
        return [*AS_PROXY, SQUID, *options, "-f", self._config]


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[Proxy]:
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)  # Squid runs as another user
    folder = tmp_path / "squid"
    folder.mkdir(mode=0o755)
    proxy = Proxy(folder)
    with proxy.run():
        yield proxy


@pytest.fixture
async def there() -> AsyncGenerator[str]:
    """A page outside, as far as the proxy is concerned."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/secret/path", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"there.test:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def house(cluster: object, tmp_path: Path) -> AsyncGenerator[Served]:
    async with new_database(cluster) as urls, served(urls, tmp_path / "aibox") as house:  # type: ignore[arg-type]
        yield house


async def reporter(house: Served) -> str:
    """A key that may report acts, and nothing else."""
    owner = (await house.client.get("/v1/auth/me")).json()["user"]["id"]
    return await house.system.identity.create_key(house.turn, user_id=owner, name="egress", scopes=["audit:write"])


@contextlib.contextmanager
def reporting(proxy: Proxy, house: Served, key: str, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [BIN / "aibox-egress", "--log", proxy.log, "--server", house.url, "--state", folder / "egress.json"],
        env={**os.environ, "AIBOX_API_KEY": key},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ask(proxy: Proxy, url: str) -> str:
    """What AIBox's own client gets through the proxy."""
    client = Outgoing(HttpSettings(proxy=f"http://127.0.0.1:{proxy.port}"))
    async with client.run():
        try:
            reply = await client.send("GET", url)
        except Unreachable as why:
            return str(why)
        with contextlib.closing(reply):
            return f"{reply.status}"


async def verdicts(house: Served, count: int) -> list[dict[str, Any]]:
    """The reported verdicts, the oldest first, once there are so many. The one of the fixture's own question, which
    named no host, does not count."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = await house.client.get("/v1/admin/audit", params={"action": "external.egress_verdict"})
            found = [event for event in answer.json()["events"] if event["body"]["resource_id"] != "-:-"]
            if len(found) >= count:
                return found[::-1]
            await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_each_call_that_the_proxy_judged_is_a_sealed_act_that_names_host_and_verdict(
    proxy: Proxy, there: str, house: Served, tmp_path: Path
) -> None:
    with reporting(proxy, house, await reporter(house), tmp_path):
        assert await ask(proxy, f"http://{there}/secret/path?token=x") == "200"
        assert await ask(proxy, "http://elsewhere.test/") == "403"
        said = await ask(proxy, "https://inside.openai.com/")  # a listed name, and an internal address
        assert said == "the egress proxy does not allow it"
        found = await verdicts(house, 3)
    judged = {event["body"]["resource_id"]: event["body"]["result"] for event in found}
    assert judged == {there: "allowed", "elsewhere.test:80": "denied", "inside.openai.com:443": "denied"}
    for event in found:
        receipt = await sealed(house, event["turn_id"])
        assert verify(receipt).ok
        assert b"secret/path" not in receipt


async def sealed(house: Served, turn: str) -> bytes:
    async with asyncio.timeout(WAIT_SECONDS):
        while (answer := await house.client.get(f"/v1/receipts/{turn}/proof?open=all")).status_code == 409:
            await asyncio.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.timeout(180)
async def test_a_killed_reporter_and_a_rotated_log_lose_nothing_and_double_nothing(
    proxy: Proxy, house: Served, tmp_path: Path
) -> None:
    key = await reporter(house)
    with reporting(proxy, house, key, tmp_path):
        await ask(proxy, "http://one.test/")
        await verdicts(house, 1)
        while (tmp_path / "egress.json").stat().st_size == 0 or not reported_all(proxy, tmp_path):
            await asyncio.sleep(0.05)
    await ask(proxy, "http://two.test/")
    proxy.rotate()
    await ask(proxy, "http://three.test/")
    with reporting(proxy, house, key, tmp_path):
        await verdicts(house, 3)
        await asyncio.sleep(1)
        found = await verdicts(house, 3)
    names = [event["body"]["resource_id"] for event in found]
    assert sorted(names) == ["one.test:80", "three.test:80", "two.test:80"]


def reported_all(proxy: Proxy, folder: Path) -> bool:
    return bool(json.loads((folder / "egress.json").read_bytes())["offset"] == proxy.log.stat().st_size)


async def test_a_key_without_the_scope_is_told_so(house: Served, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("{}\n")
    owner = (await house.client.get("/v1/auth/me")).json()["user"]["id"]
    key = await house.system.identity.create_key(house.turn, user_id=owner, name="chat", scopes=["chat"])
    done = await asyncio.create_subprocess_exec(
        BIN / "aibox-egress",
        *("--log", tmp_path / "log", "--server", house.url, "--state", tmp_path / "egress.json", "--once"),
        env={**os.environ, "AIBOX_API_KEY": key},
        stderr=subprocess.PIPE,
    )
    _, said = await done.communicate()
    assert (done.returncode, said.decode().count("\n")) == (2, 1)
    assert "does not have the scope" in said.decode()
    assert not (tmp_path / "egress.json").exists()

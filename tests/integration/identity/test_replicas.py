"""Two processes on one PostgreSQL and one Redis: what ends on one ends on the other within a second."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from msgspec import Struct

from aibox.core.connections import Urls
from tests.installation import OWNER, Installation
from tests.stub_upstream import run_stub


class Pair(Struct, frozen=True):
    """Two servers, their own processes, and who is signed in on the first."""

    first: Installation
    second: Installation
    page: httpx.AsyncClient

    @property
    def cookie(self) -> str:
        return f"aibox={self.page.cookies['aibox']}"


@pytest.fixture
async def pair(urls: Urls, scratch: Path) -> AsyncGenerator[Pair]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(dir=scratch))
    options = ("--port", "0", "--unixsocket", str(folder / "redis"), "--save", "", "--dir", str(folder))
    redis = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.DEVNULL)
    async with run_stub() as stub:
        settings = {
            "AIBOX_DATABASE_URL": urls.app.replace("postgresql://", "postgresql+asyncpg://"),
            "AIBOX_DATABASE_SYSTEM_URL": urls.system,
            "AIBOX_CACHE_URL": f"unix://{folder / 'redis'}",
            "AIBOX_ROUTER_LOCAL": "false",
            "AIBOX_HTTP_INTERNAL_HOSTS": stub.base_url.removeprefix("http://").removesuffix("/v1"),
            "AIBOX_OBJECTS_URL": f"file:{folder / 'objects'}",
            "AIBOX_LIMITS_USER_PER_MINUTE": "200",
        }
        first = Installation(folder / "one", **settings)
        second = Installation(folder / "two", **settings)
        # One installation: the second process has the first one's keys, and both answer under one address.
        try:
            await asyncio.to_thread(first.start)
            await asyncio.to_thread(first.create_owner)
            (folder / "two" / "data").mkdir(parents=True)
            shutil.copy(folder / "one" / "data" / "keys.json", folder / "two" / "data" / "keys.json")
            (folder / "two" / "data" / "keys.json").chmod(0o600)
            await asyncio.to_thread(second.start)
            await asyncio.to_thread(first.admin, "providers", "add", "stub", stub.base_url)
            await asyncio.to_thread(first.admin, "roles", "set", "default", "slow")
            async with httpx.AsyncClient(base_url=first.url, headers={"Origin": first.url}, timeout=30) as page:
                login = {"username": OWNER["email"], "password": OWNER["password"]}
                answer = await page.post("/v1/auth/login", json=login)
                page.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
                yield Pair(first, second, page)
        finally:
            for one in (first, second):
                await asyncio.to_thread(one.stop)
            with contextlib.suppress(ProcessLookupError):
                redis.terminate()
            await redis.wait()


@pytest.mark.timeout(400)
async def test_t20_signing_out_on_one_ends_the_session_and_the_stream_on_the_other_within_a_second(pair: Pair) -> None:
    async with httpx.AsyncClient(base_url=pair.second.url, headers={"Cookie": pair.cookie}, timeout=60) as other:
        assert (await other.get("/v1/auth/verify")).status_code == 204
        write = {"Origin": pair.second.url, "X-CSRF-Token": pair.page.headers["X-CSRF-Token"]}
        body = {"messages": [{"role": "user", "content": "Tell me a long story"}]}
        async with other.stream("POST", "/v1/chat/stream", json=body, headers=write) as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("event:"):
                    break
            assert (await pair.page.post("/v1/auth/logout")).status_code == 204
            ended = time.monotonic()
            text = "\n".join([line async for line in lines])
            stream_seconds = time.monotonic() - ended
        assert '"code":"session_revoked"' in text
        assert (await other.get("/v1/auth/verify")).status_code == 401
    assert stream_seconds < 1.6, "a tick of a second, and what the test's own machine took"


@pytest.mark.timeout(400)
async def test_limits_count_together(pair: Pair) -> None:
    key = (await pair.page.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]})).json()["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=pair.first.url, headers=bearer, timeout=30) as one,
        httpx.AsyncClient(base_url=pair.second.url, headers=bearer, timeout=30) as two,
    ):
        # Wait for a minute to begin, so that no window ends in between.
        await asyncio.sleep(max(0.0, 60 - time.time() % 60 + 0.2) if time.time() % 60 > 40 else 0)
        answers = [(await client.get("/v1/auth/verify")).status_code for _ in range(150) for client in (one, two)]
    passed = answers.count(204)
    assert 200 - 2 * 10 - 2 <= passed <= 200, "the page's own requests count too"
    assert set(answers) == {204, 429}

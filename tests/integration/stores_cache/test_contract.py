"""What the port Cache promises, kept by every backend."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from aibox.core.errors import BootRefused, StateUnavailable
from aibox.stores import Cache, CacheSettings
from aibox.stores.cache import open_cache

REDIS = shutil.which("redis-server")


@pytest.fixture(scope="module")
async def redis_socket(scratch: Path) -> AsyncGenerator[Path]:
    """A redis-server of our own on a unix socket."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    socket = scratch / "redis.sock"
    async with _redis(REDIS, socket, scratch):
        yield socket


@contextlib.asynccontextmanager
async def _redis(program: str, socket: Path, folder: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    options = ("--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder))
    process = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(100):
            if socket.exists():
                break
            await asyncio.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    return "memory:" if request.param == "memory" else f"unix://{request.getfixturevalue('redis_socket')}"


@pytest.fixture
async def cache(url: str) -> AsyncGenerator[Cache]:
    opened = open_cache(CacheSettings(url=url))
    async with opened.run():
        yield opened


@pytest.fixture
def key() -> str:
    return f"test:{secrets.token_hex(4)}"


async def test_a_key_never_set_reads_none(cache: Cache, key: str) -> None:
    assert await cache.get(key) is None


async def test_set_then_get_returns_the_same_bytes(cache: Cache, key: str) -> None:
    await cache.set(key, b"\x00\xffbytes", ttl=30)
    assert await cache.get(key) == b"\x00\xffbytes"


async def test_a_value_is_gone_after_its_ttl(cache: Cache, key: str) -> None:
    await cache.set(key, b"1", ttl=0.05)
    await asyncio.sleep(0.1)
    assert await cache.get(key) is None


async def test_setting_again_replaces_the_value_and_starts_a_new_ttl(cache: Cache, key: str) -> None:
    await cache.set(key, b"old", ttl=0.05)
    await cache.set(key, b"new", ttl=30)
    await asyncio.sleep(0.1)
    assert await cache.get(key) == b"new"


async def test_of_fifty_concurrent_adds_exactly_one_wins(cache: Cache, key: str) -> None:
    won = await asyncio.gather(*(cache.add(key, str(n).encode(), ttl=30) for n in range(50)))
    assert won.count(True) == 1
    assert await cache.get(key) == str(won.index(True)).encode()


async def test_add_succeeds_again_after_the_ttl(cache: Cache, key: str) -> None:
    assert await cache.add(key, b"1", ttl=0.05)
    await asyncio.sleep(0.1)
    assert await cache.add(key, b"2", ttl=30)


async def test_concurrent_counts_lose_none(cache: Cache, key: str) -> None:
    counted = await asyncio.gather(*(cache.count(key, ttl=30) for _ in range(50)))
    assert sorted(counted) == list(range(1, 51))
    assert await cache.get(key) == b"50"


async def test_the_first_count_starts_the_window_and_later_ones_do_not_extend_it(cache: Cache, key: str) -> None:
    await cache.count(key, ttl=0.2)
    await asyncio.sleep(0.12)
    assert await cache.count(key, ttl=0.2) == 2
    await asyncio.sleep(0.12)
    assert await cache.count(key, ttl=0.2) == 1


async def test_a_deleted_key_reads_none_and_deleting_an_absent_one_is_no_error(cache: Cache, key: str) -> None:
    await cache.set(key, b"1", ttl=30)
    await cache.delete(key)
    await cache.delete(key)
    assert await cache.get(key) is None


async def test_a_redis_that_died_is_state_unavailable_within_seconds(scratch: Path) -> None:
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    socket = scratch / "redis-dying.sock"
    async with _redis(REDIS, socket, scratch) as process:
        cache = open_cache(CacheSettings(url=f"unix://{socket}"))
        async with cache.run():
            await cache.set("test:x", b"1", ttl=30)
            process.kill()
            await process.wait()
            async with asyncio.timeout(5):
                with pytest.raises(StateUnavailable):
                    await cache.get("test:x")


async def test_a_redis_that_is_not_there_is_state_unavailable_at_the_start(scratch: Path) -> None:
    with pytest.raises(StateUnavailable):
        async with open_cache(CacheSettings(url=f"unix://{scratch}/nobody.sock")).run():
            pass


def test_an_unknown_scheme_does_not_start() -> None:
    with pytest.raises(BootRefused) as refused:
        open_cache(CacheSettings(url="memcached://localhost"))
    assert refused.value.code == "boot_settings"

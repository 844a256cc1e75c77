"""How much may be asked: windows leased from the shared cache, places for running answers, and one door for all."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from aibox.core.errors import BootRefused, RateLimited, StateUnavailable
from aibox.core.turn import Principal, begin
from aibox.gateway import LimitsSettings
from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.limits import Limits, Rates, Slots
from aibox.gateway.origins import cors
from aibox.stores import Cache, CacheSettings
from aibox.stores.cache import open_cache
from aibox.stores.cache.memory import MemoryCache

NOON = 1_800_000_000.0


class Counting(MemoryCache):
    """A cache that counts how often it is asked."""

    asked = 0

    async def count(self, key: str, *, ttl: float, by: int = 1) -> int:
        self.asked += 1
        return await super().count(key, ttl=ttl, by=by)


async def admitted(rates: Rates, name: str, limit: int, tries: int) -> int:
    """How many of `tries` get through."""
    passed = 0
    for _ in range(tries):
        with contextlib.suppress(RateLimited):
            await rates.take(name, limit)
            passed += 1
    return passed


@pytest.mark.parametrize("limit", [1, 7, 30, 120, 1200])
async def test_one_process_lets_through_exactly_the_limit(limit: int) -> None:
    assert await admitted(Rates(MemoryCache(), clock=lambda: NOON), "a", limit, limit + 50) == limit


async def test_two_replicas_together_never_exceed_the_limit_and_waste_a_batch_at_most() -> None:
    cache = MemoryCache()
    replicas = [Rates(cache, clock=lambda: NOON) for _ in range(2)]
    passed = 0
    for _ in range(200):
        for rates in replicas:
            passed += await admitted(rates, "a", 120, 1)
    assert passed == 120
    lone = [Rates(cache, clock=lambda: NOON) for _ in range(2)]
    passed = await admitted(lone[0], "b", 120, 1) + await admitted(lone[1], "b", 120, 200)
    assert 120 - 6 < passed <= 120


async def test_at_the_limit_a_flood_does_not_reach_the_cache() -> None:
    cache = Counting()
    rates = Rates(cache, clock=lambda: NOON)
    await admitted(rates, "a", 120, 121)
    before = cache.asked
    await admitted(rates, "a", 120, 10_000)
    assert (before, cache.asked) == (21, 21)


async def test_the_next_minute_begins_anew_and_says_when() -> None:
    now = NOON + 15
    rates = Rates(MemoryCache(), clock=lambda: now)
    await admitted(rates, "a", 5, 5)
    with pytest.raises(RateLimited) as refused:
        await rates.take("a", 5)
    wait = int(refused.value.headers["Retry-After"])
    now += wait
    await rates.take("a", 5)
    assert wait == 60 - int(NOON + 15) % 60


async def test_zero_is_no_limit() -> None:
    assert await admitted(Rates(MemoryCache()), "a", 0, 1000) == 1000


# --- around routes ---


class Front:
    """Sits where identity does: the header `who` is `tenant/person`, or `tenant/person/key`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            who = dict(scope["headers"])[b"who"].decode().split("/")
            tenant, person = UUID(who[0]), UUID(who[1])
            key = who[2] if len(who) > 2 else None
            principal = Principal(kind="user", tenant=tenant, id=person, pseudonym="p", key_id=key)
            scope.setdefault("state", {})["turn"] = begin(principal)
        await self.app(scope, receive, send)


class House:
    """An application with limits; turns wait until `go` is set."""

    def __init__(self, cache: Cache, **limits: int) -> None:
        self.go = asyncio.Event()
        self.running = 0

        @get("/v1/thing")
        async def thing() -> None: ...

        @post("/v1/chat", opt={"rate": "turn"}, status_code=200)
        async def chat() -> None:
            self.running += 1
            await self.go.wait()

        settings, rates, slots = LimitsSettings(**limits), Rates(cache), Slots(cache)
        app = Litestar(
            [thing, chat],
            middleware=[lambda app: Limits(app, settings, rates, slots)],
            exception_handlers=EXCEPTION_HANDLERS,
            openapi_config=None,
            logging_config=None,
        )
        transport = httpx.ASGITransport(Front(app))  # type: ignore[arg-type]
        self.http = httpx.AsyncClient(transport=transport, base_url="http://h")

    async def ask(self, who: str, path: str = "/v1/thing", method: str = "GET") -> int:
        answer = await self.http.request(method, path, headers={"who": who})
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate_limited"
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code


def person(tenant: UUID | None = None) -> str:
    return f"{tenant or uuid4()}/{uuid4()}"


async def statuses(house: House, who: str, times: int, **options: Any) -> list[int]:
    return [await house.ask(who, **options) for _ in range(times)]


async def test_the_request_after_the_persons_limit_is_429_and_anothers_is_not() -> None:
    house = House(MemoryCache(), user_per_minute=10)
    tenant = uuid4()
    assert await statuses(house, person(tenant), 1) == [200]
    flooding = person(tenant)
    assert await statuses(house, flooding, 12) == [200] * 10 + [429] * 2
    assert await statuses(house, person(tenant), 3) == [200] * 3


async def test_a_key_has_its_own_limit_within_its_persons() -> None:
    house = House(MemoryCache(), key_per_minute=3, user_per_minute=5)
    who = person()
    assert await statuses(house, f"{who}/k1", 4) == [200, 200, 200, 429]
    assert await statuses(house, f"{who}/k2", 3) == [200, 200, 429]


async def test_one_tenants_flood_leaves_anothers_turns_alone() -> None:
    """A hundred people of one tenant ask at once, far above its limit; the other's turns all run."""
    house = House(MemoryCache(), tenant_per_minute=50, user_per_minute=50)
    house.go.set()
    noisy, quiet = uuid4(), uuid4()
    flood = [house.ask(person(noisy)) for _ in range(500)]
    turns = [house.ask(person(quiet), path="/v1/chat", method="POST") for _ in range(20)]
    results = await asyncio.gather(*flood, *turns)
    assert results[:500].count(200) == 50
    assert results[500:] == [200] * 20


async def test_what_one_person_asks_too_much_is_not_taken_from_their_tenant() -> None:
    house = House(MemoryCache(), tenant_per_minute=20, user_per_minute=10)
    tenant = uuid4()
    await statuses(house, person(tenant), 200)
    assert await statuses(house, person(tenant), 10) == [200] * 10


async def test_the_turn_after_the_limit_of_turns_is_429_and_other_requests_go_on() -> None:
    house = House(MemoryCache(), turns_per_minute=3)
    house.go.set()
    who = person()
    assert await statuses(house, who, 4, path="/v1/chat", method="POST") == [200, 200, 200, 429]
    assert await house.ask(who) == 200


async def test_the_answer_after_the_limit_of_running_ones_waits_for_one_to_end() -> None:
    house = House(MemoryCache(), streams=2)
    who = person()
    running = [asyncio.create_task(house.ask(who, path="/v1/chat", method="POST")) for _ in range(2)]
    while house.running < 2:
        await asyncio.sleep(0)
    assert await house.ask(who, path="/v1/chat", method="POST") == 429
    house.go.set()
    assert await asyncio.gather(*running) == [200, 200]
    assert await house.ask(who, path="/v1/chat", method="POST") == 200


async def test_p14_with_the_cache_down_nobody_passes_uncounted() -> None:
    class Down(MemoryCache):
        async def count(self, key: str, *, ttl: float, by: int = 1) -> int:
            raise StateUnavailable()

    assert await House(Down()).ask(person()) == 503


@pytest.fixture
async def redis() -> AsyncGenerator[str]:
    """A redis-server of our own on a unix socket."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    options = ("--port", "0", "--unixsocket", str(folder / "s"), "--save", "", "--dir", str(folder))
    process = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.DEVNULL)
    while not (folder / "s").exists():
        await asyncio.sleep(0.02)
    yield f"unix://{folder / 's'}"
    process.terminate()
    await process.wait()
    shutil.rmtree(folder)


async def test_replicas_count_together_through_redis(redis: str) -> None:
    caches = [open_cache(CacheSettings(url=redis)) for _ in range(2)]
    async with caches[0].run(), caches[1].run():
        houses = [House(cache, user_per_minute=40, streams=3) for cache in caches]
        who = person()
        results = await asyncio.gather(*(houses[n % 2].ask(who) for n in range(120)))
        assert results.count(200) == 40
        other = person()
        running = [
            asyncio.create_task(house.ask(other, path="/v1/chat", method="POST")) for house in (*houses, houses[0])
        ]
        while sum(house.running for house in houses) < 3:
            await asyncio.sleep(0.01)
        assert await houses[1].ask(other, path="/v1/chat", method="POST") == 429
        for house in houses:
            house.go.set()
        assert await asyncio.gather(*running) == [200] * 3


# --- other sites' pages ---


@pytest.mark.parametrize("origin", ["*", "null", "https://*.example", "https://a.example/", "a.example", "https://u@a"])
def test_b05_a_site_that_nobody_named_does_not_start(origin: str) -> None:
    with pytest.raises(BootRefused) as refused:
        cors((origin,))
    assert refused.value.code == "boot_cors"


def test_a_named_site_may_call_with_a_token_and_never_with_our_cookie() -> None:
    named = cors(("https://app.example",))
    assert named is not None
    assert named.allow_credentials is False
    assert cors(()) is None

"""Price lists: fetched when an administrator asks, kept when a later fetch fails, and never for what is ours."""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct

from aibox.core.errors import BootRefused
from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.observability import Price, PriceListUnset, PricesUnavailable, Settings
from aibox.observability.prices import PriceService
from tests.conftest import Kernel
from tests.integration.observability.conftest import turn_of

LIST = {
    "data": [
        {
            "id": "openai/gpt-4o",
            "canonical_slug": "openai/gpt-4o-2024-08-06",
            "pricing": {
                "prompt": "0.0000025",
                "completion": "0.00001",
                "input_cache_read": "0.00000125",
                "internal_reasoning": "0",
            },
        },
        {"id": "openai/gpt-4o:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "a/twin", "pricing": {"prompt": "0.000001", "completion": "0.000001"}},
        {"id": "b/twin", "pricing": {"prompt": "0.000002", "completion": "0.000002"}},
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "odd/words", "pricing": {"prompt": "cheap", "completion": "0"}},
        {"id": "odd/none"},
    ]
}
GPT_4O = Price(input_usd=Decimal("2.5"), output_usd=Decimal(10), cached_input_usd=Decimal("1.25"))


class Server(Struct):
    """The public list's server; `answer` is what it says next."""

    url: str = ""
    status: int = 200
    body: str = json.dumps(LIST)
    asked: int = 0


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    state = Server()

    async def models(_: web.Request) -> web.Response:
        state.asked += 1
        headers = {"Location": "http://127.0.0.1:1/elsewhere"} if state.status == 302 else None
        return web.Response(text=state.body, status=state.status, content_type="application/json", headers=headers)

    app = web.Application()
    app.router.add_get("/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}/models"
    yield state
    await runner.cleanup()


def service(kernel: Kernel, http: Outgoing, server: Server, **settings: Any) -> PriceService:
    return PriceService(
        Settings(prices_url=server.url, **settings), connections=kernel.connections, log=kernel.log, http=http
    )


@pytest.fixture
async def http() -> AsyncGenerator[Outgoing]:
    client = Outgoing(HttpSettings(internal_hosts=("127.0.0.1",)))
    async with client.run():
        yield client


async def test_nothing_is_fetched_before_an_administrator_asks(kernel: Kernel, http: Outgoing, server: Server) -> None:
    prices = service(kernel, http, server)
    async with prices.run(kernel.tasks):
        assert prices.find("openai", "gpt-4o", is_ours=False) is None
        assert (await prices.listed(turn_of())).fetched_at is None
    assert server.asked == 0


async def test_a_fetched_list_prices_models_by_their_full_or_unmistakable_names(
    kernel: Kernel, http: Outgoing, server: Server
) -> None:
    prices = service(kernel, http, server)
    async with prices.run(kernel.tasks):
        listed = await prices.refresh(turn_of("p_admin"))
        assert listed.fetched_at is not None
        assert (datetime.now(UTC) - listed.fetched_at).total_seconds() < 60
        assert [item.model for item in listed.prices] == [
            "a/twin",
            "b/twin",
            "openai/gpt-4o",
            "openai/gpt-4o-2024-08-06",
            "openai/gpt-4o:free",
        ]
        assert prices.find("openai", "gpt-4o", is_ours=False) == GPT_4O
        assert prices.find("proxy", "gpt-4o", is_ours=False) == GPT_4O
        assert prices.find("proxy", "openai/gpt-4o", is_ours=False) == GPT_4O
        assert prices.find("proxy", "gpt-4o-2024-08-06", is_ours=False) == GPT_4O
        assert prices.find("proxy", "twin", is_ours=False) is None
        assert prices.find("b", "twin", is_ours=False) == Price(input_usd=Decimal(2), output_usd=Decimal(2))
        assert prices.find("openrouter", "auto", is_ours=False) is None
        assert prices.find("vllm", "gpt-4o", is_ours=True) is None


async def test_a_failed_fetch_keeps_the_last_list_and_says_what_is_wrong(
    kernel: Kernel, http: Outgoing, server: Server
) -> None:
    prices = service(kernel, http, server)
    async with prices.run(kernel.tasks):
        first = await prices.refresh(turn_of("p_admin"))
        for status, body in ((500, ""), (302, ""), (200, "<html>"), (200, '{"data": []}'), (200, '{"data": 7}')):
            server.status, server.body = status, body
            with pytest.raises(PricesUnavailable):
                await prices.refresh(turn_of("p_admin"))
        now = await prices.listed(turn_of())
        assert (now.fetched_at, now.prices) == (first.fetched_at, first.prices)
        assert now.problem
        assert prices.find("openai", "gpt-4o", is_ours=False) == GPT_4O


async def test_a_fetched_list_is_there_after_a_restart_and_in_other_servers(
    kernel: Kernel, http: Outgoing, server: Server
) -> None:
    prices = service(kernel, http, server)
    async with prices.run(kernel.tasks):
        await prices.refresh(turn_of("p_admin"))
    again = service(kernel, http, server)
    async with again.run(kernel.tasks):
        assert again.find("openai", "gpt-4o", is_ours=False) == GPT_4O
    assert server.asked == 1


async def test_an_internal_address_of_the_list_is_refused(kernel: Kernel, server: Server) -> None:
    http = Outgoing(HttpSettings())
    prices = service(kernel, http, server)
    async with http.run(), prices.run(kernel.tasks):
        with pytest.raises(PricesUnavailable, match="internal"):
            await prices.refresh(turn_of("p_admin"))
    assert server.asked == 0


async def test_without_a_list_there_is_nothing_to_fetch(kernel: Kernel, http: Outgoing) -> None:
    prices = service(kernel, http, Server())
    async with prices.run(kernel.tasks):
        with pytest.raises(PriceListUnset, match="OPENROUTER_MODELS_URL"):
            await prices.refresh(turn_of("p_admin"))


async def test_the_operators_file_wins_over_the_list_and_prices_what_is_ours_too(
    kernel: Kernel, http: Outgoing, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    file.write_text(
        json.dumps(
            {
                "gpt-4o": {"input_usd": 1, "output_usd": "2"},
                "vllm/gpt-4o": {"input_usd": "0.1", "output_usd": "0.2"},
            }
        )
    )
    prices = service(kernel, http, server, local_prices=str(file))
    async with prices.run(kernel.tasks):
        await prices.refresh(turn_of("p_admin"))
        usual = Price(input_usd=Decimal(1), output_usd=Decimal(2))
        assert prices.find("openai", "gpt-4o", is_ours=False) == usual
        assert prices.find("local", "gpt-4o", is_ours=True) == usual
        assert prices.find("vllm", "gpt-4o", is_ours=True) == Price(input_usd=Decimal("0.1"), output_usd=Decimal("0.2"))
        assert [item.source for item in (await prices.listed(turn_of())).prices][:3] == ["file", "file", "list"]


@pytest.mark.parametrize("content", [None, "[", '{"m": {"input_usd": 1}}', '{"m": {"input_usd": -1, "output_usd": 1}}'])
async def test_a_file_of_prices_that_cannot_be_read_stops_the_start(
    kernel: Kernel, http: Outgoing, server: Server, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BootRefused, match="OBS_LOCAL_PRICE_JSON") as refused:
        async with service(kernel, http, server, local_prices=str(file)).run(kernel.tasks):
            pass
    assert refused.value.code == "boot_prices"

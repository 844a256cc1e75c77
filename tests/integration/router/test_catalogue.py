"""Providers, models and roles: what is saved, what is refused, who sees it."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest

from aibox.core.errors import AIBoxError, Conflict, NotFound, ValidationFailed
from aibox.observability import Price
from aibox.router import (
    ROLES,
    AddressRefused,
    ModelUnknown,
    ProviderKeyMissing,
    ProviderProbeFailed,
    RoleNotConfigured,
    Settings,
    UpstreamRedirect,
)
from tests.conftest import Kernel
from tests.integration.router.conftest import QUICK, TENANT, Bench, Make, asking, someone
from tests.stub_upstream import Stub, run_stub

OTHER = UUID("00000000-0000-7000-8000-000000000002")


async def test_an_empty_catalogue_gets_the_local_models(kernel: Kernel, make_routing: Make) -> None:
    off = Settings(local=True, local_model="/nowhere/My-Model.gguf")
    async with make_routing(off) as routing:
        turn = someone()
        roles = await routing.catalogue.roles(turn)
        (provider,) = await routing.catalogue.providers(turn)
    assert (provider.name, provider.type, provider.has_key) == ("local", "local", False)
    assert [model.id for model in provider.models] == ["my-model", "all-minilm-l6-v2"]
    assert list(roles) == list(ROLES)
    chat = {"model": "local/my-model", "fallbacks": []}
    unset = ("memory", "vision", "guardrail", "rerank")
    assert roles == {
        **{role: None if role in unset else chat for role in ROLES},
        "embedding": {"model": "local/all-minilm-l6-v2", "fallbacks": []},
    }
    types = await kernel.connections.system.fetch("SELECT type FROM core.event ORDER BY row_id")
    assert [row["type"] for row in types] == [
        "turn_started",
        "admin.provider.added",
        *["admin.role.set"] * 6,
        "turn_sealed",
    ]


async def test_a_second_start_changes_nothing_and_a_renamed_model_takes_its_roles_along(make_routing: Make) -> None:
    turn = someone()
    async with make_routing(Settings(local_model="/nowhere/one.gguf")) as routing:
        await routing.catalogue.set_role(turn, "title", None)
    async with make_routing(Settings(local_model="/nowhere/one.gguf")) as routing:
        assert (await routing.catalogue.roles(turn))["title"] is None
    async with make_routing(Settings(local_model="/nowhere/two.gguf")) as routing:
        roles = await routing.catalogue.roles(turn)
        (provider,) = await routing.catalogue.providers(turn)
    assert roles["default"] == {"model": "local/two", "fallbacks": []}
    assert {model.id for model in provider.models} == {"two", "all-minilm-l6-v2"}


async def test_an_added_provider_is_probed_saved_and_used_at_once(make_routing: Make) -> None:
    turn = someone()
    async with run_stub(Stub(key="sk-1")) as stub, make_routing() as routing:
        host = stub.base_url.removesuffix("/v1")
        added = await routing.catalogue.add_provider(
            turn, name=" Stub ", base_url=f" {host}/v1/chat/completions ", api_key=" sk-1 ", models=["ok", "echo"]
        )
        assert (added.name, added.base_url, added.has_key) == ("stub", stub.base_url, True)
        assert [(model.id, model.context) for model in added.models] == [("ok", 8192), ("echo", 8192)]
        answer = await routing.router.complete(turn, asking("echo", "hello"))
    assert answer.text == "hello"
    assert "sk-1" not in repr(routing.catalogue.shelf(TENANT))


async def test_the_key_is_stored_sealed_for_its_row(bench: Bench) -> None:
    row = await bench.kernel.connections.system.fetchrow("SELECT id, api_key FROM router.provider WHERE name = 'stub'")
    assert row["api_key"].startswith("v2:")
    assert "sk-stub-key" not in row["api_key"]
    key = await bench.kernel.keys.of(TENANT)
    opened = key.open(row["api_key"], owner=f"router.provider/{row['id']}", field="api_key")
    assert opened == b"sk-stub-key"


async def test_a_base_url_without_path_is_completed_when_only_v1_answers(make_routing: Make) -> None:
    async with run_stub() as stub, make_routing() as routing:
        added = await routing.catalogue.add_provider(someone(), name="stub", base_url=stub.base_url.removesuffix("/v1"))
    assert added.base_url == stub.base_url


@pytest.mark.parametrize(
    ("path", "key", "error", "words"),
    [
        ("/moved", None, UpstreamRedirect, "/v1/models; use that"),
        ("/page", None, ProviderProbeFailed, "a web page"),
        ("/nothing/here", None, ProviderProbeFailed, "answered 404"),
        ("/v1", None, ProviderKeyMissing, "add it with one"),
        ("/v1", "sk-wrong", ProviderProbeFailed, "refuses this API key"),
    ],
)
async def test_a_provider_that_fails_its_probe_is_not_saved(
    make_routing: Make, path: str, key: str | None, error: type[AIBoxError], words: str
) -> None:
    async with run_stub(Stub(key="sk-1")) as stub, make_routing() as routing:
        host = stub.base_url.removesuffix("/v1")
        with pytest.raises(error, match=words) as raised:
            await routing.catalogue.add_provider(someone(), name="new", base_url=host + path, api_key=key)
        assert [provider.name for provider in await routing.catalogue.providers(someone())] == ["local"]
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://169.254.169.254/", "10.0.0.1"]
)
async def test_an_internal_address_is_refused_unless_the_operator_allows_it(make_routing: Make, url: str) -> None:
    async with make_routing(internal=()) as routing:
        with pytest.raises(AddressRefused):
            await routing.catalogue.add_provider(someone(), name="new", base_url=url)


async def test_what_is_wrong_with_a_new_provider_is_said_before_anyone_is_called(bench: Bench) -> None:
    catalogue, turn, url = bench.routing.catalogue, bench.turn, bench.stub.base_url
    with pytest.raises(ValidationFailed):
        await catalogue.add_provider(turn, name="a/b", base_url=url)
    with pytest.raises(ValidationFailed):
        await catalogue.add_provider(turn, name="new", base_url=url, type="local")
    with pytest.raises(ValidationFailed):
        await catalogue.add_provider(turn, name="new", base_url=url, api_key="a\r\nX-Evil: 1")
    with pytest.raises(ProviderProbeFailed, match="called nobody"):
        await catalogue.add_provider(turn, name="new", base_url=url, models=["ok", "nobody"])
    with pytest.raises(Conflict, match="stub exists"):
        await catalogue.add_provider(turn, name="stub", base_url=url)


async def test_a_removed_provider_takes_its_models_and_roles_along(bench: Bench) -> None:
    catalogue = bench.routing.catalogue
    await catalogue.set_role(bench.turn, "title", "stub/ok")
    await catalogue.remove_provider(bench.turn, "stub")
    assert (await catalogue.roles(bench.turn))["title"] is None
    with pytest.raises(ModelUnknown):
        await bench.routing.router.complete(bench.turn, asking("ok"))
    with pytest.raises(RoleNotConfigured):
        await bench.routing.router.complete(bench.turn, asking("title"))
    with pytest.raises(NotFound):
        await catalogue.remove_provider(bench.turn, "stub")


async def test_a_role_keeps_the_order_of_its_fallbacks_and_can_be_unset(bench: Bench) -> None:
    catalogue = bench.routing.catalogue
    await catalogue.set_role(bench.turn, "default", "ok", fallbacks=["stub/echo", "slow", "ok"])
    assert (await catalogue.roles(bench.turn))["default"] == {
        "model": "stub/ok",
        "fallbacks": ["stub/echo", "stub/slow"],
    }
    await catalogue.set_role(bench.turn, "default", None)
    assert (await catalogue.roles(bench.turn))["default"] is None


@pytest.mark.parametrize(
    ("role", "model", "fallbacks", "error"),
    [
        ("nobody", "ok", [], ValidationFailed),
        ("default", "nobody", [], ModelUnknown),
        ("default", None, ["ok"], ValidationFailed),
        ("default", "all-minilm-l6-v2", [], ValidationFailed),
        ("embedding", "embedding", ["all-minilm-l6-v2"], ValidationFailed),
    ],
)
async def test_a_role_refuses_what_cannot_serve_it(
    bench: Bench, role: str, model: str | None, fallbacks: list[str], error: type[AIBoxError]
) -> None:
    with pytest.raises(error):
        await bench.routing.catalogue.set_role(bench.turn, role, model, fallbacks=fallbacks)


async def test_colliding_ids_mean_the_oldest_and_a_provider_before_the_slash_means_itself(bench: Bench) -> None:
    async with run_stub(Stub(words=("I am the second.",))) as second:
        await bench.routing.catalogue.add_provider(bench.turn, name="second", base_url=second.base_url, models=["ok"])
        first_text = (await bench.routing.router.complete(bench.turn, asking("ok"))).text
        second_text = (await bench.routing.router.complete(bench.turn, asking("second/ok"))).text
        listed = [model["id"] for model in await bench.routing.router.models(bench.turn)]
    assert (first_text, second_text) == ("The answer is forty-two.", "I am the second.")
    assert ("ok" in listed, "second/ok" in listed, "stub/ok" in listed) == (True, True, False)


async def test_another_tenant_sees_and_calls_nothing_of_ours(bench: Bench) -> None:
    stranger = someone(OTHER)
    assert await bench.routing.catalogue.providers(stranger) == []
    assert await bench.routing.router.models(stranger) == []
    with pytest.raises(ModelUnknown):
        await bench.routing.router.complete(stranger, asking("stub/ok"))
    with pytest.raises(NotFound):
        await bench.routing.catalogue.remove_provider(stranger, "stub")


async def test_a_price_is_exact_and_can_be_unknown_again(bench: Bench) -> None:
    price = Price(input_usd=Decimal("0.0000001"), output_usd=Decimal("0.3"))
    await bench.routing.catalogue.set_price(bench.turn, "stub/echo", price)
    answer = await bench.routing.router.complete(bench.turn, asking("echo"))
    assert answer.cost_usd == "0.0000015000011"
    await bench.routing.catalogue.set_price(bench.turn, "stub/echo", None)
    assert (await bench.routing.router.complete(someone(), asking("echo"))).cost_usd is None


async def test_another_replica_hears_of_a_change_within_a_second(bench: Bench, make_routing: Make) -> None:
    async with make_routing(QUICK) as replica:
        assert replica.catalogue.shelf(TENANT).roles.get("vision") is None
        await bench.routing.catalogue.set_role(bench.turn, "vision", "stub/ok")
        async with asyncio.timeout(1):
            while not replica.catalogue.shelf(TENANT).roles.get("vision"):
                await asyncio.sleep(0.01)


async def test_the_snapshot_heals_when_the_listening_connection_is_killed(bench: Bench) -> None:
    system = bench.kernel.connections.system
    killed = await system.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%aibox_catalogue%'"
    )
    assert killed == 1
    async with asyncio.timeout(10):
        while not await system.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%aibox_catalogue%'"
        ):
            await asyncio.sleep(0.05)
    await bench.routing.catalogue.set_role(bench.turn, "vision", "stub/ok")
    assert bench.routing.catalogue.shelf(TENANT).roles["vision"]

"""What is staged and what is applied: calls use the one, administrators change the other, nobody sees half of them."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from aibox.core.connections import Urls
from aibox.observability import Price
from aibox.router import BundleStale, ModelTerms, ModelUnknown, ProviderChange, RoleNotConfigured
from aibox.stores import migrations
from tests.conftest import Kernel
from tests.integration.router.conftest import QUICK, TENANT, Bench, Make, asking, someone
from tests.stub_upstream import run_stub

EXPLICIT = msgspec.structs.replace(QUICK, apply="explicit")
OTHER = UUID("00000000-0000-7000-8000-000000000002")


async def test_by_default_a_change_counts_at_once_and_nothing_is_left_staged(bench: Bench) -> None:
    before = await bench.routing.catalogue.bundle(bench.turn)
    await bench.routing.catalogue.set_role(bench.turn, "title", "ok")
    after = await bench.routing.catalogue.bundle(bench.turn)
    assert (after.apply, after.diff) == ("auto", ())
    assert after.staged.revision == after.applied.revision == before.applied.revision + 1


async def test_a_staged_change_is_seen_by_administrators_and_used_by_calls_once_it_is_applied(
    kernel: Kernel, make_routing: Make
) -> None:
    turn = someone()
    async with run_stub() as stub, make_routing(EXPLICIT) as routing:
        catalogue = routing.catalogue
        await catalogue.add_provider(turn, name="stub", base_url=stub.base_url, models=["ok", "echo"])
        await catalogue.set_role(turn, "default", "stub/ok", fallbacks=["echo"])
        assert [provider.name for provider in await catalogue.providers(turn)] == ["local", "stub"]
        assert (await catalogue.roles(turn))["default"] == {"model": "stub/ok", "fallbacks": ["stub/echo"]}
        with pytest.raises(ModelUnknown):
            await routing.router.complete(someone(), asking("stub/ok"))
        with pytest.raises(RoleNotConfigured):
            await routing.router.complete(someone(), asking("default"))

        staged = await catalogue.bundle(turn)
        assert (staged.applied.revision, staged.staged.revision) == (1, 3)
        assert [change.sentence for change in staged.diff] == [
            f"The provider stub ({stub.base_url}) is added with 2 models.",
            "The role default leads to stub/ok, then stub/echo instead of nothing.",
        ]
        applied = await catalogue.apply_bundle(turn, revision=3)
        assert (applied.applied.revision, applied.diff) == (3, ())
        assert (await routing.router.complete(someone(), asking("default"))).text == "The answer is forty-two."
    moved = await _moved(kernel)
    assert [(event["to"], event["revision"], len(event["changes"])) for event in moved] == [("applied", 3, 2)]


async def test_a_discarded_change_leaves_everything_as_it_was_to_the_last_key(make_routing: Make) -> None:
    turn = someone()
    price = Price(input_usd=Decimal("0.1"), output_usd=Decimal("2.000000000001"), cached_input_usd=Decimal("0.01"))
    async with run_stub() as stub, run_stub() as elsewhere:
        async with make_routing() as routing:
            await routing.catalogue.add_provider(
                turn, name="stub", base_url=stub.base_url, api_key="sk-1", models=["ok"]
            )
            await routing.catalogue.set_model(
                turn, "stub", "ok", ModelTerms(capabilities=("chat", "tools"), price=price)
            )
            await routing.catalogue.set_role(turn, "default", "ok")
            before = await routing.catalogue.providers(turn), await routing.catalogue.roles(turn)
        async with make_routing(EXPLICIT) as routing:
            catalogue = routing.catalogue
            change = ProviderChange(name="new", base_url=elsewhere.base_url, api_key="sk-2", max_concurrency=2)
            await catalogue.change_provider(turn, "stub", change)
            await catalogue.set_model(turn, "new", "ok", ModelTerms())
            await catalogue.remove_provider(turn, "local")
            diff = (await catalogue.bundle(turn)).diff
            assert [(one.change, one.subject, one.name, one.field) for one in diff] == [
                ("changed", "provider", "new", "api_key"),
                ("changed", "provider", "new", "name"),
                ("changed", "provider", "new", "base_url"),
                ("changed", "provider", "new", "max_concurrency"),
                ("changed", "model", "new/ok", "capabilities"),
                ("changed", "model", "new/ok", "price"),
                ("removed", "provider", "local", ""),
                ("changed", "role", "default", "models"),
                ("changed", "role", "embedding", "models"),
            ]
            told = " ".join(one.sentence for one in diff)
            assert "its API key is replaced" in told
            assert "$0.1 in, $2.000000000001 out, $0.01 cached" in told
            assert "sk-" not in told
            discarded = await catalogue.discard_bundle(turn)
            assert discarded.diff == ()
            assert discarded.applied.revision == discarded.staged.revision
            assert (await catalogue.providers(turn), await catalogue.roles(turn)) == before
            await routing.router.complete(someone(), asking("stub/ok"))
    assert stub.headers[-1]["Authorization"] == "Bearer sk-1"


async def test_what_somebody_changed_since_is_not_applied_unseen(make_routing: Make) -> None:
    turn = someone()
    async with make_routing(EXPLICIT) as routing:
        await routing.catalogue.set_role(turn, "embedding", None)
        seen = (await routing.catalogue.bundle(turn)).staged.revision
        await routing.catalogue.set_role(someone(), "embedding", "all-minilm-l6-v2")
        for move in (routing.catalogue.apply_bundle, routing.catalogue.discard_bundle):
            with pytest.raises(BundleStale):
                await move(turn, revision=seen)


async def test_nothing_staged_is_nothing_to_apply_and_leaves_no_event(bench: Bench) -> None:
    before = await bench.routing.catalogue.bundle(bench.turn)
    assert await bench.routing.catalogue.apply_bundle(bench.turn) == before
    assert await bench.routing.catalogue.discard_bundle(bench.turn) == before
    assert await _moved(bench.kernel) == []


async def test_another_tenants_bundle_is_its_own(bench: Bench) -> None:
    stranger = someone(OTHER)
    seen = await bench.routing.catalogue.bundle(stranger)
    assert (seen.staged.revision, seen.applied.revision, seen.diff) == (0, 0, ())


async def test_no_reader_ever_sees_half_of_a_change(bench: Bench, make_routing: Make) -> None:
    """A provider and the role that leads to it come and go together, applied as one, while two replicas read."""
    async with make_routing(EXPLICIT) as writer, make_routing(EXPLICIT) as replica:
        readers = [
            asyncio.create_task(_watch(routing.catalogue, rounds=3000)) for routing in (bench.routing, writer, replica)
        ]
        turn = someone()
        for number in range(6):
            name = f"new{number}"
            await writer.catalogue.add_provider(turn, name=name, base_url=bench.stub.base_url, models=["ok"])
            await writer.catalogue.set_role(turn, "vision", f"{name}/ok")
            if number:
                await writer.catalogue.remove_provider(turn, f"new{number - 1}")
            await writer.catalogue.apply_bundle(turn)
        seen = [name for reader in readers for name in await reader]
    assert {"new0", "new5"} <= set(seen)


async def _watch(catalogue: object, *, rounds: int) -> list[str]:
    """Where `vision` led, each time something else; asserts that exactly its provider is there."""
    seen: list[str] = []
    for _ in range(rounds):
        shelf = catalogue.shelf(TENANT)  # type: ignore[attr-defined] # the service, not its Protocol
        leading = [route.entry.provider.name for route in shelf.roles.get("vision", ())]
        assert leading == [entry.provider.name for entry in shelf.entries if entry.provider.name.startswith("new")]
        if leading and leading[0] not in seen:
            seen += leading
        await asyncio.sleep(0.001)
    return seen


async def test_a_catalogue_of_the_version_before_is_applied_when_it_is_migrated(urls: Urls) -> None:
    await migrations.migrate(urls.owner, "base")
    await migrations.migrate(urls.owner, "router_0002")
    owner = await asyncpg.connect(urls.owner)
    try:
        await owner.execute(
            "INSERT INTO router.provider (tenant, id, name, type, adapter, base_url)"
            " SELECT tenant, tenant, 'old', 'external', 'chat_completions', 'https://old.example' FROM"
            " unnest($1::uuid[]) AS tenant",
            [TENANT, OTHER],
        )
        await migrations.migrate(urls.owner)
        rows = await owner.fetch("SELECT staged, applied, document FROM router.bundle")
    finally:
        await owner.close()
    assert [(row["staged"], row["applied"]) for row in rows] == [(1, 1), (1, 1)]
    (provider,) = msgspec.json.decode(rows[0]["document"])["providers"]
    assert (provider["name"], provider["max_waiting"], provider["queue_seconds"]) == ("old", 100, 30)


async def _moved(kernel: Kernel) -> list[dict[str, Any]]:
    rows = await kernel.connections.system.fetch(
        "SELECT data FROM core.event WHERE type = 'admin.bundle.moved' ORDER BY row_id"
    )
    return [msgspec.json.decode(row["data"])["body"] for row in rows]

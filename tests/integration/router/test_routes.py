"""The router's HTTP routes, served with the app's own names for what is injected."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from litestar import Litestar, Request, Response
from litestar.di import Provide

from aibox.core.errors import AIBoxError, render
from aibox.core.turn import Turn
from aibox.router import Catalogue, ModelRouter
from aibox.router.routes import ROUTES
from tests.integration.router.conftest import Bench


def show(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    assert isinstance(error, AIBoxError)
    status, headers, body = render(error, path=request.url.path, turn_id=None)
    return Response(body, status_code=status, headers=headers)


@pytest.fixture
async def client(bench: Bench) -> AsyncGenerator[AsyncClient]:
    async def turn() -> Turn:
        return bench.turn

    async def model_router() -> ModelRouter:
        return bench.routing.router

    async def catalogue() -> Catalogue:
        return bench.routing.catalogue

    app = Litestar(
        route_handlers=ROUTES,
        dependencies={"turn": Provide(turn), "model_router": Provide(model_router), "catalogue": Provide(catalogue)},
        exception_handlers={AIBoxError: show},
        openapi_config=None,
    )
    transport = ASGITransport(app)  # type: ignore[arg-type] # Litestar types ASGI more narrowly
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_models_are_listed_as_openai_lists_them(client: AsyncClient, bench: Bench) -> None:
    await bench.routing.catalogue.set_role(bench.turn, "default", "ok")
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    by_id = {model["id"]: model for model in body["data"]}
    assert by_id["ok"]["object"] == "model"
    assert by_id["ok"]["owned_by"] == "stub"
    assert isinstance(by_id["ok"]["created"], int)
    assert by_id["ok"]["aibox"] == {
        "provider": "stub",
        "type": "external",
        "demonstration": False,
        "roles": ["default"],
        "healthy": True,
        "context": 8192,
    }
    assert by_id["all-minilm-l6-v2"]["aibox"]["roles"] == ["embedding"]


async def test_routes_say_where_each_alias_leads(client: AsyncClient, bench: Bench) -> None:
    await bench.routing.catalogue.set_role(bench.turn, "default", "ok", fallbacks=["echo"])
    data = (await client.get("/v1/routes")).json()["data"]
    by_id = {route["id"]: [model["id"] for model in route["models"]] for route in data}
    assert by_id["default"] == ["stub/ok", "stub/echo"]
    assert by_id["memory"] == []


async def test_providers_are_added_listed_and_removed(client: AsyncClient, bench: Bench) -> None:
    path = "/v1/admin/inference/providers"
    added = await client.post(path, json={"name": "more", "base_url": bench.stub.base_url, "api_key": "sk-2"})
    assert added.status_code == 201
    assert (added.json()["name"], added.json()["has_key"]) == ("more", True)
    listed = await client.get(path)
    assert [provider["name"] for provider in listed.json()] == ["local", "stub", "more"]
    assert "sk-2" not in added.text + listed.text
    assert (await client.delete(f"{path}/{added.json()['id']}")).status_code == 204
    assert [provider["name"] for provider in (await client.get(path)).json()] == ["local", "stub"]
    missing = await client.delete(f"{path}/{added.json()['id']}")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_a_refused_provider_answers_with_its_code(client: AsyncClient) -> None:
    path = "/v1/admin/inference/providers"
    refused = await client.post(path, json={"name": "x", "base_url": "http://10.0.0.1/v1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "address_refused")
    unknown = await client.post(path, json={"name": "x", "base_url": "http://x", "colour": "red"})
    assert unknown.status_code == 400


async def test_roles_are_set_and_listed(client: AsyncClient) -> None:
    path = "/v1/admin/inference/roles"
    assert (await client.put(f"{path}/title", json={"model": "stub/ok", "fallbacks": ["echo"]})).status_code == 204
    assert (await client.get(path)).json()["title"] == {"model": "stub/ok", "fallbacks": ["stub/echo"]}
    assert (await client.put(f"{path}/title", json={"model": None})).status_code == 204
    assert (await client.get(path)).json()["title"] is None
    wrong = await client.put(f"{path}/title", json={"model": "nobody"})
    assert (wrong.status_code, wrong.json()["code"]) == (404, "model_unknown")


PROVIDERS = "/v1/admin/inference/providers"
BUNDLE = "/v1/admin/inference/bundle"


async def test_a_provider_is_read_changed_and_tested_by_its_name_or_id(client: AsyncClient, bench: Bench) -> None:
    await bench.routing.catalogue.set_role(bench.turn, "title", "ok")
    read = (await client.get(f"{PROVIDERS}/stub")).json()
    assert (read["has_key"], read["enabled"], read["in_flight"], read["last_failure"]) == (True, True, 0, None)
    ok = next(model for model in read["models"] if model["id"] == "ok")
    assert (ok["roles"], ok["health"], ok["cools_until"]) == (["title"], "unknown", None)
    assert ok["price"]["input_usd"] == "2.5"

    change = {"name": "renamed", "enabled": False, "max_concurrency": 4, "max_waiting": 7, "queue_seconds": 1.5}
    changed = await client.patch(f"{PROVIDERS}/{read['id']}", json=change)
    assert changed.status_code == 200, changed.text
    assert {**changed.json(), **change} == changed.json()
    tested = (await client.post(f"{PROVIDERS}/renamed/test")).json()
    assert (tested["ok"], tested["missing"], tested["code"]) == (True, [], "")
    assert "ok" in tested["models"]
    body = (await client.patch(f"{PROVIDERS}/renamed", json={"max_concurrency": None, "api_key": None})).json()
    assert (body["max_concurrency"], body["has_key"]) == (None, False)


async def test_a_change_that_the_provider_does_not_stand_is_refused_and_saves_nothing(
    client: AsyncClient, bench: Bench
) -> None:
    before = (await client.get(f"{PROVIDERS}/stub")).json()
    for change, status, code in (
        ({"base_url": "http://127.0.0.1:1/v1"}, 422, "provider_probe_failed"),
        ({"base_url": "http://10.0.0.1/v1"}, 422, "address_refused"),
        ({"base_url": f"{bench.stub.base_url.removesuffix('/v1')}/moved"}, 502, "upstream_redirect"),
        ({"name": "local"}, 409, "conflict"),
        ({"name": "a/b"}, 422, "validation_failed"),
        ({"max_concurrency": 0}, 400, None),
        ({"colour": "red"}, 400, None),
    ):
        answer = await client.patch(f"{PROVIDERS}/stub", json=change)
        assert answer.status_code == status, (change, answer.text)
        assert code is None or answer.json()["code"] == code
    assert (await client.get(f"{PROVIDERS}/stub")).json() == before
    fixed = await client.patch(f"{PROVIDERS}/local", json={"base_url": "https://example.com"})
    assert (fixed.status_code, fixed.json()["code"]) == (422, "validation_failed")
    assert (await client.patch(f"{PROVIDERS}/nobody", json={})).status_code == 404


async def test_a_test_that_fails_says_why(client: AsyncClient, bench: Bench) -> None:
    bench.stub.key = "sk-another"
    tested = (await client.post(f"{PROVIDERS}/stub/test")).json()
    assert (tested["ok"], tested["code"]) == (False, "provider_probe_failed")
    assert tested["sentence"] == "The provider refuses this API key."


async def test_a_providers_own_list_says_what_the_catalogue_knows(client: AsyncClient, bench: Bench) -> None:
    bench.stub.models = ["ok", "brand-new"]
    listed = (await client.get(f"{PROVIDERS}/stub/models")).json()
    assert [(model["id"], model["is_known"], model["context"]) for model in listed] == [
        ("ok", True, 8192),
        ("brand-new", False, 8192),
    ]


async def test_a_model_is_added_described_and_removed(client: AsyncClient, bench: Bench) -> None:
    path = f"{PROVIDERS}/stub/models/meta-llama/Llama-3:70b"
    price = {"input_usd": "0.59", "output_usd": 0.79, "cached_input_usd": "0.1"}
    added = await client.put(path, json={"capabilities": ["chat", "vision"], "context": 131072, "price": price})
    assert added.status_code == 200, added.text
    assert (added.json()["id"], added.json()["capabilities"]) == ("meta-llama/Llama-3:70b", ["chat", "vision"])
    assert added.json()["price"] == {
        "input_usd": "0.59",
        "output_usd": "0.79",
        "cached_input_usd": "0.1",
        "cache_write_usd": None,
        "reasoning_usd": None,
    }
    emptied = (await client.put(path, json={})).json()
    assert (emptied["capabilities"], emptied["context"], emptied["price"]) == ([], None, None)
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).json()["code"] == "model_unknown"
    types = await bench.kernel.connections.system.fetch(
        "SELECT type FROM core.event WHERE type LIKE 'admin.model.%' ORDER BY row_id"
    )
    assert [row["type"] for row in types] == ["admin.model.set", "admin.model.set", "admin.model.removed"]


async def test_what_a_model_cannot_be_is_refused(client: AsyncClient) -> None:
    path = f"{PROVIDERS}/stub/models/ok"
    for terms in (
        {"price": {"input_usd": "-1", "output_usd": "1"}},
        {"price": {"input_usd": "NaN", "output_usd": "1"}},
        {"price": {"input_usd": "1", "output_usd": "0.0000000000001"}},
        {"capabilities": ["Chat!"]},
        {"capabilities": [f"c{n}" for n in range(21)]},
        {"context": 0},
    ):
        assert (await client.put(path, json=terms)).status_code in (400, 422), terms


async def test_a_model_that_embeds_only_serves_no_other_role(client: AsyncClient) -> None:
    await client.put(f"{PROVIDERS}/stub/models/ok", json={"capabilities": ["rerank"]})
    for role, status in (("rerank", 204), ("default", 422), ("embedding", 422)):
        answer = await client.put(f"/v1/admin/inference/roles/{role}", json={"model": "stub/ok"})
        assert answer.status_code == status, answer.text


async def test_the_bundle_is_read_applied_and_discarded_over_http(client: AsyncClient) -> None:
    bundle = (await client.get(BUNDLE)).json()
    assert (bundle["apply"], bundle["diff"]) == ("auto", [])
    assert bundle["staged"] == {"revision": bundle["applied"]["revision"], "at": bundle["staged"]["at"]}
    stale = await client.post(f"{BUNDLE}/apply", params={"revision": 999})
    assert (stale.status_code, stale.json()["code"]) == (409, "bundle_stale")
    assert (await client.post(f"{BUNDLE}/discard")).status_code == 200


async def test_an_engines_metrics_are_shown_with_their_rates(client: AsyncClient, bench: Bench) -> None:
    assert (await client.get(f"{PROVIDERS}/stub/metrics")).json()["code"] == "not_available"
    await client.patch(f"{PROVIDERS}/stub", json={"type": "vllm"})
    bench.stub.metrics = METRICS.format(tokens=1000)
    first = (await client.get(f"{PROVIDERS}/stub/metrics")).json()
    assert first == {
        "running": 3,
        "waiting": 7,
        "kv_cache_used": 0.25,
        "prompt_tokens": 500,
        "generated_tokens": 1000,
        "prompt_tokens_per_second": None,
        "generated_tokens_per_second": None,
    }
    bench.stub.metrics = METRICS.format(tokens=1100)
    second = (await client.get(f"{PROVIDERS}/stub/metrics")).json()
    assert second["generated_tokens_per_second"] > 0
    assert second["prompt_tokens_per_second"] == 0
    bench.stub.metrics = "vllm:num_requests_running{"
    assert (await client.get(f"{PROVIDERS}/stub/metrics")).json()["code"] == "backend_malformed"
    bench.stub.metrics = None
    assert (await client.get(f"{PROVIDERS}/stub/metrics")).json()["code"] == "backend_failed"


METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="a"}} 1.0
vllm:num_requests_running{{engine="1",model_name="a"}} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="a"}} 7.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="a"}} 0.2
vllm:kv_cache_usage_perc{{engine="1",model_name="a"}} 0.3
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{{engine="0",model_name="a"}} 500.0
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{{engine="0",model_name="a"}} {tokens}.0
"""

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

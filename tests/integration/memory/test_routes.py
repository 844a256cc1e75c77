"""`/v1/memory` over HTTP: shapes, refusals, and whose memories they are."""

from collections.abc import AsyncGenerator
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from litestar import Litestar, Request, Response
from litestar.di import Provide

from aibox.core.errors import AIBoxError, error_body
from aibox.core.turn import Principal, Turn, begin
from aibox.guardrail import Settings as GuardrailSettings
from aibox.guardrail.service import GuardrailService
from aibox.memory import Memories, Settings
from aibox.memory.routes import ROUTES
from aibox.memory.service import MemoryService
from aibox.router.embeddings import Embedder
from aibox.stores import VectorsSettings
from aibox.stores.vectors import open_vectors
from tests.conftest import Kernel
from tests.integration.memory.test_service import EmbeddingRouter

TENANT = uuid4()
ANNA = Principal(kind="user", tenant=TENANT, id=uuid4(), pseudonym="p-anna")
BEN = Principal(kind="user", tenant=TENANT, id=uuid4(), pseudonym="p-ben")


def _shown(_: Request[Any, Any, Any], error: AIBoxError) -> Response[dict[str, Any]]:
    return Response(error_body(error, path="", turn_id=None), status_code=error.status)


@pytest.fixture
async def client(kernel: Kernel) -> AsyncGenerator[httpx.AsyncClient]:
    """The routes alone; the header `who` says who calls."""
    embedder = Embedder()
    vectors = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    memories = MemoryService(
        Settings(),
        kernel.folder / "mem0",
        db=kernel.db,
        connections=kernel.connections,
        log=kernel.log,
        vectors=vectors,
        router=EmbeddingRouter(embedder),
        scrub=GuardrailService(
            GuardrailSettings(timeout_seconds=60.0), db=kernel.db, keys=kernel.keys, log=kernel.log
        ).scrub,
    )

    async def turn(request: Request[Any, Any, Any]) -> Turn:
        return begin(BEN if request.headers.get("who") == "ben" else ANNA)

    async def provide() -> Memories:
        return memories

    app = Litestar(
        ROUTES,
        dependencies={"turn": Provide(turn), "memories": Provide(provide)},
        exception_handlers={AIBoxError: _shown},
    )
    transport = httpx.ASGITransport(app=cast(Any, app))
    async with (
        embedder.run(),
        memories.run(kernel.tasks),
        httpx.AsyncClient(transport=transport, base_url="http://aibox") as opened,
    ):
        yield opened


async def test_a_memory_is_stored_found_changed_and_deleted(client: httpx.AsyncClient) -> None:
    stored = await client.post("/v1/memory", json={"content": "I live in Berlin.", "memory_type": "user"})
    path = f"/v1/memory/{stored.json()['id']}"
    found = await client.post("/v1/memory/search", json={"query": "Which city is my home?"})
    changed = await client.put(path, json={"content": "I live in Lisbon."})
    history = await client.get(f"{path}/history")
    listed = await client.get("/v1/memory", params={"user_id": str(ANNA.id)})
    deleted = await client.delete(path)
    gone = await client.get(path)

    assert stored.status_code == 201
    assert {name: stored.json()[name] for name in ("content", "memory_type", "kind", "visibility", "scope")} == {
        "content": "I live in Berlin.",
        "memory_type": "user",
        "kind": "fact",
        "visibility": "private",
        "scope": {"tenant_id": str(TENANT), "user_id": str(ANNA.id), "agent_id": None, "session_id": None},
    }
    assert found.json()["memories"][0]["score"] > 0.3
    assert changed.json()["content"] == "I live in Lisbon."
    assert [change["op"] for change in history.json()["history"]] == ["store", "update"]
    assert [memory["content"] for memory in listed.json()["memories"]] == ["I live in Lisbon."]
    assert listed.json()["next_cursor"] is None
    assert (deleted.status_code, gone.status_code, gone.json()["code"]) == (204, 404, "not_found")


async def test_the_cursor_leads_through_all_pages(client: httpx.AsyncClient) -> None:
    for n in range(3):
        await client.post("/v1/memory", json={"content": f"I own boat {n}.", "memory_type": "user"})

    first = (await client.get("/v1/memory", params={"limit": 2})).json()
    second = (await client.get("/v1/memory", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [memory["content"] for memory in (*first["memories"], *second["memories"])] == [
        "I own boat 2.",
        "I own boat 1.",
        "I own boat 0.",
    ]
    assert second["next_cursor"] is None


async def test_another_users_memories_are_not_there(client: httpx.AsyncClient) -> None:
    stored = await client.post("/v1/memory", json={"content": "I live in Berlin.", "memory_type": "user"})
    ben = {"who": "ben"}
    path = f"/v1/memory/{stored.json()['id']}"

    answers = [
        await client.get(path, headers=ben),
        await client.put(path, headers=ben, json={"content": "x"}),
        await client.delete(path, headers=ben),
        await client.get("/v1/memory", headers=ben, params={"user_id": str(ANNA.id)}),
        await client.delete("/v1/memory", headers=ben, params={"user_id": str(ANNA.id)}),
        await client.post(
            "/v1/memory/search", headers=ben, json={"query": "Berlin", "scope": {"user_id": str(ANNA.id)}}
        ),
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
    assert (await client.delete("/v1/memory", headers=ben)).json() == {"erased": 0}
    assert (await client.delete("/v1/memory")).json() == {"erased": 1}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "x", "memory_type": "gossip"}, 400),
        ({"content": "x", "memory_type": "user", "scope": {"user_id": "*"}}, 400),
        ({"content": "", "memory_type": "user"}, 400),
        ({"content": "x", "memory_type": "user", "scope": {"tenant_id": str(uuid4())}}, 403),
        ({"content": "x", "memory_type": "user", "scope": {"user_id": str(uuid4())}}, 404),
        ({"content": "x", "memory_type": "user", "visibility": "team"}, 403),
        ({"content": "x", "memory_type": "user", "scope": {"agent_id": "*"}}, 400),
        ({"content": "x", "memory_type": "user", "scope": {"session_id": "a%"}}, 400),
    ],
)
async def test_a_bad_store_is_refused(client: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    """400 is Litestar's own; the gateway's renderer makes it the 422 that the API promises."""
    answer = await client.post("/v1/memory", json=body)

    assert answer.status_code == status
    assert (await client.get("/v1/memory")).json()["memories"] == []


def test_every_route_states_its_policy_and_scope() -> None:
    handlers = [route for controller in ROUTES for route in controller(owner=None).get_route_handlers()]  # type: ignore[arg-type]

    assert len(handlers) == 11
    assert all(handler.opt["policy"].startswith("memory.") and handler.opt["scope"] == "memory" for handler in handlers)

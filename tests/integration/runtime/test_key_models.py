"""An API key that names its models: what it may ask for, on every way in."""

import httpx
import pytest

from tests.system import Served

ASKED = [{"role": "user", "content": "What is the answer?"}]


@pytest.fixture
def one(shared: Served) -> Served:
    """A server for the whole module: these tests change nothing in it."""
    return shared


async def confined(one: Served, *models: str) -> httpx.AsyncClient:
    """A client whose key may use `models` only."""
    turn = one.turn
    (owner,) = [user for user in await one.system.identity.users(turn) if user.email == "ada@example.com"]
    key = await one.system.identity.create_key(
        turn, user_id=owner.id, name="confined", scopes=["chat", "models"], models=models
    )
    await one.system.log.end(turn, "sealed")
    return httpx.AsyncClient(base_url=one.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": ASKED}),
        ("/v1/responses", {"input": "What is the answer?"}),
        ("/v1/messages", {"messages": ASKED, "max_tokens": 9}),
        ("/v1/messages/count_tokens", {"messages": ASKED}),
        ("/v1/embeddings", {"input": "What is the answer?"}),
    ],
)
async def test_a_key_asks_for_its_models_and_no_other(one: Served, path: str, body: dict[str, object]) -> None:
    own = "embedding" if path.endswith("embeddings") else "ok"
    async with await confined(one, own) as client:
        before = len(one.stub.requests)
        refused = await client.post(path, json={**body, "model": "echo"})
        assert refused.status_code == 403, refused.text
        assert "model_forbidden" in refused.text
        assert len(one.stub.requests) == before
        assert (await client.post(path, json={**body, "model": own})).status_code == 200


async def test_a_key_without_the_default_role_cannot_chat(one: Served) -> None:
    async with await confined(one, "ok") as client:
        refused = await client.post("/v1/chat", json={"messages": ASKED})
        assert (refused.status_code, refused.json()["code"]) == (403, "model_forbidden")
    async with await confined(one, "default") as client:
        assert (await client.post("/v1/chat", json={"messages": ASKED})).status_code == 200


async def test_a_key_lists_the_models_it_may_ask_for(one: Served) -> None:
    async with await confined(one, "ok", "stub/echo", "default") as client:
        listed = (await client.get("/v1/models")).json()["data"]
        assert {model["id"] for model in listed} == {"ok", "echo"}

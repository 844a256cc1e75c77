"""The audit's routes, over HTTP and the real database."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Response
from litestar.di import Provide

from aibox.audit import Receipts, notes, verifier
from aibox.audit.routes import ROUTES
from aibox.core.errors import AIBoxError
from aibox.core.turn import Turn, begin
from tests.integration.audit.conftest import ANN, BOB, Bench

PEOPLE = {"ann": ANN, "bob": BOB}


def render(request: Request[Any, Any, Any], error: AIBoxError) -> Response[dict[str, str]]:
    return Response({"code": error.code}, status_code=error.status)


@pytest.fixture
async def client(bench: Bench) -> AsyncGenerator[httpx.AsyncClient]:
    """An app of these routes alone, where the header `x-person` says who asks."""

    async def receipts() -> Receipts:
        return bench.audit

    async def turn(request: Request[Any, Any, Any]) -> Turn:
        return begin(PEOPLE[request.headers["x-person"]])

    app: Any = Litestar(
        ROUTES,
        dependencies={"receipts": Provide(receipts), "turn": Provide(turn)},
        exception_handlers={AIBoxError: render},
        openapi_config=None,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        client.headers["x-person"] = "ann"
        yield client


async def test_the_proof_that_is_downloaded_verifies_under_the_policy_that_is_downloaded(
    bench: Bench, client: httpx.AsyncClient
) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()

    proof = await client.get(f"/v1/receipts/{turn.id}/proof")
    policy = await client.get("/v1/audit/policy")

    assert proof.headers["content-type"].startswith("application/json")
    assert f"receipt-{turn.id}.json" in proof.headers["content-disposition"]
    assert verifier.verify(proof.content, policy.content).ok


async def test_the_summary_names_entry_and_log(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()

    body = (await client.get(f"/v1/receipts/{turn.id}")).json()

    assert {name: body[name] for name in ("turn_id", "state", "outcome", "idx", "events")} == {
        "turn_id": str(turn.id),
        "state": "sealed",
        "outcome": "sealed",
        "idx": 1,
        "events": 3,
    }
    assert body["log"].startswith("aibox.test/audit/l/")
    assert body["sealed_at"].endswith("Z")


async def test_the_newest_head_is_plain_text_that_c2sp_tools_read(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    origin = (await bench.audit.receipt(turn, turn.id)).log or ""

    answer = await client.get(f"/v1/audit/logs/{origin.split('/')[3]}/checkpoint")

    assert answer.headers["content-type"].startswith("text/plain")
    assert notes.parse_checkpoint(answer.text).origin == origin


async def test_an_unsealed_turn_answers_409_and_a_strangers_404(bench: Bench, client: httpx.AsyncClient) -> None:
    turn = await bench.ended()

    early = await client.get(f"/v1/receipts/{turn.id}/proof")
    stranger = await client.get(f"/v1/receipts/{turn.id}/proof", headers={"x-person": "bob"})
    nonsense = await client.get("/v1/receipts/not-a-turn")

    assert (early.status_code, early.json()) == (409, {"code": "not_sealed"})
    assert (stranger.status_code, stranger.json()) == (404, {"code": "not_found"})
    assert nonsense.status_code == 404

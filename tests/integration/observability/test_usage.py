"""Generations: written once per `model_response`, added up per person."""

from typing import Any
from uuid import UUID

import pytest

from aibox.core.turn import Principal, Turn, begin, uuid7
from aibox.observability.handlers import subscribe
from aibox.observability.service import ObservabilityService
from aibox.router import ModelResponse
from tests.conftest import Kernel

OURS = UUID("00000000-0000-7000-8000-000000000001")
THEIRS = UUID("00000000-0000-7000-8000-000000000002")


def turn_of(pseudonym: str, tenant: UUID = OURS) -> Turn:
    return begin(Principal(kind="user", tenant=tenant, id=uuid7(), pseudonym=pseudonym))


def response(turn: Turn, **changes: Any) -> ModelResponse:
    members: dict[str, Any] = {
        "provider": "stub",
        "model": "ok",
        "alias": "default",
        "attempt": 1,
        "stream": True,
        "principal": turn.principal.pseudonym,
        "ok": True,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": "0.1",
    }
    return ModelResponse(**{**members, **changes})


@pytest.fixture
def observability(kernel: Kernel) -> ObservabilityService:
    service = ObservabilityService(db=kernel.db, connections=kernel.connections)
    subscribe(kernel.bus, service)
    return service


async def test_usage_is_exact_per_person_and_model(kernel: Kernel, observability: ObservabilityService) -> None:
    me, you, stranger = turn_of("p_me"), turn_of("p_you"), turn_of("p_me", THEIRS)
    await kernel.log.log(me, response(me), response(me, cost_usd="0.2"), response(me, model="free", cost_usd="0"))
    await kernel.log.log(you, response(you))
    await kernel.log.log(stranger, response(stranger, cost_usd="7"))
    await kernel.delivery.drain("observability")
    assert await observability.usage_of(turn_of("p_me")) == {
        "requests": 3,
        "input_tokens": 30,
        "output_tokens": 15,
        "cost_usd": "0.3",
        "unpriced_requests": 0,
        "by_model": [
            {
                "provider": "stub",
                "model": "ok",
                "requests": 2,
                "input_tokens": 20,
                "output_tokens": 10,
                "cost_usd": "0.3",
                "unpriced_requests": 0,
            },
            {
                "provider": "stub",
                "model": "free",
                "requests": 1,
                "input_tokens": 10,
                "output_tokens": 5,
                "cost_usd": "0",
                "unpriced_requests": 0,
            },
        ],
    }


async def test_the_same_event_twice_is_one_generation(kernel: Kernel, observability: ObservabilityService) -> None:
    me = turn_of("p_me")
    (_, recorded) = await kernel.log.log(me, response(me))
    await observability.handle([recorded])
    await observability.handle([recorded, recorded])
    await kernel.delivery.drain("observability")
    assert (await observability.usage_of(me))["requests"] == 1


async def test_an_unknown_price_is_not_zero_and_a_try_that_nobody_took_is_no_request(
    kernel: Kernel, observability: ObservabilityService
) -> None:
    me = turn_of("p_me")
    failed = {"ok": False, "code": "backend_unavailable", "input_tokens": 0, "output_tokens": 0}
    await kernel.log.log(me, response(me, cost_usd=""), response(me), response(me, **failed))
    await kernel.delivery.drain("observability")
    usage = await observability.usage_of(me)
    assert (usage["requests"], usage["unpriced_requests"], usage["cost_usd"]) == (2, 1, "0.1")
    assert await kernel.connections.system.fetchval("SELECT count(*) FROM observability.generation") == 3


async def test_a_cancelled_call_with_tokens_is_counted(kernel: Kernel, observability: ObservabilityService) -> None:
    me = turn_of("p_me")
    await kernel.log.log(me, response(me, ok=False, code="cancelled", estimated=True))
    await kernel.delivery.drain("observability")
    assert (await observability.usage_of(me))["output_tokens"] == 5


async def test_nobody_has_used_anything_at_first(observability: ObservabilityService) -> None:
    usage = await observability.usage_of(turn_of("p_new"))
    assert (usage["requests"], usage["cost_usd"], usage["by_model"]) == (0, "0", [])

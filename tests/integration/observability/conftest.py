"""The books on a real PostgreSQL: budgets that decide, and the subscriber that settles."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from aibox.core.turn import CostLimits, Principal, Turn, begin, uuid7
from aibox.observability import (
    Balance,
    BudgetDecision,
    BudgetExceeded,
    BudgetTerms,
    Price,
    Purchase,
    Settings,
)
from aibox.observability.balancing import balance
from aibox.observability.budgets import BudgetService
from aibox.observability.handlers import subscribe
from aibox.observability.service import ObservabilityService
from aibox.router import ModelInvoked, ModelResponse
from tests.conftest import Kernel

OURS = UUID("00000000-0000-7000-8000-000000000001")
THEIRS = UUID("00000000-0000-7000-8000-000000000002")

DOLLAR_A_TOKEN = Price(input_usd=Decimal(0), output_usd=Decimal(1_000_000))
"""So that a call's limit of tokens is its cost in dollars."""


def turn_of(
    pseudonym: str = "p_me", *, tenant: UUID = OURS, key: str | None = None, agent: str = "", **limits: Decimal
) -> Turn:
    """A turn of a person, perhaps by a key, by an agent or under limits of its own."""
    principal = Principal(
        kind="user", tenant=tenant, id=uuid7(), pseudonym=pseudonym, key_id=key, limits=CostLimits(**limits)
    )
    turn = begin(principal)
    return Turn(id=turn.id, principal=principal, started_us=turn.started_us, agent=agent)


def buying(dollars: int, *, price: Price | None = DOLLAR_A_TOKEN) -> Purchase:
    """A call that may cost so many dollars."""
    return Purchase(call=uuid7().hex, provider="stub", model="ok", price=price, input_tokens=0, output_tokens=dollars)


def response(turn: Turn, **changes: Any) -> ModelResponse:
    """The end of a model call of `turn`."""
    members: dict[str, Any] = {
        "provider": "stub",
        "model": "ok",
        "alias": "default",
        "attempt": 1,
        "stream": True,
        "principal": turn.principal.pseudonym,
        "key": turn.principal.key_id or "",
        "agent": turn.agent,
        "ok": True,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": "0.1",
    }
    return ModelResponse(**{**members, **changes})


def invoked(call: str) -> ModelInvoked:
    """The announcement of a call."""
    return ModelInvoked(call=call, provider="stub", model="ok", alias="", attempt=1, stream=False)


class Money(Struct, frozen=True):
    """Budgets that run, and the service that hears `model_response`; `settled` brings it all there is."""

    kernel: Kernel
    budgets: BudgetService
    service: ObservabilityService

    async def settled(self) -> None:
        await self.kernel.delivery.drain("observability")

    async def limit(self, limit: str, turn: Turn | None = None, **terms: Any) -> UUID:
        """Set a budget of the tenant a month, unless told otherwise."""
        members = {"subject": "tenant", "subject_id": "", "period": "month", "limit_usd": Decimal(limit), **terms}
        return (await self.budgets.add(turn or turn_of("p_admin"), BudgetTerms(**members))).id

    async def call(self, turn: Turn, dollars: int, *, cost_usd: str | None = None) -> BudgetDecision | None:
        """A whole call: reserved, announced, answered at `cost_usd` (else at all that was reserved)."""
        purchase = buying(dollars)
        decision = await self.budgets.reserve(turn, purchase)
        await self.kernel.log.log(turn, *([decision] if decision else []), invoked(purchase.call))
        cost = str(dollars) if cost_usd is None else cost_usd
        await self.kernel.log.log(turn, response(turn, call=purchase.call, cost_usd=cost))
        return decision

    async def granted(self, turns: list[Turn], dollars: int) -> int:
        """How many of these turns may spend so much, all asking at once."""
        answers = await asyncio.gather(
            *(self.budgets.reserve(turn, buying(dollars)) for turn in turns), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(answer, BudgetExceeded) for answer in refused), refused
        return len(answers) - len(refused)

    async def balance(self, tenant: UUID = OURS) -> Balance:
        return await balance(self.kernel.connections, tenant)

    async def events(self, turn: Turn) -> list[str]:
        rows = await self.kernel.connections.system.fetch(
            "SELECT type FROM core.event WHERE turn = $1 ORDER BY seq", turn.id
        )
        return [row["type"] for row in rows]


@pytest.fixture
async def money(kernel: Kernel) -> AsyncGenerator[Money]:
    budgets = BudgetService(Settings(), db=kernel.db, connections=kernel.connections, log=kernel.log)
    service = ObservabilityService(db=kernel.db, connections=kernel.connections, budgets=budgets)
    subscribe(kernel.bus, service)
    async with budgets.run(kernel.tasks):
        yield Money(kernel, budgets, service)

"""The router on a real PostgreSQL, in front of the stub provider."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec import Struct

from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.core.turn import Permissions, Principal, Turn, begin, uuid7
from aibox.observability import Price
from aibox.observability import Settings as MoneySettings
from aibox.observability.budgets import BudgetService
from aibox.observability.prices import PriceService
from aibox.router import ModelCall, Settings
from aibox.router.assembly import Routing
from tests.conftest import Kernel
from tests.stub_upstream import Stub, run_stub

TENANT = UUID("00000000-0000-7000-8000-000000000001")
QUICK = Settings(local=False, connect_seconds=2.0, first_byte_seconds=0.6, idle_seconds=0.6, total_seconds=20.0)
PRICE = Price(input_usd=Decimal("2.5"), output_usd=Decimal("10"))


def someone(tenant: UUID = TENANT) -> Turn:
    """A turn of a person who may administer providers."""
    permissions = Permissions(chat=True, admin=frozenset({"manage_providers"}))
    return begin(
        Principal(kind="user", tenant=tenant, id=uuid7(), pseudonym="p_someone", permissions=permissions, key_id="k9")
    )


def asking(model: str, text: str = "What is the answer?", *, wants_usage: bool = True) -> ModelCall:
    """A call with one message."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0}
    return ModelCall(model=model, body=msgspec.json.encode(body), wants_usage=wants_usage)


class Bench(Struct, frozen=True):
    """A running router, the stub it calls as provider `stub`, and the kernel under it."""

    routing: Routing
    stub: Stub
    kernel: Kernel
    turn: Turn

    async def events(self, turn: Turn | None = None) -> list[dict[str, Any]]:
        """The bodies of the turn's model events, each with its `type` and its artifacts' media types."""
        rows = await self.kernel.connections.system.fetch(
            "SELECT type, data FROM core.event WHERE turn = $1 AND type LIKE 'model_%' ORDER BY seq",
            (turn or self.turn).id,
        )
        found = []
        for row in rows:
            event = msgspec.json.decode(row["data"])
            found.append({**event["body"], "type": row["type"], "arts": [art["mt"] for art in event["arts"]]})
        return found

    async def artifacts(self, turn: Turn | None = None) -> list[bytes]:
        """The opened artifacts of the turn."""
        turn = turn or self.turn
        rows = await self.kernel.connections.system.fetch(
            "SELECT commitment, kid, sealed FROM core.artifact WHERE turn = $1", turn.id
        )
        opened = []
        for row in rows:
            key = await self.kernel.keys.named(turn.tenant, row["kid"])
            assert key is not None
            opened.append(key.open_bytes(row["sealed"], owner=row["commitment"], field="artifact")[32:])
        return opened


Make = Callable[..., AbstractAsyncContextManager[Routing]]


@pytest.fixture
def make_routing(kernel: Kernel) -> Make:
    """Opens a router with other settings on the test's database."""

    @contextlib.asynccontextmanager
    async def make(
        settings: Settings = QUICK, *, internal: tuple[str, ...] = ("127.0.0.1",)
    ) -> AsyncGenerator[Routing]:
        http = Outgoing(HttpSettings(internal_hosts=internal))
        money = MoneySettings()
        budgets = BudgetService(money, db=kernel.db, connections=kernel.connections, log=kernel.log)
        routing = Routing(
            settings,
            tenant=TENANT,
            db=kernel.db,
            connections=kernel.connections,
            log=kernel.log,
            keys=kernel.keys,
            http=http,
            budgets=budgets,
            prices=PriceService(money, connections=kernel.connections, log=kernel.log, http=http),
        )
        async with http.run(), budgets.run(kernel.tasks), routing.run(kernel.tasks):
            yield routing

    return make


@pytest.fixture
async def bench(kernel: Kernel, make_routing: Make) -> AsyncGenerator[Bench]:
    """The router with the provider `stub`, whose model `ok` has a price."""
    async with run_stub() as stub, make_routing() as routing:
        admin = someone()
        await routing.catalogue.add_provider(admin, name="stub", base_url=stub.base_url, api_key="sk-stub-key")
        await routing.catalogue.set_price(admin, "ok", PRICE)
        yield Bench(routing, stub, kernel, someone())

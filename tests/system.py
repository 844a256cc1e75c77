"""A whole System in this process, served over a real socket, in front of the stub provider: for integration tests."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from aibox.app import System, build, create_app
from aibox.audit import Settings as AuditSettings
from aibox.core.connections import Settings as DatabaseSettings
from aibox.core.connections import Urls
from aibox.core.http import Settings as HttpSettings
from aibox.core.turn import Turn, system_turn
from aibox.gateway import LimitsSettings
from aibox.gateway import Settings as GatewaySettings
from aibox.gateway.serve import Server, bind
from aibox.observability import Settings as ObservabilitySettings
from aibox.router import ModelTerms
from aibox.router import Settings as RouterSettings
from aibox.settings import Settings
from tests.installation import free_port
from tests.stub_upstream import Stub, run_stub

PASSWORD = "correct horse battery"
QUICK = RouterSettings(local=False, connect_seconds=2.0, first_byte_seconds=2.0, idle_seconds=1.0, total_seconds=5.0)

UNLIMITED = LimitsSettings(tenant_per_minute=0, user_per_minute=0, key_per_minute=0, turns_per_minute=0, streams=0)
"""A test asks more in a minute than a person does."""


class Served(Struct, frozen=True):
    """A System that answers at `url`, with an owner whose API key `client` sends."""

    system: System
    stub: Stub
    url: str
    client: httpx.AsyncClient
    key: str

    @property
    def turn(self) -> Turn:
        """A turn of the console in the tenant."""
        return system_turn(self.system.settings.tenancy.single_tenant_id)

    async def use(self, model: str | None) -> None:
        """Let a model of the stub serve the role `default`, or none."""
        turn = self.turn
        await self.system.catalogue.set_role(turn, "default", model)
        await self.system.log.end(turn, "sealed")
        await self.system.catalogue.refresh()

    async def let_use_tools(self) -> None:
        """Say of the model `ok` that it can use tools."""
        turn = self.turn
        terms = ModelTerms(capabilities=("chat", "tools"))
        await self.system.catalogue.set_model(turn, "stub", "ok", terms)
        await self.system.log.end(turn, "sealed")
        await self.system.catalogue.refresh()

    async def member(self, email: str, *scopes: str) -> httpx.AsyncClient:
        """A client of another person of the tenant."""
        turn = self.turn
        user = await self.system.identity.create_user(
            turn, name=email, email=email, password=PASSWORD, roles=["member"]
        )
        key = await self.system.identity.create_key(turn, user_id=user.id, name="test", scopes=scopes)
        await self.system.log.end(turn, "sealed")
        return _client(self.url, key)

    async def events(self, turn_id: str) -> list[dict[str, Any]]:
        """The events of a turn as JSON objects."""
        rows = await self.system.connections.system.fetch(
            "SELECT data FROM core.event WHERE turn = $1::text::uuid ORDER BY seq", turn_id
        )
        return [msgspec.json.decode(row["data"]) for row in rows]

    async def outcome(self, turn_id: str, *, within: float = 10.0) -> str:
        """The outcome of a turn, once its envelope is sealed."""
        deadline = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < deadline:
            receipt = (await self.client.get(f"/v1/receipts/{turn_id}")).json()
            if receipt.get("state") in ("sealed", "anchored"):
                return str(receipt["outcome"])
            await asyncio.sleep(0.05)
        raise AssertionError(f"turn {turn_id} was not sealed: {receipt}")


def _client(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@contextlib.asynccontextmanager
async def served(urls: Urls, folder: Path, stub: Stub | None = None, **changes: Any) -> AsyncGenerator[Served]:
    """Serve a System on the database `urls`, with the stub as provider `stub` and its model `ok` as `default`."""
    async with run_stub(stub) as upstream:
        port = free_port()
        authority = upstream.base_url.removeprefix("http://").removesuffix("/v1")
        settings = Settings(
            data=str(folder),
            database=DatabaseSettings(url=urls.app, system_url=urls.system, owner_url=urls.owner, pool=8),
            gateway=GatewaySettings(port=port),
            http=HttpSettings(internal_hosts=(authority,)),
            router=QUICK,
            limits=UNLIMITED,
            observability=ObservabilitySettings(prices_url=f"http://{authority}/prices"),
            audit=AuditSettings(reserve_mb=0),  # a ballast for each of hundreds of Systems would fill the memory
        )
        system = build(msgspec.structs.replace(settings, **changes))
        async with system.run():
            server = Server(create_app(system), settings.gateway, None)
            serving = asyncio.create_task(server.serve(sockets=[bind(settings.gateway)]))
            try:
                while not server.started:
                    await asyncio.sleep(0.01)
                turn = system_turn(settings.tenancy.single_tenant_id)
                owner = await system.identity.create_user(
                    turn, name="Ada", email="ada@example.com", password=PASSWORD, roles=["owner"]
                )
                key = await system.identity.create_key(
                    turn,
                    user_id=owner.id,
                    name="test",
                    scopes=["chat", "models", "memory", "knowledge", "audit:read", "audit:write", "erase", "admin"],
                )
                await system.catalogue.add_provider(turn, name="stub", base_url=upstream.base_url)
                await system.log.end(turn, "sealed")
                url = f"http://127.0.0.1:{port}"
                async with _client(url, key) as client:
                    one = Served(system, upstream, url, client, key)
                    await one.use("ok")
                    yield one
            finally:
                server.should_exit = True
                await serving

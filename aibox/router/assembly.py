"""Puts the router's parts together: what `aibox/app.py` calls, and what tests call alike."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.http import Client
from aibox.core.keys import DataKeys
from aibox.core.turn import system_turn
from aibox.observability import Budgets, Prices
from aibox.router import Settings, first_providers
from aibox.router.catalogue import CatalogueService
from aibox.router.embeddings import Embedder
from aibox.router.first_boot import first_boot
from aibox.router.gates import Gates
from aibox.router.health import Health
from aibox.router.local import LocalModel
from aibox.router.service import RouterService
from aibox.router.upstream import HttpUpstream


class Routing:
    """The router and what it stands on. Building does no I/O."""

    def __init__(
        self,
        settings: Settings,
        *,
        tenant: UUID,
        db: Database,
        connections: Connections,
        log: EventLog,
        keys: DataKeys,
        http: Client,
        budgets: Budgets,
        prices: Prices,
    ) -> None:
        self._settings = settings
        self._tenant = tenant
        self._db = db
        self._log = log
        self.local = LocalModel(settings, http=http)
        self.embedder = Embedder()
        health = Health(self.local, self.embedder, cooldown_seconds=settings.cooldown_seconds)
        gates = Gates()
        self.catalogue = CatalogueService(
            settings, db=db, connections=connections, keys=keys, http=http, health=health, gates=gates
        )
        upstream = HttpUpstream(http=http, local=self.local, connect_seconds=settings.connect_seconds)
        self.router = RouterService(
            settings,
            catalogue=self.catalogue,
            log=log,
            upstream=upstream,
            embedder=self.embedder,
            health=health,
            gates=gates,
            budgets=budgets,
            prices=prices,
        )

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Start the local model, fill an empty catalogue of the tenant, serve until the block ends."""
        async with (
            self.local.run(tasks),
            self.embedder.run(),
            self.catalogue.run(tasks),
            self.router.run(),
        ):
            was_empty = await first_boot(
                system_turn(self._tenant),
                self._settings,
                db=self._db,
                log=self._log,
                catalogue=self.catalogue,
                local=self.local,
            )
            if not was_empty or not self._settings.first_providers:
                yield
                return
            wanted = first_providers.read(Path(self._settings.first_providers))
            adding = tasks.create_task(
                first_providers.add(self._tenant, wanted, catalogue=self.catalogue, events=self._log),
                name="router.first_providers",
            )
            try:
                yield
            finally:
                adding.cancel()
                await asyncio.gather(adding, return_exceptions=True)

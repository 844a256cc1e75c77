"""Every tenant's shelf as it is applied and as it is staged, in memory: read without a lock, swapped as one, fresh.

Changes are told by NOTIFY; should one be missed, everything is read again after half a minute.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from aibox.core.connections import LOST, Connections
from aibox.core.db import Row
from aibox.core.errors import StateUnavailable
from aibox.core.freshness import kept_fresh
from aibox.core.keyring import SecretUnreadable
from aibox.core.keys import DataKeys
from aibox.router.bundles import REVISIONS, Revisions, applied_query, staged_query
from aibox.router.models import ModelRow, ProviderRow, RoleRow
from aibox.router.snapshot import Shelf, Snapshot, build

log = structlog.get_logger("aibox.router.shelves")

CHANNEL: Final = "aibox_catalogue"
REFRESH_SECONDS: Final = 30.0


class Rows(Struct, frozen=True):
    """Everything that a snapshot is built of."""

    providers: list[ProviderRow]
    models: list[ModelRow]
    roles: list[RoleRow]


class Editions(Struct, frozen=True):
    """What is applied, and what is staged for the tenants where that differs; swapped as one."""

    applied: Snapshot
    staged: Snapshot
    revisions: dict[UUID, Revisions]


class Shelves:
    """Calls read `applied(tenant)`, administrators `staged(tenant)`; with `router.apply=auto` the two are one."""

    def __init__(
        self, connections: Connections, keys: DataKeys, *, swapped: Callable[[set[tuple[UUID, str]]], None]
    ) -> None:
        """`swapped` hears after each swap which models there are, as provider and id."""
        self._connections = connections
        self._keys = keys
        self._swapped = swapped
        self._editions: Editions | None = None
        self._opened: dict[tuple[UUID, str], str] = {}
        self._refreshing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load the snapshot, and keep it fresh until the block ends."""
        async with kept_fresh(tasks, self._connections, CHANNEL, self.refresh, seconds=REFRESH_SECONDS):
            yield

    def applied(self, tenant: UUID) -> Shelf:
        """What of `tenant` is applied. Raises `StateUnavailable` before the first load."""
        return self._loaded.applied.of(tenant)

    def staged(self, tenant: UUID) -> Shelf:
        """What of `tenant` is staged."""
        editions = self._loaded
        return (editions.applied if self.revisions(tenant).is_applied else editions.staged).of(tenant)

    def revisions(self, tenant: UUID) -> Revisions:
        """Which revisions of `tenant` these are."""
        return self._loaded.revisions.get(tenant, Revisions(tenant))

    async def refresh(self) -> None:
        """Read everything and swap the snapshot. Raises `StateUnavailable`; the old one stays then."""
        async with self._refreshing:
            try:
                async with (
                    self._connections.system.acquire() as connection,
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    applied = await _rows(connection, applied_query)
                    staged = await _rows(connection, staged_query)
                    revisions = [Revisions(**dict(row)) for row in await connection.fetch(REVISIONS)]
            except LOST:
                raise StateUnavailable() from None
            editions = Editions(
                await self._snapshot(applied), await self._snapshot(staged), {one.tenant: one for one in revisions}
            )
            providers = (*applied.providers, *staged.providers)
            sealed = {(row.id, row.api_key) for row in providers}
            self._opened = {known: key for known, key in self._opened.items() if known in sealed}
            self._editions = editions
            self._swapped({(row.provider, row.id) for row in (*applied.models, *staged.models)})

    @property
    def _loaded(self) -> Editions:
        if self._editions is None:
            raise StateUnavailable()
        return self._editions

    async def _snapshot(self, rows: Rows) -> Snapshot:
        keys = {row.id: await self._open(row) for row in rows.providers}
        return build(rows.providers, rows.models, rows.roles, keys)

    async def _open(self, row: ProviderRow) -> str | None:
        """The provider's API key. None when there is none, or when it does not open: its calls say so then."""
        if row.api_key is None:
            return None
        known = self._opened.get((row.id, row.api_key))
        if known is not None:
            return known
        try:
            kid = row.api_key.split(":")[1]
            key = await self._keys.named(row.tenant, kid)
            if key is None:
                raise SecretUnreadable()
            opened = key.open(row.api_key, owner=key_owner(row.id), field="api_key").decode()
        except (SecretUnreadable, IndexError):
            log.error("catalogue.key_unreadable", provider=row.name)
            return None
        self._opened[(row.id, row.api_key)] = opened
        return opened


async def _rows(connection: asyncpg.Connection, query: Callable[[type[Row]], str]) -> Rows:
    return Rows(
        [ProviderRow(**dict(row)) for row in await connection.fetch(query(ProviderRow))],
        [ModelRow(**dict(row)) for row in await connection.fetch(query(ModelRow))],
        [RoleRow(**dict(row)) for row in await connection.fetch(query(RoleRow))],
    )


def key_owner(provider_id: UUID) -> str:
    """For whom a provider's API key is sealed."""
    return f"router.provider/{provider_id}"

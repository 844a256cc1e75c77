"""Data keys of tenants and of people, kept in `core.data_key`, wrapped by the master ring.

`subject` is "" for what belongs to the tenant, else a person's pseudonym: destroying that key erases the person's
artifacts without touching the log.
"""

import base64
import os
from uuid import UUID

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.keyring import DataKey, Ring, unwrap, wrap

CACHED = 10_000


class DataKeys:
    """Finds, and makes when missing, the data key of (tenant, subject)."""

    def __init__(self, connections: Connections, master: Ring) -> None:
        self._connections = connections
        self._master = master
        self._cache: dict[tuple[UUID, str], DataKey] = {}

    async def of(self, tenant: UUID, subject: str = "") -> DataKey:
        """The current key of `subject`. Raises `StateUnavailable`, or `SecretUnreadable` with a wrong master key."""
        known = self._cache.get((tenant, subject))
        return known if known is not None else await self._load(tenant, subject)

    async def named(self, tenant: UUID, kid: str) -> DataKey | None:
        """The key with this id, or None when it was destroyed."""
        for key in self._cache.values():
            if key.kid == kid and key.tenant == tenant:
                return key
        wrapped = await self._fetch("SELECT wrapped FROM core.data_key WHERE tenant = $1 AND kid = $2", tenant, kid)
        return None if wrapped is None else unwrap(self._master, tenant, kid, wrapped)

    async def _load(self, tenant: UUID, subject: str) -> DataKey:
        kid = base64.b32encode(os.urandom(10)).decode().lower()
        made = wrap(self._master, tenant, kid, os.urandom(32))
        stored = await self._fetch(
            "WITH made AS (INSERT INTO core.data_key (tenant, subject, kid, wrapped) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (tenant, subject) DO NOTHING RETURNING kid, wrapped)"
            " SELECT kid || ' ' || wrapped FROM made UNION ALL"
            " SELECT kid || ' ' || wrapped FROM core.data_key WHERE tenant = $1 AND subject = $2 LIMIT 1",
            tenant,
            subject,
            kid,
            made,
        )
        if stored is None:  # another process made it between our two looks
            return await self._load(tenant, subject)
        kid, wrapped = stored.split(" ", 1)
        key = unwrap(self._master, tenant, kid, wrapped)
        if len(self._cache) >= CACHED:
            self._cache.clear()
        self._cache[(tenant, subject)] = key
        return key

    async def _fetch(self, query: str, *arguments: object) -> str | None:
        try:
            value: str | None = await self._connections.system.fetchval(query, *arguments)
        except LOST:
            raise StateUnavailable() from None
        return value

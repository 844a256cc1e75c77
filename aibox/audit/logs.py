"""The stored side of the tenants' logs: finding or opening a tenant's log, and reading tree nodes for proofs."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Protocol
from uuid import UUID

import asyncpg
import msgspec

from aibox.audit.merkle import Coordinate, Span
from aibox.audit.receipts import chain_genesis

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a tenant's log of one year. `link` is chain_size."""

    origin: str
    tenant: UUID
    id: str
    year: int
    size: int
    link: bytes
    checkpoint: str | None
    anchored: int


class Connection(Protocol):
    """What a pool and one of its connections both offer."""

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]: ...

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None: ...

    async def execute(self, query: str, *arguments: object) -> str: ...


def this_year(now_ns: int | None = None) -> int:
    """The year of a clock's nanoseconds since 1970, of the time when there are none."""
    return (datetime.now(UTC) if now_ns is None else datetime.fromtimestamp(now_ns // 10**9, UTC)).year


async def find(connection: Connection, tenant: UUID, year: int, *, lock: bool = False) -> Log | None:
    """The tenant's log of `year`, or of a later one when the clock went back: a closed log gets no more entries.

    With `lock`, nobody else appends to it until the transaction ends.
    """
    row = await connection.fetchrow(FIND_AND_LOCK if lock else FIND, tenant, year)
    return None if row is None else Log(**row)


async def last_open(connection: Connection, tenant: UUID, year: int) -> Log | None:
    """The tenant's log of an earlier year that has entries and is not closed yet, locked."""
    row = await connection.fetchrow(LAST_OPEN, tenant, year)
    return None if row is None else Log(**row)


async def unanchored(connection: Connection) -> list[Log]:
    """Logs with a head, or with files, that are not yet in the external copy."""
    return [Log(**row) for row in await connection.fetch(UNANCHORED)]


async def all_of(connection: Connection) -> list[Log]:
    """Every log that has a signed head."""
    return [Log(**row) for row in await connection.fetch(f"{SELECT_LOGS} WHERE checkpoint IS NOT NULL")]


async def begin(connection: Connection, tenant: UUID, year: int, *, host: str) -> None:
    """Give the tenant an empty log for `year`, unless it has one."""
    name = "".join(secrets.choice(ALPHABET) for _ in range(16))
    origin = f"{host}/audit/l/{name}/{year}"
    await connection.execute(
        "INSERT INTO audit.log (origin, tenant, id, year, link) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        origin,
        tenant,
        name,
        year,
        chain_genesis(origin),
    )


async def nodes(connection: Connection, origin: str, spans: Iterable[Span]) -> dict[Coordinate, bytes]:
    """The stored hashes under all coordinates of `spans`."""
    levels, indices = columns(spans)
    rows = await connection.fetch(NODES, origin, levels, indices)
    return {(row["level"], row["idx"]): row["hash"] for row in rows}


def columns(spans: Iterable[Span]) -> tuple[Sequence[int], Sequence[int]]:
    """Levels and indices of all coordinates, each once."""
    wanted = sorted(set(chain.from_iterable(spans)))
    return [level for level, _ in wanted], [index for _, index in wanted]


SELECT_LOGS = "SELECT origin, tenant, id, year, size, link, checkpoint, anchored FROM audit.log"
FIND = f"{SELECT_LOGS} WHERE tenant = $1 AND year >= $2 ORDER BY year DESC LIMIT 1"
LAST_OPEN = f"""
{SELECT_LOGS} WHERE tenant = $1 AND year < $2 AND size > 0 AND NOT closed ORDER BY year DESC LIMIT 1 FOR UPDATE
"""
CLOSE = "UPDATE audit.log SET closed = true WHERE origin = $1"
FIND_AND_LOCK = f"{FIND} FOR UPDATE"
UNANCHORED = f"{SELECT_LOGS} WHERE anchored < size OR tiled < size"
NODES = """
SELECT n.level, n.idx, n.hash FROM unnest($2::int[], $3::bigint[]) AS wanted (level, idx)
CROSS JOIN LATERAL (
    SELECT level, idx, hash FROM audit.node WHERE origin = $1 AND level = wanted.level AND idx = wanted.idx OFFSET 0
) AS n
"""
"""OFFSET 0 keeps it a look-up by key for each: a join may read the whole log's nodes."""

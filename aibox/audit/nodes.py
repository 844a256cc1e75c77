"""Reads tree nodes within a tenant's own transaction."""

from collections.abc import Sequence

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import logs
from aibox.audit.merkle import Coordinate, Span


async def stored_nodes(session: AsyncSession, origin: str, spans: Sequence[Span]) -> dict[Coordinate, bytes]:
    """The stored hashes under all coordinates of `spans`; what is not stored is missing."""
    levels, indices = logs.columns(spans)
    rows = await session.execute(NODES, {"origin": origin, "levels": levels, "indices": indices})
    return {(level, index): hashed for level, index, hashed in rows}


NODES: TextClause = text("""
SELECT n.level, n.idx, n.hash FROM unnest(:levels, :indices) AS wanted (level, idx)
CROSS JOIN LATERAL (
    SELECT level, idx, hash FROM audit.node
    WHERE origin = :origin AND level = wanted.level AND idx = wanted.idx OFFSET 0
) AS n
""").bindparams(bindparam("levels", type_=ARRAY(INTEGER)), bindparam("indices", type_=ARRAY(BIGINT)))

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
SELECT n.level, n.idx, n.hash FROM audit.node n
JOIN unnest(:levels, :indices) AS wanted (level, idx)
  ON n.origin = :origin AND n.level = wanted.level AND n.idx = wanted.idx
""").bindparams(bindparam("levels", type_=ARRAY(INTEGER)), bindparam("indices", type_=ARRAY(BIGINT)))

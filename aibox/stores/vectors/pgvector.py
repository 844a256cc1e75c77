"""Vectors in the same PostgreSQL: pgvector for the dense part, full text, row-level security around both."""

import contextlib
import json
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Result
from sqlalchemy import text as sql

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, StateUnavailable
from aibox.core.turn import Turn
from aibox.stores import Hit, Point
from aibox.stores.vectors.checks import any_of, require_collection, require_payload

HALF_BEYOND = 2000
"""Above this size pgvector's HNSW indexes half precision only (migration stores_0001)."""

PUT = sql("""
INSERT INTO stores.point (tenant, collection, id, dimension, embedding, body, payload)
VALUES (:tenant, :collection, :id, :dimension, CAST(CAST(:embedding AS text) AS vector), :body,
        CAST(CAST(:payload AS text) AS jsonb))
ON CONFLICT (tenant, collection, id) DO UPDATE
SET dimension = excluded.dimension, embedding = excluded.embedding, body = excluded.body,
    payload = excluded.payload, put_at = clock_timestamp()
""")
DECLARE = sql("""
WITH made AS (
    INSERT INTO stores.collection (name, dimension) VALUES (:name, :dimension)
    ON CONFLICT (name) DO NOTHING RETURNING dimension
)
SELECT dimension FROM made UNION ALL SELECT dimension FROM stores.collection WHERE name = :name
""")
WORDS = """
WITH wanted AS MATERIALIZED (
    SELECT string_agg(quote_literal(word), ' | ')::tsquery AS query
    FROM unnest(tsvector_to_array(to_tsvector('english', :text))) AS word
)
"""


class PgVectors:
    """`Vectors` in `stores.point`, one table for all collections and sizes."""

    def __init__(self, db: Database, connections: Connections) -> None:
        self._db = db
        self._connections = connections

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        yield  # the database is open already

    async def put(self, turn: Turn, collection: str, points: Sequence[Point]) -> None:
        require_collection(collection)
        if not points:
            return
        sizes = {len(point.vector) for point in points}
        rows = [
            {
                "tenant": turn.tenant,
                "collection": collection,
                "id": UUID(point.id),
                "dimension": len(point.vector),
                "embedding": _vector(point.vector),
                "body": point.text.replace("\x00", ""),
                "payload": json.dumps(require_payload(point.payload)).replace("\\u0000", ""),
            }
            for point in points
        ]
        async with self._db.work(turn) as work:
            declared = (await work.session.execute(DECLARE, {"name": collection, "dimension": min(sizes)})).scalar()
            # None: another process made the collection between our two looks; its size is in the table by now.
            declared = declared or await _dimension(work.session.execute, collection)
            if sizes != {declared}:
                raise _wrong_size(collection)
            await work.session.execute(PUT, rows)

    async def search(
        self,
        turn: Turn,
        collection: str,
        *,
        vector: Sequence[float],
        filter: Mapping[str, Any],
        limit: int,
        threshold: float | None = None,
    ) -> list[Hit]:
        conditions, values = _where(collection, filter)
        size = len(vector)
        kind = "vector" if size <= HALF_BEYOND else "halfvec"
        distance = f"(embedding::{kind}({size}) <=> CAST(CAST(:vector AS text) AS {kind}({size})))"
        query = sql(
            f"SELECT id, 1 - {distance} AS score, body, payload FROM stores.point"  # noqa: S608 - numbers and parameters
            f" WHERE dimension = {size} AND {conditions} ORDER BY {distance} LIMIT :limit"
        )
        async with self._db.read(turn) as session:
            declared = await _dimension(session.execute, collection)
            if declared is None:
                return []
            if declared != size:
                raise _wrong_size(collection)
            # Without it an index scan ends after its first 40 neighbours, though the filter may have dropped them all.
            await session.execute(sql("SELECT set_config('hnsw.iterative_scan', 'strict_order', true)"))
            found = await session.execute(query, {**values, "vector": _vector(vector), "limit": limit})
            hits = _hits(found)
        return hits if threshold is None else [hit for hit in hits if hit.score >= threshold]

    async def keywords(
        self, turn: Turn, collection: str, *, text: str, filter: Mapping[str, Any], limit: int
    ) -> list[Hit]:
        conditions, values = _where(collection, filter)
        query = (
            f"{WORDS} SELECT id, ts_rank(words, wanted.query) AS score, body, payload FROM wanted, stores.point"  # noqa: S608 - parameters only
            " WHERE id IN (SELECT stores.having_words(:collection, wanted.query))"
            f" AND {conditions} ORDER BY score DESC, put_at DESC LIMIT :limit"
        )
        async with self._db.read(turn) as session:
            return _hits(
                await session.execute(sql(query), {**values, "text": text.replace("\x00", ""), "limit": limit})
            )

    async def get(
        self,
        turn: Turn,
        collection: str,
        *,
        filter: Mapping[str, Any],
        limit: int,
        ids: Sequence[str] | None = None,
    ) -> list[Hit]:
        conditions, values = _where(collection, filter, ids=ids)
        query = (
            f"SELECT id, 0 AS score, body, payload FROM stores.point WHERE {conditions}"  # noqa: S608 - parameters only
            " ORDER BY put_at DESC, id DESC LIMIT :limit"
        )
        async with self._db.read(turn) as session:
            return _hits(await session.execute(sql(query), {**values, "limit": limit}))

    async def delete(
        self,
        turn: Turn,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> int:
        if ids is None and filter is None:
            raise ValueError("name ids or a filter: nothing else may be removed at once")
        conditions, values = _where(collection, filter or {}, ids=ids)
        async with self._db.work(turn) as work:
            removed = await work.session.execute(sql(f"DELETE FROM stores.point WHERE {conditions}"), values)  # noqa: S608 - parameters only
            return cast("CursorResult[Any]", removed).rowcount

    async def dimension(self, collection: str) -> int | None:
        try:
            found: int | None = await self._connections.system.fetchval(
                "SELECT dimension FROM stores.collection WHERE name = $1", require_collection(collection)
            )
        except LOST:
            raise StateUnavailable() from None
        return found

    async def drop(self, collection: str) -> None:
        require_collection(collection)
        try:
            async with self._connections.system.acquire() as connection, connection.transaction():
                await connection.execute("DELETE FROM stores.point WHERE collection = $1", collection)
                await connection.execute("DELETE FROM stores.collection WHERE name = $1", collection)
        except LOST:
            raise StateUnavailable() from None


async def _dimension(execute: Any, collection: str) -> int | None:
    found = await execute(sql("SELECT dimension FROM stores.collection WHERE name = :name"), {"name": collection})
    size: int | None = found.scalar()
    return size


def _where(
    collection: str, filter: Mapping[str, Any], *, ids: Sequence[str] | None = None
) -> tuple[str, dict[str, Any]]:
    """The conditions and their parameters. Names and values are parameters all; nothing of them enters the SQL."""
    conditions = ["collection = :collection"]
    values: dict[str, Any] = {"collection": require_collection(collection)}
    for n, (field, wanted) in enumerate(any_of(filter).items()):
        # `@>` also finds the scalar among the elements of a list.
        conditions.append(f"payload -> CAST(:field{n} AS text) @> ANY (CAST(CAST(:any{n} AS text[]) AS jsonb[]))")
        values |= {f"field{n}": field, f"any{n}": [json.dumps(value) for value in wanted]}
    if ids is not None:
        conditions.append("id = ANY (CAST(:ids AS uuid[]))")
        values["ids"] = [UUID(id) for id in ids]
    return " AND ".join(conditions), values


def _vector(values: Sequence[float]) -> str:
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a vector has finite numbers, and at least one")
    return "[" + ",".join(f"{value:.8g}" for value in values) + "]"


def _hits(found: Result[Any]) -> list[Hit]:
    return [
        # The cosine with a null vector is not a number; it is as far from everything as can be said.
        Hit(
            id=str(row.id), score=0.0 if math.isnan(row.score) else float(row.score), text=row.body, payload=row.payload
        )
        for row in found
    ]


def _wrong_size(collection: str) -> Conflict:
    return Conflict(f"The vectors do not have the size of the collection {collection}; rebuild it.")

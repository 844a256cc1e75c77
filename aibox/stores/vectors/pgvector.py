"""Vectors in the same PostgreSQL: pgvector for meaning and for words (BM25), row-level security around both.

A query takes one of two ways. The wide one walks an index by nearness or by words and asks each point for the filter:
right when many points pass it. The narrow one finds all points that pass and compares them: right when few do. Which
it is, the first query with a filter asks the index of filters, and remembers for a while. Whoever finds too little on
the wide way goes the narrow one after all, so that a filter never starves a query.
"""

import asyncio
import contextlib
import json
import math
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import asyncpg
from msgspec import Struct
from sqlalchemy import CursorResult, Result
from sqlalchemy import text as sql

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, StateUnavailable
from aibox.core.turn import Turn
from aibox.stores import Hit, Point, Ranked
from aibox.stores.vectors import words
from aibox.stores.vectors.checks import any_of, require_collection, require_payload

SCANNED = 4000
"""So many points the wide way looks at before the narrow one is tried."""

CANDIDATES = 2000
"""So many texts are ranked by their words; the rarer words of a question bring them."""

COUNTED = 2000
"""A word's texts are counted up to this, where PostgreSQL's statistics do not say how many there are."""

FEW = 1000
"""So many points are compared sooner than an index is walked to find the ones among all that pass a filter."""

ANOTHER_DIMENSION = "AX001"
"""How the database tells that a collection's vectors have another size (migration stores_0004)."""

QUESTION = 2000
"""The words of a text of so many characters are found sooner than a thread is."""

TEXTS_A_SECOND = 200
"""The number of texts is remembered the longer the more there are: only its logarithm counts."""

REMEMBERED_SECONDS = 60.0
REMEMBERED = 10_000

PUT = sql("""
INSERT INTO stores.point (tenant, collection, id, dimension, embedding, body, terms, weights)
VALUES (:tenant, :collection, :id, :dimension, CAST(CAST(:embedding AS text) AS vector), :body,
        CAST(:terms AS int[]), CAST(CAST(:weights AS text) AS sparsevec))
ON CONFLICT (tenant, collection, id) DO UPDATE
SET dimension = excluded.dimension, embedding = excluded.embedding, body = excluded.body,
    terms = excluded.terms, weights = excluded.weights, put_at = clock_timestamp()
""")
LABEL = sql("""
INSERT INTO stores.label (tenant, collection, id, payload)
VALUES (:tenant, :collection, :id, CAST(CAST(:payload AS text) AS jsonb))
ON CONFLICT (tenant, collection, id) DO UPDATE SET payload = excluded.payload
""")
DECLARE = sql("""
WITH made AS (
    INSERT INTO stores.collection (name, dimension) VALUES (:name, :dimension)
    ON CONFLICT (name) DO NOTHING RETURNING dimension
)
SELECT dimension FROM made UNION ALL SELECT dimension FROM stores.collection WHERE name = :name
""")
LABELLED = """
CROSS JOIN LATERAL (
    SELECT payload FROM stores.label AS label
    WHERE label.tenant = point.tenant AND label.collection = point.collection AND label.id = point.id
      AND {conditions} OFFSET 0
) AS label
"""


class Wanted(Struct, frozen=True):
    """A filter: as `conditions` on `label.payload` with their parameters, and as the JSON `stores.matching` reads."""

    conditions: str
    values: dict[str, Any]
    matching: str


class PgVectors:
    """`Vectors` in `stores.point`, one table for all collections and sizes."""

    def __init__(self, db: Database, connections: Connections, *, few: int = FEW, candidates: int = CANDIDATES) -> None:
        self._db = db
        self._connections = connections
        self._few = few
        self._candidates = candidates
        self._narrow: dict[tuple[UUID, str, str], tuple[float, bool]] = {}
        """Whether a filter leaves few points, and until when that is believed. Only a hint: both ways find the same."""
        self._texts: dict[tuple[UUID, str], tuple[float, int]] = {}
        """How many texts a collection of a tenant has, and until when that is believed."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        yield  # the database is open already

    async def put(self, turn: Turn, collection: str, points: Sequence[Point]) -> None:
        require_collection(collection)
        if not points:
            return
        sizes = {len(point.vector) for point in points}
        rows = await asyncio.to_thread(lambda: [_row(turn, collection, point) for point in points])
        async with self._db.work(turn) as work:
            declared = (await work.session.execute(DECLARE, {"name": collection, "dimension": min(sizes)})).scalar()
            # None: another process made the collection between our two looks; its size is in the table by now.
            declared = declared or await _dimension(work.session.execute, collection)
            if sizes != {declared}:
                raise _wrong_size(collection)
            await work.session.execute(PUT, rows)
            await work.session.execute(LABEL, rows)

    async def patch(self, turn: Turn, collection: str, *, filter: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
        wanted = _wanted(filter)
        update = (
            "UPDATE stores.label AS label SET payload = payload || CAST(CAST(:payload AS text) AS jsonb)"  # noqa: S608 - parameters only
            f" WHERE collection = :collection AND {_MATCHING} AND {wanted.conditions}"
        )
        values = {**wanted.values, "payload": _json(payload), "matching": wanted.matching}
        async with self._db.work(turn) as work:
            done = await work.session.execute(sql(update), {**values, "collection": require_collection(collection)})
            return cast("CursorResult[Any]", done).rowcount

    async def search(
        self,
        turn: Turn,
        collection: str,
        *,
        vector: Sequence[float],
        filter: Mapping[str, Any],
        limit: int,
        threshold: float | None = None,
    ) -> list[Ranked]:
        matching = _matching(filter)
        require_collection(collection)
        key = (turn.tenant, collection, matching)
        known = self._known_narrow(key)
        try:
            rows = await self._db.ask(
                turn, "stores.nearest", collection, _finite(vector), matching, limit, known, self._few, SCANNED
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == ANOTHER_DIMENSION:
                raise _wrong_size(collection) from None
            raise
        if rows and rows[-1]["is_narrow"] is not known:
            self._remember(key, is_narrow=rows[-1]["is_narrow"])
        hits = _answered(rows)
        return hits if threshold is None else [hit for hit in hits if hit.score >= threshold]

    async def vectors(self, turn: Turn, collection: str, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        rows = await self._db.ask(turn, "stores.vectors_of", require_collection(collection), [UUID(id) for id in ids])
        # Two bytes of dimension, two unused, then the numbers.
        return {str(id): _numbers(sent) for id, sent in rows}

    async def keywords(
        self, turn: Turn, collection: str, *, text: str, filter: Mapping[str, Any], limit: int
    ) -> list[Ranked]:
        asked = words.query(text) if len(text) <= QUESTION else await asyncio.to_thread(words.query, text)
        matching = _matching(filter)
        require_collection(collection)
        if not asked:
            return []
        return _answered(
            await self._db.ask(
                turn,
                "stores.having_words",
                collection,
                list(asked),
                words.salted(turn.tenant, collection, asked),
                list(asked.values()),
                await self._count(turn, collection),
                matching,
                limit,
                self._known_narrow((turn.tenant, collection, matching)),
                self._few,
                self._candidates,
                COUNTED,
            )
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
        wanted = _wanted(filter)
        query = (
            f"SELECT point.id, body, payload FROM stores.point AS point {_labelled(wanted)}"  # noqa: S608 - parameters only
            f" WHERE collection = :collection AND {_chosen(ids)} ORDER BY put_at DESC, point.id DESC LIMIT :limit"
        )
        values = {**wanted.values, **_choice(wanted, ids), "collection": require_collection(collection)}
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
        wanted = _wanted(filter or {})
        remove = (
            f"DELETE FROM stores.point WHERE collection = :collection AND {_chosen(ids)} AND id IN"  # noqa: S608 - parameters only
            f" (SELECT id FROM stores.label AS label WHERE collection = :collection AND {_chosen(ids)}"
            f" AND {wanted.conditions})"
        )
        values = {**wanted.values, **_choice(wanted, ids), "collection": require_collection(collection)}
        async with self._db.work(turn) as work:
            removed = await work.session.execute(sql(remove), values)
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

    def _known_narrow(self, key: tuple[UUID, str, str]) -> bool | None:
        until, is_narrow = self._narrow.get(key, (0.0, False))
        return is_narrow if until > time.monotonic() else None

    def _remember(self, key: tuple[UUID, str, str], *, is_narrow: bool) -> None:
        if len(self._narrow) >= REMEMBERED:
            self._narrow.clear()
        self._narrow[key] = time.monotonic() + REMEMBERED_SECONDS, is_narrow

    async def _count(self, turn: Turn, collection: str) -> int:
        """How many texts the collection has: counted, or remembered, the longer the more there are."""
        key = (turn.tenant, collection)
        until, texts = self._texts.get(key, (0.0, 0))
        if until < time.monotonic():
            async with self._db.read(turn) as session:
                counted = await session.execute(
                    sql("SELECT count(*) FROM stores.label WHERE collection = :collection"), {"collection": collection}
                )
            texts = counted.scalar_one()
            if len(self._texts) >= REMEMBERED:
                self._texts.clear()
            self._texts[key] = time.monotonic() + REMEMBERED_SECONDS + texts / TEXTS_A_SECOND, texts
        return texts


def _row(turn: Turn, collection: str, point: Point) -> dict[str, Any]:
    text = point.text.replace("\x00", "")
    weights = words.document(text)
    return {
        "tenant": turn.tenant,
        "collection": collection,
        "id": UUID(point.id),
        "dimension": len(point.vector),
        "embedding": _vector(point.vector),
        "body": text,
        "terms": words.salted(turn.tenant, collection, weights),
        "weights": words.sparsevec(weights),
        "payload": _json(point.payload),
    }


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(require_payload(payload)).replace("\\u0000", "")


async def _dimension(execute: Any, collection: str) -> int | None:
    found = await execute(sql("SELECT dimension FROM stores.collection WHERE name = :name"), {"name": collection})
    size: int | None = found.scalar()
    return size


_MATCHING = "id IN (SELECT stores.matching(:collection, CAST(CAST(:matching AS text) AS jsonb)))"


def _labelled(wanted: Wanted) -> str:
    return LABELLED.format(conditions=wanted.conditions)


def _chosen(ids: Sequence[str] | None) -> str:
    return _MATCHING if ids is None else "id = ANY (CAST(:ids AS uuid[]))"


def _choice(wanted: Wanted, ids: Sequence[str] | None) -> dict[str, Any]:
    return {"matching": wanted.matching} if ids is None else {"ids": [UUID(id) for id in ids]}


def _wanted(filter: Mapping[str, Any]) -> Wanted:
    """Names and values are parameters all; nothing of them enters the SQL."""
    conditions = ["true"]
    values: dict[str, Any] = {}
    any_ofs = any_of(filter)
    for n, (field, wanted) in enumerate(any_ofs.items()):
        # `@>` also finds the scalar among the elements of a list.
        conditions.append(f"label.payload -> CAST(:field{n} AS text) @> ANY (CAST(CAST(:any{n} AS text[]) AS jsonb[]))")
        values |= {f"field{n}": field, f"any{n}": [json.dumps(value) for value in wanted]}
    return Wanted(" AND ".join(conditions), values, json.dumps(any_ofs, sort_keys=True))


def _matching(filter: Mapping[str, Any]) -> str:
    """A filter as the JSON that the functions of the database read."""
    return json.dumps(any_of(filter), sort_keys=True)


def _finite(values: Sequence[float]) -> Sequence[float]:
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("a vector has finite numbers, and at least one")
    return values


def _vector(values: Sequence[float]) -> str:
    values = _finite(values)
    return "[" + ",".join(f"{value:.8g}" for value in values) + "]"


def _answered(rows: Sequence[asyncpg.Record]) -> list[Ranked]:
    """What a search found: where it had to go the narrow way after the wide one, only what that found."""
    is_narrow = bool(rows) and rows[-1]["is_narrow"]
    return [Ranked(str(id), _number(score)) for id, score, way in rows if way is is_narrow]


def _number(score: float) -> float:
    """The cosine with a null vector is not a number; it is as far from everything as can be said."""
    return 0.0 if math.isnan(score) else score


def _hits(found: Result[Any]) -> list[Hit]:
    return [Hit(id=str(row.id), text=row.body, payload=row.payload) for row in found]


def _wrong_size(collection: str) -> Conflict:
    return Conflict(f"The vectors do not have the size of the collection {collection}; rebuild it.")


def _numbers(sent: bytes) -> Sequence[float]:
    """What pgvector writes of a vector: its size in two 16-bit words, then floats of 32 bits, the high byte first."""
    numbers = array("f", sent[4:])
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers

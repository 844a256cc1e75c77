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
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, cast
from uuid import UUID

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import CursorResult, Result, TextClause, bindparam
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, StateUnavailable
from aibox.core.turn import Turn
from aibox.stores import Hit, Point
from aibox.stores.vectors import words
from aibox.stores.vectors.checks import any_of, require_collection, require_payload

HALF_BEYOND = 2000
"""Above this size pgvector's HNSW indexes half precision only (migration stores_0001)."""

SCANNED = 4000
"""So many points the wide way looks at before the narrow one is tried."""

CANDIDATES = 2000
"""So many texts are ranked by their words; the rarer words of a question bring them."""

COUNTED = 2000
"""A word's texts are counted up to this, where PostgreSQL's statistics do not say how many there are."""

FEW = 1000
"""So many points are compared sooner than an index is walked to find the ones among all that pass a filter."""

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
# What a query has to know, and how it is to be planned, on one way to the database and back. Wide is a walk along the
# index, in order; a sort of all rows would be the planner's other way.
PREPARE = sql("""
SELECT dimension, is_narrow,
    set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '100', true),
    set_config('hnsw.max_scan_tuples', :scanned, true),
    set_config('enable_sort', CASE WHEN is_narrow THEN 'on' ELSE 'off' END, true), set_config('jit', 'off', true)
FROM (
    SELECT (SELECT dimension FROM stores.collection WHERE name = :collection) AS dimension,
        coalesce(CAST(:known AS bool), stores.few(:collection, CAST(CAST(:matching AS text) AS jsonb), :most))
            AS is_narrow
    OFFSET 0
) AS looked
""")
LABELLED = """
CROSS JOIN LATERAL (
    SELECT payload FROM stores.label AS label
    WHERE label.tenant = point.tenant AND label.collection = point.collection AND label.id = point.id
      AND {conditions} OFFSET 0
) AS label
"""
FEW_PASS = sql("SELECT stores.few(:collection, CAST(CAST(:matching AS text) AS jsonb), :most)")
COUNTS = sql("SELECT term, texts FROM stores.word_counts(:collection, :terms, :most)").bindparams(
    bindparam("terms", type_=ARRAY(INTEGER))
)


Ranking = Literal["worded", "worded_among", "worded_within"]
"""What ranks points by words: all that have them, those of them that pass a filter, or of those that pass."""


class Wanted(Struct, frozen=True):
    """A filter: as `conditions` on `label.payload` with their parameters, and as the JSON `stores.matching` reads."""

    conditions: str
    values: dict[str, Any]
    matching: str


class Counted(Struct, frozen=True):
    """How many texts a collection of a tenant has, and how many of them have each word."""

    until: float
    texts: int
    having: dict[int, int]


class PgVectors:
    """`Vectors` in `stores.point`, one table for all collections and sizes."""

    def __init__(self, db: Database, connections: Connections) -> None:
        self._db = db
        self._connections = connections
        self._narrow: dict[tuple[UUID, str, str], tuple[float, bool]] = {}
        """Whether a filter leaves few points, and until when that is believed. Only a hint: both ways find the same."""
        self._counted: dict[tuple[UUID, str], Counted] = {}

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
    ) -> list[Hit]:
        wanted, size = _wanted(filter), len(vector)
        values = {
            **wanted.values,
            "matching": wanted.matching,
            "collection": require_collection(collection),
            "vector": _vector(vector),
            "limit": limit,
        }
        async with self._db.read(turn) as session:
            key = (turn.tenant, collection, wanted.matching)
            known = self._known_narrow(key)
            told = {"matching": wanted.matching, "most": FEW, "known": known, "scanned": str(SCANNED)}
            prepared = (await session.execute(PREPARE, {"collection": collection, **told})).one()
            if prepared.dimension is None:
                return []
            if prepared.dimension != size:
                raise _wrong_size(collection)
            is_narrow = prepared.is_narrow
            hits = [] if is_narrow else _hits(await session.execute(_nearest(size, wanted), values))
            if len(hits) < limit:
                if not is_narrow:
                    await session.execute(sql("SELECT set_config('enable_sort', 'on', true)"))
                is_narrow = True
                hits = _hits(await session.execute(_nearest_of_matching(size, wanted), values))
            if is_narrow is not known:
                self._remember(key, is_narrow=is_narrow)
        return hits if threshold is None else [hit for hit in hits if hit.score >= threshold]

    async def vectors(self, turn: Turn, collection: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        query = sql(
            "SELECT id, vector_send(embedding) AS sent FROM stores.point"
            " WHERE collection = :collection AND id = ANY (CAST(:ids AS uuid[]))"
        )
        values = {"collection": require_collection(collection), "ids": [UUID(id) for id in ids]}
        async with self._db.read(turn) as session:
            found = (await session.execute(query, values)).all()
        # Two bytes of dimension, two unused, then the numbers.
        return {str(row.id): np.frombuffer(row.sent, ">f4", offset=4).astype(np.float32) for row in found}

    async def keywords(
        self, turn: Turn, collection: str, *, text: str, filter: Mapping[str, Any], limit: int
    ) -> list[Hit]:
        asked = await asyncio.to_thread(words.query, text)
        wanted = _wanted(filter)
        require_collection(collection)
        if not asked:
            return []
        async with self._db.read(turn) as session:
            counted = await self._count(session, turn, collection, asked)
            # Also a word that no text had a moment ago: one may have come since.
            weights = {word: count * _rarity(counted, word) for word, count in asked.items()}
            kept = _rare(counted, weights)
            values = {
                **wanted.values,
                "collection": collection,
                "matching": wanted.matching,
                "question": words.sparsevec(weights),
                "limit": limit,
            }
            key = (turn.tenant, collection, wanted.matching)
            hits: list[Hit] = []
            is_narrow = await self._is_narrow(session, key)
            if not is_narrow:
                terms = words.salted(turn.tenant, collection, kept)
                hits = _hits(await session.execute(_worded(wanted, "worded"), {**values, "terms": terms}))
            if len(hits) < limit and (len(kept) < len(weights) or is_narrow):
                terms = words.salted(turn.tenant, collection, weights)
                function: Ranking = "worded_within" if is_narrow else "worded_among"
                hits = _hits(await session.execute(_worded(wanted, function), {**values, "terms": terms}))
        return hits

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
            f"SELECT point.id, 0 AS score, body, payload FROM stores.point AS point {_labelled(wanted)}"  # noqa: S608 - parameters only
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

    async def _is_narrow(self, session: AsyncSession, key: tuple[UUID, str, str]) -> bool:
        """Whether few points pass the filter: as remembered, or looked up."""
        known = self._known_narrow(key)
        if known is None:
            _, collection, matching = key
            found = await session.execute(FEW_PASS, {"collection": collection, "matching": matching, "most": FEW})
            known = bool(found.scalar_one())
            self._remember(key, is_narrow=known)
        return known

    def _known_narrow(self, key: tuple[UUID, str, str]) -> bool | None:
        until, is_narrow = self._narrow.get(key, (0.0, False))
        return is_narrow if until > time.monotonic() else None

    def _remember(self, key: tuple[UUID, str, str], *, is_narrow: bool) -> None:
        if len(self._narrow) >= REMEMBERED:
            self._narrow.clear()
        self._narrow[key] = time.monotonic() + REMEMBERED_SECONDS, is_narrow

    async def _count(self, session: AsyncSession, turn: Turn, collection: str, asked: Mapping[int, float]) -> Counted:
        """How rare the words are: counted, or remembered from a moment ago."""
        key = (turn.tenant, collection)
        known = self._counted.get(key)
        if known is None or known.until < time.monotonic():
            texts = await session.execute(
                sql("SELECT count(*) FROM stores.label WHERE collection = :collection"), {"collection": collection}
            )
            if len(self._counted) >= REMEMBERED:
                self._counted.clear()
            known = Counted(time.monotonic() + REMEMBERED_SECONDS, texts.scalar_one(), {})
            self._counted[key] = known
        unknown = [word for word in asked if word not in known.having]
        if unknown:
            terms = words.salted(turn.tenant, collection, unknown)
            found = await session.execute(COUNTS, {"collection": collection, "terms": terms, "most": COUNTED})
            having = {row.term: row.texts for row in found}
            known.having.update((word, having[term]) for word, term in zip(unknown, terms, strict=True))
        return known


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


def _rarity(counted: Counted, word: int) -> float:
    """BM25's IDF, never below zero."""
    having = counted.having[word]
    return math.log(1 + (max(counted.texts, having) - having + 0.5) / (having + 0.5))


def _rare(counted: Counted, weights: Mapping[int, float]) -> list[int]:
    """The rarest of the words, as many as bring `CANDIDATES` texts together; at least one."""
    kept: list[int] = []
    texts = 0
    for word in sorted(weights, key=lambda word: counted.having[word]):
        texts += counted.having[word]
        if kept and texts > CANDIDATES:
            break
        kept.append(word)
    return kept


_MATCHING = "id IN (SELECT stores.matching(:collection, CAST(CAST(:matching AS text) AS jsonb)))"


def _nearest(size: int, wanted: Wanted) -> TextClause:
    """The wide way by meaning. Nothing but numbers and parameters enters the statement, here and below."""
    distance = _distance(size)
    return sql(
        f"SELECT point.id, 1 - {distance} AS score, body, payload FROM stores.point AS point"  # noqa: S608
        f" {_labelled(wanted)} WHERE dimension = {size} AND collection = :collection"
        f" ORDER BY {distance} LIMIT :limit"
    )


def _nearest_of_matching(size: int, wanted: Wanted) -> TextClause:
    """The narrow way: the points that pass, all compared."""
    distance = _distance(size)
    return sql(
        f"SELECT point.id, 1 - {distance} AS score, body, payload FROM stores.point AS point"  # noqa: S608
        f" {_labelled(wanted)} WHERE dimension = {size} AND collection = :collection AND {_MATCHING}"
        # The sum keeps the planner from the index by nearness, which would be the wide way again.
        f" ORDER BY {distance} + 0 LIMIT :limit"
    )


def _distance(size: int) -> str:
    kind = "vector" if size <= HALF_BEYOND else "halfvec"
    return f"(embedding::{kind}({size}) <=> CAST(CAST(:vector AS text) AS {kind}({size})))"


def _worded(wanted: Wanted, function: Ranking) -> TextClause:
    among = "" if function == "worded" else ", CAST(CAST(:matching AS text) AS jsonb)"
    return sql(
        "SELECT point.id, ranked.score, body, payload FROM"  # noqa: S608
        f" (SELECT id, score FROM stores.{function}(:collection, :terms,"
        f"  CAST(CAST(:question AS text) AS sparsevec){among})"
        "  WHERE score > 0 OFFSET 0) AS ranked"
        " CROSS JOIN LATERAL ("
        "  SELECT tenant, collection, id, body, put_at FROM stores.point AS point"
        "  WHERE point.tenant = CAST(current_setting('app.tenant') AS uuid) AND point.collection = :collection"
        "  AND point.id = ranked.id OFFSET 0) AS point"
        f" {_labelled(wanted)} LIMIT :limit"
    ).bindparams(bindparam("terms", type_=ARRAY(INTEGER)))


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

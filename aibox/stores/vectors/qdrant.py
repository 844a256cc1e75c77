"""Vectors in a Qdrant server: one collection each, the tenant in every point and every query."""

import asyncio
import contextlib
import time
from array import array
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID, uuid5

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from aibox.core.errors import Conflict, StateUnavailable
from aibox.core.turn import Turn
from aibox.stores import Hit, Point, Ranked
from aibox.stores.vectors.checks import Scalar, any_of, require_collection, require_payload
from aibox.stores.vectors.words import document
from aibox.stores.vectors.words import query as words_of

DENSE, WORDS = "dense", "words"
TENANT, ID, TEXT, PUT_AT = "_tenant", "_id", "_text", "_put_at"  # no payload field may begin with an underscore


class QdrantVectors:
    """`Vectors` at `location`: a server's URL, or `:memory:` for tests."""

    def __init__(self, location: str, *, api_key: str = "") -> None:
        self._location = location
        self._api_key = api_key
        self._open: AsyncQdrantClient | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        self._open = AsyncQdrantClient(
            location=self._location, api_key=self._api_key or None, timeout=30, check_compatibility=False
        )
        try:
            yield
        finally:
            await self._open.close()
            self._open = None

    async def put(self, turn: Turn, collection: str, points: Sequence[Point]) -> None:
        require_collection(collection)
        if not points:
            return
        sizes = {len(point.vector) for point in points}
        now = time.time_ns() // 1000
        structs = await asyncio.to_thread(
            lambda: [_struct(turn, point, put_at=now + n) for n, point in enumerate(points)]
        )
        async with _answering():
            declared = await self._size(collection) or await self._make(collection, min(sizes))
            if sizes != {declared}:
                raise _wrong_size(collection)
            await self._client.upsert(collection, points=structs, wait=True)

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
        wanted = _filter(turn, filter)
        async with _answering():
            declared = await self._size(require_collection(collection))
            if declared is None or wanted is None:
                return []
            if declared != len(vector):
                raise _wrong_size(collection)
            found = await self._client.query_points(
                collection,
                query=list(vector),
                using=DENSE,
                query_filter=wanted,
                limit=limit,
                score_threshold=threshold,
                with_payload=[ID],
            )
        return [_ranked(point) for point in found.points]

    async def vectors(self, turn: Turn, collection: str, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        wanted = _filter(turn, {}, ids=ids)
        async with _answering():
            if wanted is None or await self._size(require_collection(collection)) is None:
                return {}
            found, _ = await self._client.scroll(collection, scroll_filter=wanted, limit=len(ids), with_vectors=[DENSE])
        return {_hit(record.payload).id: array("f", _dense(record.vector)) for record in found}

    async def keywords(
        self, turn: Turn, collection: str, *, text: str, filter: Mapping[str, Any], limit: int
    ) -> list[Ranked]:
        wanted = _filter(turn, filter)
        asked = await asyncio.to_thread(words_of, text)
        async with _answering():
            if wanted is None or not asked or await self._size(require_collection(collection)) is None:
                return []
            found = await self._client.query_points(
                collection,
                query=models.SparseVector(indices=list(asked), values=list(asked.values())),
                using=WORDS,
                query_filter=wanted,
                limit=limit,
                with_payload=[ID],
            )
        return [_ranked(point) for point in found.points]

    async def get(
        self,
        turn: Turn,
        collection: str,
        *,
        filter: Mapping[str, Any],
        limit: int,
        ids: Sequence[str] | None = None,
    ) -> list[Hit]:
        wanted = _filter(turn, filter, ids=ids)
        async with _answering():
            if wanted is None or await self._size(require_collection(collection)) is None:
                return []
            found, _ = await self._client.scroll(
                collection,
                scroll_filter=wanted,
                limit=limit,
                order_by=models.OrderBy(key=PUT_AT, direction=models.Direction.DESC),
            )
        return [_hit(record.payload) for record in found]

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
        wanted = _filter(turn, filter or {}, ids=ids)
        async with _answering():
            if wanted is None or await self._size(require_collection(collection)) is None:
                return 0
            counted = await self._client.count(collection, count_filter=wanted, exact=True)
            await self._client.delete(collection, points_selector=models.FilterSelector(filter=wanted), wait=True)
        return counted.count

    async def patch(self, turn: Turn, collection: str, *, filter: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
        wanted, changes = _filter(turn, filter), require_payload(payload)
        async with _answering():
            if wanted is None or await self._size(require_collection(collection)) is None:
                return 0
            counted = await self._client.count(collection, count_filter=wanted, exact=True)
            await self._client.set_payload(collection, payload=changes, points=wanted, wait=True)
        return counted.count

    async def dimension(self, collection: str) -> int | None:
        async with _answering():
            return await self._size(require_collection(collection))

    async def drop(self, collection: str) -> None:
        async with _answering():
            if await self._size(require_collection(collection)) is not None:
                await self._client.delete_collection(collection)

    @property
    def _client(self) -> AsyncQdrantClient:
        if self._open is None:
            raise StateUnavailable("The vector store is not open.")
        return self._open

    async def _size(self, collection: str) -> int | None:
        """The size of the collection's vectors, asked each time: another process may have rebuilt it."""
        if not await self._client.collection_exists(collection):
            return None
        vectors = (await self._client.get_collection(collection)).config.params.vectors
        if not isinstance(vectors, dict) or DENSE not in vectors:
            raise Conflict(f"The collection {collection} was not made by AIBox.")
        return vectors[DENSE].size

    async def _make(self, collection: str, size: int) -> int:
        try:
            await self._client.create_collection(
                collection,
                vectors_config={DENSE: models.VectorParams(size=size, distance=models.Distance.COSINE)},
                sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except UnexpectedResponse as error:
            if error.status_code != 409:  # another process made it first
                raise
            return await self._size(collection) or size
        if self._location != ":memory:":  # which has no indexes, and warns at each
            by_tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await self._client.create_payload_index(collection, TENANT, field_schema=by_tenant)
            await self._client.create_payload_index(collection, ID, field_schema=models.PayloadSchemaType.KEYWORD)
            await self._client.create_payload_index(collection, PUT_AT, field_schema=models.PayloadSchemaType.INTEGER)
        return size


@contextlib.asynccontextmanager
async def _answering() -> AsyncGenerator[None]:
    try:
        yield
    except (UnexpectedResponse, ResponseHandlingException) as error:
        raise StateUnavailable(f"The vector store failed to answer: {type(error).__name__}.") from error


def _struct(turn: Turn, point: Point, *, put_at: int) -> models.PointStruct:
    weights = document(point.text)
    return models.PointStruct(
        # Ids are unique in a Qdrant collection, so the tenant is part of them: nobody overwrites another's point.
        id=str(uuid5(turn.tenant, str(UUID(point.id)))),
        vector={
            DENSE: list(point.vector),
            WORDS: models.SparseVector(indices=list(weights), values=list(weights.values())),
        },
        payload={
            **require_payload(point.payload),
            TENANT: str(turn.tenant),
            ID: str(UUID(point.id)),
            TEXT: point.text,
            PUT_AT: put_at,
        },
    )


def _filter(turn: Turn, filter: Mapping[str, Any], *, ids: Sequence[str] | None = None) -> models.Filter | None:
    """The turn's tenant and all of `filter`; None when it can match nothing.

    An empty list must not reach Qdrant: its `should=[]` matches everything.
    """
    conditions: dict[str, list[Scalar]] = {TENANT: [str(turn.tenant)], **any_of(filter)}
    if ids is not None:
        conditions[ID] = [str(UUID(id)) for id in ids]
    must: list[models.Condition] = []
    for field, wanted in conditions.items():
        if not wanted:
            return None
        each = [models.FieldCondition(key=field, match=models.MatchValue(value=value)) for value in wanted]
        must.append(models.Filter(should=list(each)))
    return models.Filter(must=must)


def _dense(vector: models.VectorStructOutput | None) -> list[float]:
    assert isinstance(vector, dict)
    return cast("list[float]", vector[DENSE])


def _ranked(point: models.ScoredPoint) -> Ranked:
    assert point.payload is not None
    return Ranked(point.payload[ID], point.score)


def _hit(payload: Mapping[str, Any] | None) -> Hit:
    found = dict(payload or {})
    id, text = found.pop(ID), found.pop(TEXT)
    del found[TENANT], found[PUT_AT]
    return Hit(id=id, text=text, payload=found)


def _wrong_size(collection: str) -> Conflict:
    return Conflict(f"The vectors do not have the size of the collection {collection}; rebuild it.")

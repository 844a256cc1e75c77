"""Ports that several modules need: Cache, Vectors, Objects; the URL in the settings names the backend.

Each port has an embedded backend and a production one, and one contract test that runs against both.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, Conflict
from aibox.core.turn import Turn

__all__ = [
    "Cache",
    "CacheSettings",
    "Hit",
    "ObjectChanged",
    "ObjectMissing",
    "Objects",
    "ObjectsSettings",
    "Point",
    "StoredObject",
    "Vectors",
    "VectorsSettings",
]


class CacheSettings(Struct, frozen=True, kw_only=True):
    """What replicas share for a short time: rates, revocations, locks."""

    url: Annotated[str, Meta(description="`memory:` for one process, `redis://` for replicas")] = "memory:"


class VectorsSettings(Struct, frozen=True, kw_only=True):
    """Dense vectors with their text and rights."""

    url: Annotated[
        str,
        Meta(description="`pgvector:` in the same PostgreSQL, or `qdrant://host:6333` (`qdrant+https://`)"),
    ] = "pgvector:"
    api_key: Annotated[str, Meta(description="Qdrant's API key", extra={"secret": True})] = ""


class ObjectsSettings(Struct, frozen=True, kw_only=True):
    """Files: checkpoints, tiles, documents, artifacts."""

    url: Annotated[str, Meta(description="`file:` in the data folder, `file:/path`, or `s3://bucket/prefix`")] = "file:"
    endpoint: Annotated[str, Meta(description="The S3 endpoint, when it is not Amazon's")] = ""
    region: Annotated[str, Meta(description="The S3 region")] = "us-east-1"
    access_key: Annotated[str, Meta(description="The S3 access key id")] = ""
    secret_key: Annotated[str, Meta(description="The S3 secret key", extra={"secret": True})] = ""


@runtime_checkable
class Cache(Protocol):
    """Small values with an expiry. What is lost with it must be recoverable from PostgreSQL.

    Raises `StateUnavailable` when the backend cannot answer; callers that guard something refuse then.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it was never set or has expired."""
        ...

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """On return every process that shares the cache reads `value` for `ttl` seconds."""
        ...

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        """Set only when absent; exactly one of concurrent callers gets True."""
        ...

    async def count(self, key: str, *, ttl: float, by: int = 1) -> int:
        """Add `by` to a counter and return it. The first count starts the window of `ttl` seconds."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the key; an absent one is no error."""
        ...

    def run(self) -> AbstractAsyncContextManager[None]:
        """Open the backend for the time of the block."""
        ...


class Point(Struct, frozen=True, kw_only=True):
    """What is indexed: an id that is a UUID string, a dense vector, its text for keywords, and a flat payload.

    Payload values are strings, integers, booleans or lists of strings. The tenant is added from the turn.
    """

    id: str
    vector: Sequence[float]
    text: str = ""
    payload: Mapping[str, Any] = {}


class Ranked(Struct, frozen=True):
    """What a search found. `score` is the cosine similarity (-1 to 1) for a dense query, a rank score for keywords."""

    id: str
    score: float


class Hit(Struct, frozen=True, kw_only=True):
    """A point without its vector."""

    id: str
    text: str
    payload: dict[str, Any]


@runtime_checkable
class Vectors(Protocol):
    """Collections of points. Every call is confined to the turn's tenant, and every query carries a filter.

    A filter maps payload fields to one value, or to a list of which one must match; an empty list matches nothing.
    It stands outside any Work: write the row first, then index it from an idempotent job.
    """

    async def put(self, turn: Turn, collection: str, points: Sequence[Point]) -> None:
        """On return the points are found and survive a crash; the same id again replaces the point whole.

        Raises `Conflict` when the vectors have another dimension than the collection.
        """
        ...

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
        """The nearest by cosine similarity, best first, none below `threshold`."""
        ...

    async def vectors(self, turn: Turn, collection: str, ids: Sequence[str]) -> dict[str, Sequence[float]]:
        """The vectors of these points by id, in single precision; what is not there is left out."""
        ...

    async def keywords(
        self, turn: Turn, collection: str, *, text: str, filter: Mapping[str, Any], limit: int
    ) -> list[Ranked]:
        """Points whose text shares words with `text`, best first."""
        ...

    async def get(
        self,
        turn: Turn,
        collection: str,
        *,
        filter: Mapping[str, Any],
        limit: int,
        ids: Sequence[str] | None = None,
    ) -> list[Hit]:
        """Points by id or by filter alone, newest first."""
        ...

    async def delete(
        self,
        turn: Turn,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> int:
        """Remove by ids, by filter, or by both; the number removed. Neither given: ValueError, nothing removed."""
        ...

    async def patch(self, turn: Turn, collection: str, *, filter: Mapping[str, Any], payload: Mapping[str, Any]) -> int:
        """Set these members of the payload of all points that pass the filter; the number of points.

        On return every query judges by the new values; vectors and texts are not indexed again.
        """
        ...

    async def dimension(self, collection: str) -> int | None:
        """The size of the collection's vectors, None while it has none."""
        ...

    async def drop(self, collection: str) -> None:
        """Remove the collection of all tenants: for a rebuild with another dimension."""
        ...

    def run(self) -> AbstractAsyncContextManager[None]:
        """Open the backend for the time of the block."""
        ...


class StoredObject(Struct, frozen=True, kw_only=True):
    """An object's bytes and the version tag that `put(if_match=…)` compares."""

    data: bytes
    etag: str


class ObjectMissing(AIBoxError):
    """No object has this key."""

    status = 404
    code = "object_missing"
    sentence = "The stored file is missing."


class ObjectChanged(Conflict):
    """Someone else wrote the object first."""

    code = "object_changed"
    sentence = "The stored file was changed by someone else."


@runtime_checkable
class Objects(Protocol):
    """Whole files by key (`a/b/c`, relative, no dot segments). Raises `StateUnavailable` when it cannot answer."""

    async def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, keep_days: int = 0
    ) -> str:
        """On return the data survives a crash; the same key again replaces it whole. Returns the new etag.

        With `if_match` or `if_absent` it raises `ObjectChanged` instead of overwriting another's write. With
        `keep_days`, which only a store takes that `can_keep`, nobody can destroy these bytes for so long.
        """
        ...

    async def can_keep(self) -> bool:
        """Whether `put` takes `keep_days`: the store is an S3 bucket with Object Lock. It is asked once."""
        ...

    async def put_file(self, key: str, path: Path) -> None:
        """As `put`, of the file at `path`, which is never held in memory whole."""
        ...

    async def get(self, key: str) -> StoredObject:
        """The object whole. Raises `ObjectMissing`."""
        ...

    async def get_file(self, key: str, path: Path) -> None:
        """Write the object to `path`, without holding it in memory whole. Raises `ObjectMissing`."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; an absent one is no error."""
        ...

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin with `prefix`, sorted."""
        ...

    def run(self) -> AbstractAsyncContextManager[None]:
        """Open the backend for the time of the block."""
        ...

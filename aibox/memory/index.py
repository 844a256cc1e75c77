"""The index of memories: mem0 in worker threads, loaded after the start and told to stay at home."""

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog

from aibox.core.errors import NotAvailable
from aibox.core.turn import Turn
from aibox.memory.models import MemoryRow
from aibox.router import ModelRouter
from aibox.stores import Vectors

log = structlog.get_logger("aibox.memory")

THREADS = 4
T = TypeVar("T")


class Index:
    """Adds, finds and removes memories by their meaning. All methods may raise what router and vectors raise."""

    def __init__(self, folder: Path, collection: str, *, router: ModelRouter, vectors: Vectors) -> None:
        self.collection = collection
        self._folder = folder
        self._router = router
        self._vectors = vectors
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mem0")
        self._loading: asyncio.Future[Any] | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Begin to load mem0, which takes one to two seconds; what comes sooner waits for it."""
        self._loading = asyncio.get_running_loop().run_in_executor(self._threads, _load, self._folder)
        try:
            yield
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def add(self, turn: Turn, row: MemoryRow) -> None:
        """Index the row under its own id; again replaces it."""
        metadata = {
            "memory_type": row.memory_type,
            "kind": row.kind,
            "visibility": row.visibility,
            "created_at": row.created_at.isoformat(),
        }
        user = storage_user(turn.tenant, row.user_id)
        memory = await self._bound(turn, row.user_id, id=row.id)
        await self._in_thread(
            lambda: memory.add([{"role": "user", "content": row.content}], user_id=user, metadata=metadata, infer=False)
        )

    async def nearest(self, turn: Turn, user: UUID, query: str, *, limit: int, threshold: float) -> dict[UUID, float]:
        """Ids by cosine similarity, best first."""
        memory = await self._bound(turn, user)
        scope = {"user_id": storage_user(turn.tenant, user)}
        found = await self._in_thread(
            lambda: memory.search(query, filters=scope, top_k=limit, threshold=max(0.0, min(1.0, threshold)))
        )
        return {UUID(item["id"]): float(item["score"]) for item in found["results"]}

    async def having_words(self, turn: Turn, user: UUID, query: str, *, limit: int) -> list[UUID]:
        """Ids of memories that share words with `query`, best first. mem0 only ranks by words what is near already."""
        scope = {"user_id": storage_user(turn.tenant, user)}
        hits = await self._vectors.keywords(turn, self.collection, text=query, filter=scope, limit=limit)
        return [UUID(hit.id) for hit in hits]

    async def remove(self, turn: Turn, user: UUID, *, id: UUID | None = None) -> None:
        """Remove one memory of the user, or all."""
        scope = {"user_id": storage_user(turn.tenant, user)}
        ids = None if id is None else [str(id)]
        await self._vectors.delete(turn, self.collection, ids=ids, filter=scope)

    async def drop(self) -> None:
        """Remove everyone's, for a rebuild."""
        await self._vectors.drop(self.collection)

    async def _bound(self, turn: Turn, user: UUID, *, id: UUID | None = None) -> Any:
        if self._loading is None:
            raise NotAvailable("Memory is not running.")
        try:
            bound = await asyncio.shield(self._loading)
        except (ImportError, OSError):
            raise NotAvailable("The memory index could not be loaded.") from None
        return bound.bind(
            asyncio.get_running_loop(),
            turn,
            router=self._router,
            vectors=self._vectors,
            collection=self.collection,
            user=storage_user(turn.tenant, user),
            id=id,
        )

    async def _in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)


def storage_user(tenant: UUID, user: UUID) -> str:
    """mem0's user id. Two UUIDs: never empty, and never the `*` that mem0 takes for everyone."""
    return f"{tenant}:{user}"


def _load(folder: Path) -> Any:
    # mem0 reads its environment while it is imported: no telemetry, and its folder in ours instead of the home folder.
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ["MEM0_DIR"] = str(folder)
    return importlib.import_module("aibox.memory.bound")

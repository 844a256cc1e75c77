"""The index of memories: mem0 in worker threads, loaded after the start and told to stay at home."""

import asyncio
import contextlib
import importlib
import itertools
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog
from msgspec import Struct

from aibox.core.errors import NotAvailable
from aibox.core.turn import Turn
from aibox.memory.models import MemoryRow
from aibox.router import ModelRouter
from aibox.stores import Ranked, Vectors

log = structlog.get_logger("aibox.memory")

THREADS = 4
T = TypeVar("T")


class Readable(Struct, frozen=True):
    """What a search may find: the user's own memories, and those of others with one of these visibilities.

    `narrowed` are payload fields that must match besides.
    """

    user: UUID
    shared: tuple[str, ...] = ()
    narrowed: dict[str, Any] = {}

    @property
    def of_others(self) -> dict[str, Any]:
        return {"visibility": list(self.shared), **self.narrowed}


class Asked:
    """What threads wait for. Who stops ends it: then nothing is waited for, what is asked meanwhile neither."""

    def __init__(self) -> None:
        self.futures: set[Future[Any]] = set()
        self._is_over = False
        self._lock = threading.Lock()

    def add(self, future: Future[Any]) -> None:
        with self._lock:
            self.futures.add(future)
            is_over = self._is_over
        if is_over:
            future.cancel()

    def end(self) -> None:
        with self._lock:
            self._is_over = True
            waiting = list(self.futures)
        for future in waiting:
            future.cancel()


class Index:
    """Adds, finds and removes memories by their meaning. All methods may raise what router and vectors raise."""

    def __init__(self, folder: Path, collection: str, *, router: ModelRouter, vectors: Vectors) -> None:
        self.collection = collection
        self._folder = folder
        self._router = router
        self._vectors = vectors
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mem0")
        self._loading: asyncio.Future[Any] | None = None
        self._asked = Asked()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Begin to load mem0, which takes one to two seconds; what comes sooner waits for it."""
        self._loading = asyncio.get_running_loop().run_in_executor(self._threads, _load, self._folder)
        try:
            yield
        finally:
            # A thread that waits for the loop's answer would wait a minute for a loop that has ended.
            self._asked.end()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def add(self, turn: Turn, row: MemoryRow) -> None:
        """Index the row under its own id; again replaces it."""
        metadata = {
            "memory_type": row.memory_type,
            "kind": row.kind,
            "visibility": row.visibility,
            "agent": row.agent_id,
            "session": row.session_id,
            "created_at": row.created_at.isoformat(),
        }
        user = storage_user(turn.tenant, row.user_id)
        memory = (await self._loaded()).bind(
            asyncio.get_running_loop(),
            turn,
            router=self._router,
            vectors=self._vectors,
            collection=self.collection,
            user=user,
            asked=self._asked,
            id=row.id,
        )
        await self._in_thread(
            lambda: memory.add([{"role": "user", "content": row.content}], user_id=user, metadata=metadata, infer=False)
        )

    async def embed(self, turn: Turn, text: str) -> list[float]:
        """The vector of a text. Raises what the router raises."""
        (vector,) = await self._router.embed(turn, [text])
        return vector

    async def nearest(
        self, turn: Turn, who: Readable, vector: Sequence[float], *, limit: int, threshold: float
    ) -> dict[UUID, float]:
        """Ids by cosine similarity, best first: the user's own, and what others share.

        mem0 would ask the same of the same store, from a thread and back: a way that a prompt waits for.
        """
        floor = max(0.0, min(1.0, threshold))
        found = await asyncio.gather(
            *(
                self._vectors.search(turn, self.collection, vector=vector, filter=wanted, limit=limit, threshold=floor)
                for wanted in self._filters(turn, who)
            )
        )
        return {UUID(ranked.id): ranked.score for ranked in sorted(itertools.chain(*found), key=_score, reverse=True)}

    async def having_words(self, turn: Turn, who: Readable, query: str, *, limit: int) -> list[UUID]:
        """Ids of memories that share words with `query`, best first. mem0 only ranks by words what is near already."""
        found = await asyncio.gather(
            *(
                self._vectors.keywords(turn, self.collection, text=query, filter=wanted, limit=limit)
                for wanted in self._filters(turn, who)
            )
        )
        best = sorted(itertools.chain(*found), key=_score, reverse=True)
        return list(dict.fromkeys(UUID(ranked.id) for ranked in best))

    def _filters(self, turn: Turn, who: Readable) -> list[dict[str, Any]]:
        """What a search may look at: the user's own, and besides, where they may, what others share."""
        own = {"user_id": storage_user(turn.tenant, who.user), **who.narrowed}
        return [own, who.of_others] if who.shared else [own]

    async def extract(self, turn: Turn, user: UUID, text: str) -> list[str]:
        """What mem0 and the role `memory` find worth keeping. Raises what the router raises."""
        bound = await self._loaded()
        memory, store = bound.extracting(
            asyncio.get_running_loop(),
            turn,
            router=self._router,
            vectors=self._vectors,
            collection=self.collection,
            user=storage_user(turn.tenant, user),
            asked=self._asked,
        )
        await self._in_thread(lambda: bound.extract(memory, text, storage_user(turn.tenant, user)))
        return list(store.found)

    async def remove(self, turn: Turn, user: UUID, *, id: UUID | None = None) -> None:
        """Remove one memory of the user, or all."""
        scope = {"user_id": storage_user(turn.tenant, user)}
        ids = None if id is None else [str(id)]
        await self._vectors.delete(turn, self.collection, ids=ids, filter=scope)

    async def drop(self) -> None:
        """Remove everyone's, for a rebuild."""
        await self._vectors.drop(self.collection)

    async def _loaded(self) -> Any:
        if self._loading is None:
            raise NotAvailable("Memory is not running.")
        try:
            return await asyncio.shield(self._loading)
        except (ImportError, OSError):
            raise NotAvailable("The memory index could not be loaded.") from None

    async def _in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)


def _score(ranked: Ranked) -> float:
    return ranked.score


def storage_user(tenant: UUID, user: UUID) -> str:
    """mem0's user id. Two UUIDs: never empty, and never the `*` that mem0 takes for everyone."""
    return f"{tenant}:{user}"


def _load(folder: Path) -> Any:
    # mem0 reads its environment while it is imported: no telemetry, and its folder in ours instead of the home folder.
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ["MEM0_DIR"] = str(folder)
    return importlib.import_module("aibox.memory.bound")

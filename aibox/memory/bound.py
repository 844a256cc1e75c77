"""mem0's Memory, bound to one turn: our embedder, our vectors, our scope, and nothing else of its own.

Importing this imports mem0 (1 to 3 seconds, 110 MB), so it happens in a thread, after `index._load` has set its
environment. mem0's methods block: they run in a worker thread, and what they ask of us goes back to the event loop.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from mem0 import Memory
from mem0.configs.base import MemoryConfig
from mem0.embeddings.base import EmbeddingBase
from mem0.utils import spacy_models
from mem0.vector_stores.base import VectorStoreBase
from msgspec import Struct

from aibox.core.turn import Turn
from aibox.router import ModelRouter
from aibox.stores import Hit, Point, Vectors

ANSWER_SECONDS = 60.0
KEPT = ("user_id", "memory_type", "kind", "visibility", "created_at", "updated_at")
"""What of mem0's payload goes beside a vector. The content is the point's text; the rest can be made again."""

T = TypeVar("T")

# Without these mem0 downloads a spaCy model at the first search. It would lemmatise for a keyword search that is ours,
# and find entities for a store of entities that we do not keep.
spacy_models._load_failed_full = True
spacy_models._load_failed_lemma = True


class Ask(Struct, frozen=True):
    """The event loop, seen from a worker thread."""

    loop: asyncio.AbstractEventLoop

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(ANSWER_SECONDS)


class BoundEmbedder(EmbeddingBase):  # type: ignore[misc]
    """mem0's embedder: the router's role `embedding`, in the turn's name."""

    def __init__(self, ask: Ask, turn: Turn, router: ModelRouter) -> None:
        super().__init__()
        self._ask = ask
        self._turn = turn
        self._router = router

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        (vector,) = self._ask(self._router.embed(self._turn, [text]))
        return vector


class Row(Struct, frozen=True):
    """A found point, as mem0 wants it."""

    id: str
    score: float
    payload: dict[str, Any]


class BoundStore(VectorStoreBase):  # type: ignore[misc]
    """mem0's vector store: one collection of our `Vectors`, confined to the turn's tenant and to one storage user.

    mem0 takes any filter, and a user `*` for everyone. Here every filter must name the one user exactly.
    """

    def __init__(self, ask: Ask, turn: Turn, vectors: Vectors, collection: str, user: str, id: UUID | None) -> None:
        self._ask = ask
        self._turn = turn
        self._vectors = vectors
        self._collection = collection
        self._user = user
        self._id = id

    def insert(self, vectors: Sequence[Sequence[float]], payloads: Any = None, ids: Any = None) -> None:
        """Put the one memory whose row was written before; its id is the row's, not the one that mem0 made up."""
        (vector,), (payload,) = vectors, payloads
        if self._id is None or payload.get("user_id") != self._user:
            raise ValueError("a memory of another user, or without a row")
        kept = {name: payload[name] for name in KEPT if name in payload}
        point = Point(id=str(self._id), vector=vector, text=payload["data"], payload=kept)
        self._ask(self._vectors.put(self._turn, self._collection, [point]))

    def search(self, query: str, vectors: Any, top_k: int = 5, filters: Mapping[str, Any] | None = None) -> list[Row]:
        wanted = self._confined(filters)
        found = self._vectors.search(self._turn, self._collection, vector=vectors, filter=wanted, limit=top_k)
        return [_row(hit) for hit in self._ask(found)]

    def list(self, filters: Mapping[str, Any] | None = None, top_k: int | None = None) -> Any:
        wanted = self._confined(filters)
        found = self._vectors.get(self._turn, self._collection, filter=wanted, limit=top_k or 100)
        return [[_row(hit) for hit in self._ask(found)]]

    def get(self, vector_id: str) -> Row | None:
        wanted = {"user_id": self._user}
        found = self._vectors.get(self._turn, self._collection, filter=wanted, limit=1, ids=[vector_id])
        hits = self._ask(found)
        return _row(hits[0]) if hits else None

    def delete(self, vector_id: str) -> None:
        wanted = {"user_id": self._user}
        self._ask(self._vectors.delete(self._turn, self._collection, ids=[vector_id], filter=wanted))

    def update(self, vector_id: str, vector: Any = None, payload: Any = None) -> None:
        raise NotImplementedError("a changed memory is put again, whole")

    def create_col(self, name: str, vector_size: int, distance: str) -> None:
        """Nothing: `Vectors` makes a collection when the first point comes."""

    def list_cols(self) -> Sequence[str]:
        return [self._collection]

    def col_info(self) -> dict[str, Any]:
        return {"name": self._collection}

    def delete_col(self) -> None:
        raise NotImplementedError("one person's memory does not drop everyone's")

    def reset(self) -> None:
        raise NotImplementedError("one person's memory does not drop everyone's")

    def _confined(self, filters: Mapping[str, Any] | None) -> dict[str, Any]:
        wanted = dict(filters or {})
        if wanted.get("user_id") != self._user:
            raise ValueError("a search beyond the turn's own user")
        return wanted


class NoHistory:
    """In place of mem0's SQLite history, where deleted text would stay: ours is in PostgreSQL."""

    def add_history(self, *_: Any, **__: Any) -> None:
        """Nothing."""


class BoundMemory(Memory):  # type: ignore[misc]
    """mem0's Memory for one turn. Its own constructor would make a model client, a SQLite file and a store."""

    def __init__(self, *, embedder: BoundEmbedder, store: BoundStore, collection: str) -> None:
        self.config = _CONFIG
        self.embedding_model = embedder
        self.vector_store = store
        self.llm = None
        self.db = NoHistory()
        self.collection_name = collection
        self.api_version = _CONFIG.version
        self.custom_instructions = None
        self.reranker = None
        self._entity_store = None


_CONFIG = MemoryConfig()


def bind(
    loop: asyncio.AbstractEventLoop,
    turn: Turn,
    *,
    router: ModelRouter,
    vectors: Vectors,
    collection: str,
    user: str,
    id: UUID | None = None,
) -> BoundMemory:
    """mem0 for `turn` and the storage user `user`; `id` is the row that is to be added."""
    ask = Ask(loop)
    return BoundMemory(
        embedder=BoundEmbedder(ask, turn, router),
        store=BoundStore(ask, turn, vectors, collection, user, id),
        collection=collection,
    )


def _row(hit: Hit) -> Row:
    return Row(hit.id, hit.score, {**hit.payload, "data": hit.text})

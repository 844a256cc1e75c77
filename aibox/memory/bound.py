"""mem0's Memory, bound to one turn: our embedder, our vectors, our scope, and nothing else of its own.

Importing this imports mem0 (1 to 3 seconds, 110 MB), so it happens in a thread, after `index._load` has set its
environment. mem0's methods block: they run in a worker thread, and what they ask of us goes back to the event loop.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from mem0 import Memory
from mem0.configs.base import MemoryConfig
from mem0.embeddings.base import EmbeddingBase
from mem0.exceptions import LLMError
from mem0.utils import spacy_models
from mem0.vector_stores.base import VectorStoreBase
from msgspec import Struct

from aibox.core.turn import Turn
from aibox.memory.index import Asked
from aibox.router import BackendMalformed, ModelCall, ModelRouter
from aibox.stores import Hit, Point, Vectors

ANSWER_SECONDS = 60.0
KEPT = ("user_id", "agent", "session", "memory_type", "kind", "visibility", "created_at", "updated_at")
"""What of mem0's payload goes beside a vector. The content is the point's text; the rest can be made again."""

T = TypeVar("T")

logging.getLogger("mem0").setLevel(logging.CRITICAL)  # it logs pieces of memories, and errors that it raises anyway

# Without these mem0 downloads a spaCy model at the first search. It would lemmatise for a keyword search that is ours,
# and find entities for a store of entities that we do not keep.
spacy_models._load_failed_full = True
spacy_models._load_failed_lemma = True


class Ask(Struct, frozen=True):
    """The event loop, seen from a worker thread."""

    loop: asyncio.AbstractEventLoop
    asked: Asked

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises there."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        self.asked.add(future)
        try:
            return future.result(ANSWER_SECONDS)
        finally:
            self.asked.futures.discard(future)


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

    def __init__(
        self,
        ask: Ask,
        turn: Turn,
        vectors: Vectors,
        collection: str,
        user: str,
        id: UUID | None,
    ) -> None:
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
        """The nearest of the user's own: mem0 shows them to the model before it extracts."""
        wanted = self._confined(filters)
        near = self._ask(self._vectors.search(self._turn, self._collection, vector=vectors, filter=wanted, limit=top_k))
        ids = [ranked.id for ranked in near]
        hits = self._ask(self._vectors.get(self._turn, self._collection, filter=wanted, limit=len(ids), ids=ids))
        found = {hit.id: hit for hit in hits}
        return [_row(found[ranked.id], ranked.score) for ranked in near if ranked.id in found]

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


class Extracting(BoundStore):
    """A store that keeps nothing: it takes down what mem0's extraction would add, for rows to be written first."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.found: list[str] = []

    def insert(self, vectors: Sequence[Sequence[float]], payloads: Any = None, ids: Any = None) -> None:
        self.found += [payload["data"] for payload in payloads]


class BoundModel:
    """mem0's language model: the router's role `memory`. mem0 takes an answer that it cannot read for "nothing found";
    here that is an error."""

    def __init__(self, ask: Ask, turn: Turn, router: ModelRouter) -> None:
        self._ask = ask
        self._turn = turn
        self._router = router

    def generate_response(self, messages: Any, response_format: Any = None, **_: Any) -> str:
        body = {"messages": messages, "temperature": 0, "response_format": response_format}
        call = ModelCall(model="memory", body=msgspec.json.encode(body))
        text = self._ask(self._router.complete(self._turn, call)).text
        try:
            return msgspec.json.encode(msgspec.json.decode(text, type=Extraction)).decode()
        except msgspec.DecodeError:
            raise BackendMalformed("The model did not answer with memories.") from None


class Extracted(Struct, frozen=True):
    text: str


class Extraction(Struct, frozen=True):
    """What the model must answer."""

    memory: list[Extracted]


class NoHistory:
    """In place of mem0's SQLite history, where deleted text would stay: ours is in PostgreSQL."""

    def add_history(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def batch_add_history(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def save_messages(self, *_: Any, **__: Any) -> None:
        """Nothing: mem0 would keep the last ten messages of a scope as they were written."""

    def get_last_messages(self, *_: Any, **__: Any) -> list[Any]:
        return []


class BoundMemory(Memory):  # type: ignore[misc]
    """mem0's Memory for one turn. Its own constructor would make a model client, a SQLite file and a store."""

    def __init__(
        self, *, embedder: BoundEmbedder, store: BoundStore, collection: str, model: BoundModel | None = None
    ) -> None:
        self.config = _CONFIG
        self.embedding_model = embedder
        self.vector_store = store
        self.llm = model
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
    asked: Asked,
    id: UUID,
) -> BoundMemory:
    """mem0 for `turn` and the storage user `user`. `id` is the row that is to be added."""
    ask = Ask(loop, asked)
    return BoundMemory(
        embedder=BoundEmbedder(ask, turn, router),
        store=BoundStore(ask, turn, vectors, collection, user, id),
        collection=collection,
    )


def extracting(
    loop: asyncio.AbstractEventLoop,
    turn: Turn,
    *,
    router: ModelRouter,
    vectors: Vectors,
    collection: str,
    user: str,
    asked: Asked,
) -> tuple[BoundMemory, Extracting]:
    """mem0 with a model, and the store that takes down what it finds."""
    ask = Ask(loop, asked)
    store = Extracting(ask, turn, vectors, collection, user, None)
    embedder = BoundEmbedder(ask, turn, router)
    model = BoundModel(ask, turn, router)
    return BoundMemory(embedder=embedder, store=store, collection=collection, model=model), store


def extract(memory: BoundMemory, text: str, user: str) -> None:
    """Let mem0 and its model read `text`. Raises what the router raised, which mem0 wraps."""
    try:
        memory.add([{"role": "user", "content": text}], user_id=user, infer=True)
    except LLMError as error:
        raise error.__cause__ or error from None


def _row(hit: Hit, score: float = 0.0) -> Row:
    return Row(hit.id, score, {**hit.payload, "data": hit.text})

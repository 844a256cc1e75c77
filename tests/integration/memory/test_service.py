"""Memories on a real database, with the real embedder, on both vector backends."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from aibox.core.errors import Conflict, Forbidden, NotFound, ValidationFailed
from aibox.core.turn import Permissions, Principal, Turn, begin
from aibox.guardrail import Settings as GuardrailSettings
from aibox.guardrail.service import GuardrailService
from aibox.memory import Memories, Settings
from aibox.memory.index import Asked, storage_user
from aibox.memory.service import MemoryService
from aibox.router import Answer, BackendUnavailable, ModelCall, ModelStream
from aibox.router.embeddings import Embedder
from aibox.stores import Vectors, VectorsSettings
from aibox.stores.vectors import open_vectors
from aibox.stores.vectors.qdrant import QdrantVectors
from tests.conftest import Kernel


class EmbeddingRouter:
    """A router that only embeds, with the model of the installation; it can be made to fail, or to change its model."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.is_down = False
        self.shortened = 0
        self.asked: list[str] = []

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        if self.is_down:
            raise BackendUnavailable()
        self.asked += texts
        vectors, _ = await self._embedder.embed(texts)
        return [vector[: self.shortened or None] for vector in vectors]

    def stream(self, turn: Turn, call: ModelCall) -> AbstractAsyncContextManager[ModelStream]:
        raise NotImplementedError

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        raise NotImplementedError

    async def is_external(self, turn: Turn, model: str) -> bool:
        return False

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        return []

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        return []


@pytest.fixture
async def router() -> AsyncGenerator[EmbeddingRouter]:
    embedder = Embedder()
    async with embedder.run():
        yield EmbeddingRouter(embedder)


@pytest.fixture(params=["pgvector", "qdrant"])
async def vectors(request: pytest.FixtureRequest, kernel: Kernel) -> AsyncGenerator[Vectors]:
    store: Vectors
    if request.param == "pgvector":
        store = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    else:
        store = QdrantVectors(":memory:")
    async with store.run():
        yield store


def service(kernel: Kernel, vectors: Vectors, router: EmbeddingRouter, **settings: Any) -> MemoryService:
    return MemoryService(
        Settings(**settings),
        kernel.folder / "mem0",
        db=kernel.db,
        connections=kernel.connections,
        log=kernel.log,
        vectors=vectors,
        router=router,
        scrub=GuardrailService(
            GuardrailSettings(timeout_seconds=60.0), db=kernel.db, keys=kernel.keys, log=kernel.log
        ).scrub,
    )


@pytest.fixture
async def memories(kernel: Kernel, vectors: Vectors, router: EmbeddingRouter) -> AsyncGenerator[MemoryService]:
    memory = service(kernel, vectors, router)
    async with memory.run(kernel.tasks):
        yield memory


def user(tenant: UUID | None = None, *, may: frozenset[str] = frozenset()) -> Turn:
    permissions = Permissions(memory=may)
    return begin(
        Principal(kind="user", tenant=tenant or uuid4(), id=uuid4(), pseudonym=f"p-{uuid4()}", permissions=permissions)
    )


def again(turn: Turn) -> Turn:
    """Another turn of the same person."""
    return begin(turn.principal)


async def operations(kernel: Kernel, turn: Turn) -> list[dict[str, Any]]:
    rows = await kernel.connections.system.fetch(
        "SELECT data FROM core.event WHERE turn = $1 AND type = 'memory_op' ORDER BY seq", turn.id
    )
    return [msgspec.json.decode(row["data"])["body"] for row in rows]


async def test_a_stated_preference_is_recalled_for_a_later_question(memories: MemoryService, kernel: Kernel) -> None:
    turn = user()
    assert isinstance(memories, Memories)

    kept = await memories.observe(turn, "Hi! I prefer vegetarian food. What time is it?")
    await memories.observe(turn, "My sister lives abroad. I work for the railway.")
    later = again(turn)
    recalled = await memories.recall(later, "Which dish should I cook for dinner tonight?")

    assert [memory.content for memory in kept] == ["I prefer vegetarian food."]
    assert recalled.memories[0].content == "I prefer vegetarian food."
    assert memories.context(recalled.lines).startswith("<memory-context>\n")
    assert "(preference): I prefer vegetarian food." in memories.context(recalled.lines)
    assert not recalled.degraded
    (operation,) = await operations(kernel, later)
    assert (operation["op"], operation["count"]) == ("recall", len(recalled.memories))


async def test_a_rare_word_is_recalled_though_the_meaning_is_far(
    kernel: Kernel, vectors: Vectors, router: EmbeddingRouter
) -> None:
    turn = user()
    memories = service(kernel, vectors, router, threshold=0.99)
    async with memories.run(kernel.tasks):
        await memories.store(turn, "The staging host is zx81-otter.")
        await memories.store(turn, "The cat is called Minka.")

        found = await memories.search(turn, "status of zx81-otter please")

    assert [memory.content for memory in found] == ["The staging host is zx81-otter."]


async def test_another_users_memory_is_not_found(memories: MemoryService) -> None:
    anna = user()
    ben, stranger = user(anna.tenant), user()
    secret = await memories.store(anna, "I am planning a surprise party for Ben.")

    for other in (ben, stranger):
        assert (await memories.recall(other, "surprise party for Ben")).lines == ()
        assert await memories.search(other, "surprise party") == []
        assert await memories.list(other) == []
        for act in (
            memories.get(other, secret.id),
            memories.history(other, secret.id),
            memories.update(other, secret.id, "x"),
            memories.delete(other, secret.id),
        ):
            with pytest.raises(NotFound):
                await act
        assert await memories.erase(other) == 0
    assert await memories.get(anna, secret.id) == secret


async def test_no_user_id_can_stand_for_everyone(
    memories: MemoryService, vectors: Vectors, router: EmbeddingRouter
) -> None:
    turn = user()
    await memories.store(turn, "I live in Berlin.")
    bound = (await memories._index._loaded()).bind(
        asyncio.get_running_loop(),
        turn,
        router=router,
        vectors=vectors,
        collection="mem0",
        user=storage_user(turn.tenant, turn.principal.id),
        asked=Asked(),
        id=uuid4(),
    )

    for filters in ({"user_id": "*"}, {"agent_id": "x"}, {"user_id": f"{turn.tenant}:*"}, {"run_id": "*"}):
        with pytest.raises(ValueError, match="beyond the turn's own user"):
            await asyncio.to_thread(bound.search, "Berlin", filters=filters)
    with pytest.raises(ValueError, match="beyond the turn's own user"):
        await asyncio.to_thread(bound.delete_all, user_id="*")
    with pytest.raises(ValueError, match="another user"):
        await asyncio.to_thread(bound.add, "I am someone else.", user_id="*", infer=False)
    assert len(await vectors.get(turn, "mem0", filter={}, limit=9)) == 1


async def test_the_same_content_again_is_one_memory(memories: MemoryService) -> None:
    turn = user()

    first = await memories.store(turn, "I live in Berlin.")
    again_ = await memories.store(turn, "  I LIVE in  Berlin. ")

    assert again_.id == first.id
    assert again_.updated_at > first.updated_at
    assert [memory.content for memory in await memories.list(turn)] == ["I live in Berlin."]


async def test_a_changed_memory_is_found_by_what_it_says_now_and_keeps_its_history(memories: MemoryService) -> None:
    turn = user()
    memory = await memories.store(turn, "I live in Berlin.")
    await memories.store(turn, "I own a boat.")

    changed = await memories.update(turn, memory.id, "I live in Lisbon.")

    assert [found.content for found in await memories.search(turn, "Lisbon", limit=1)] == ["I live in Lisbon."]
    assert "I live in Berlin." not in [found.content for found in await memories.search(turn, "Berlin")]
    assert [change.content for change in await memories.history(turn, memory.id)] == [
        "I live in Berlin.",
        "I live in Lisbon.",
    ]
    assert (changed.created_at, changed.id) == (memory.created_at, memory.id)
    with pytest.raises(Conflict):
        await memories.update(turn, memory.id, "I own a boat.")


async def test_a_deleted_memory_leaves_neither_vector_nor_history(
    memories: MemoryService, vectors: Vectors, kernel: Kernel
) -> None:
    turn = user()
    memory = await memories.store(turn, "I live in Berlin.")
    await memories.update(turn, memory.id, "I live in Lisbon.")

    await memories.delete(turn, memory.id)

    with pytest.raises(NotFound):
        await memories.get(turn, memory.id)
    assert await vectors.get(turn, "mem0", filter={}, limit=9) == []
    owner = await asyncpg.connect(kernel.urls.owner)
    assert await owner.fetchval("SELECT count(*) FROM memory.history") == 0
    await owner.close()
    assert not list(kernel.folder.rglob("*.db"))


async def test_erasing_removes_all_of_one_user_only(memories: MemoryService, vectors: Vectors) -> None:
    anna = user()
    ben = user(anna.tenant)
    for turn in (anna, ben):
        await memories.store(turn, "I live in Berlin.")
        await memories.store(turn, "I own a boat.")

    assert await memories.erase(anna) == 2

    assert await memories.list(anna) == []
    assert len(await memories.list(ben)) == 2
    assert len(await vectors.get(ben, "mem0", filter={}, limit=9)) == 2


async def test_without_an_embedder_the_most_recent_are_recalled_and_nothing_stored_is_lost(
    memories: MemoryService, router: EmbeddingRouter
) -> None:
    turn = user()
    await memories.store(turn, "I live in Berlin.")
    router.is_down = True

    kept = await memories.store(turn, "I own a boat.")
    recalled = await memories.recall(turn, "Where do I live?")

    assert recalled.degraded
    assert [memory.content for memory in recalled.memories] == ["I own a boat.", "I live in Berlin."]
    with pytest.raises(BackendUnavailable):
        await memories.search(turn, "boat")
    router.is_down = False
    assert await memories.sweep() == 1
    assert await memories.sweep() == 0
    assert [found.id for found in await memories.search(turn, "something that swims", limit=1)] == [kept.id]


async def test_an_embedder_of_another_size_rebuilds_the_index(
    memories: MemoryService, router: EmbeddingRouter, vectors: Vectors
) -> None:
    turn = user()
    await memories.store(turn, "I live in Berlin.")
    router.shortened = 128

    recalled = await memories.recall(turn, "Berlin")
    await memories.store(turn, "I own a boat.")
    await memories.sweep()

    assert recalled.degraded
    assert [memory.content for memory in recalled.memories] == ["I live in Berlin."]
    assert await vectors.dimension("mem0") == 128
    assert {found.content for found in await memories.search(turn, "Berlin boat")} == {
        "I live in Berlin.",
        "I own a boat.",
    }


async def test_recall_keeps_to_limit_and_budget(kernel: Kernel, vectors: Vectors, router: EmbeddingRouter) -> None:
    turn = user()
    memories = service(kernel, vectors, router, limit=3, token_budget=400, threshold=0.0)
    async with memories.run(kernel.tasks):
        for n in range(6):
            await memories.store(turn, f"I like tea number {n}.")
        await memories.store(turn, "I like tea " + "very " * 400)

        recalled = await memories.recall(turn, "tea")

    assert 2 <= len(recalled.memories) <= 3
    assert len(memories.context(recalled.lines)) < 400 * 3.5


async def test_recall_before_mem0_is_loaded_waits_for_it(
    kernel: Kernel, vectors: Vectors, router: EmbeddingRouter
) -> None:
    turn = user()
    memories = service(kernel, vectors, router)
    async with memories.run(kernel.tasks):
        recalled = await memories.recall(turn, "anything")

    assert not recalled.degraded


async def test_only_who_may_share_makes_a_memory_of_the_team(memories: MemoryService) -> None:
    with pytest.raises(Forbidden):
        await memories.store(user(), "The sprint ends on Friday.", visibility="team")

    shared = await memories.store(user(may=frozenset({"share"})), "The sprint ends on Friday.", visibility="team")

    assert shared.visibility == "team"


@pytest.mark.parametrize("content", ["", "  \n", "\x00", "x" * 8001])
async def test_an_empty_or_too_long_memory_is_refused(memories: MemoryService, content: str) -> None:
    with pytest.raises(ValidationFailed):
        await memories.store(user(), content)


async def test_every_change_is_an_event_of_its_turn_without_the_content(
    memories: MemoryService, kernel: Kernel
) -> None:
    turn = user()
    memory = await memories.store(turn, "I live in Berlin.")
    await memories.update(turn, memory.id, "I live in Lisbon.")
    await memories.delete(turn, memory.id)
    await memories.erase(turn)

    found = await operations(kernel, turn)

    assert [(event["op"], event["count"], event["ids"]) for event in found] == [
        ("store", 1, [str(memory.id)]),
        ("update", 1, [str(memory.id)]),
        ("delete", 1, [str(memory.id)]),
        ("erase", 0, []),
    ]
    assert "Berlin" not in msgspec.json.encode(found).decode()


async def test_pages_follow_each_other_without_gap(memories: MemoryService) -> None:
    turn = user()
    for n in range(5):
        await memories.store(turn, f"I own boat number {n}.")

    first = await memories.list(turn, limit=3)
    second = await memories.list(turn, limit=3, before=first[-1].id)

    assert [memory.content[-2] for memory in (*first, *second)] == list("43210")


async def test_mem0_writes_nothing_into_the_home_folder_and_sends_nothing(
    memories: MemoryService, kernel: Kernel
) -> None:
    await memories.store(user(), "I live in Berlin.")
    from mem0.memory.setup import mem0_dir
    from mem0.memory.telemetry import MEM0_TELEMETRY

    assert MEM0_TELEMETRY is False
    assert os.environ["MEM0_DIR"] == str(kernel.folder / "mem0")
    assert not Path(mem0_dir).is_relative_to(Path.home())


async def test_a_memory_is_kept_without_the_secret_in_it(memories: MemoryService) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    turn = user()
    kept = await memories.store(turn, f"my token is {secret}")
    assert secret not in kept.content
    changed = await memories.update(turn, kept.id, f"my new token is {secret}")
    assert secret not in changed.content

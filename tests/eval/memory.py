"""Memory: whether the evidence for a question is recalled, what prefetch costs, and that nobody sees another's."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from aibox.core.turn import Principal, Turn, begin
from aibox.memory.service import MemoryService
from aibox.router.embeddings import Embedder
from tests.conftest import Kernel
from tests.eval import Figure
from tests.eval._conversations import conversation
from tests.eval._kernel import kernel
from tests.integration.memory.world import WordsRouter, World, memories

PEOPLE, EACH, OPERATIONS = 1000, 100, 10_000
TALKS = 6


def measure(_: Path) -> Iterator[Figure]:
    """No data set: conversations and worlds are made here, the same every time."""
    yield from asyncio.run(_evidence())
    yield asyncio.run(_world())


class LocalRouter(WordsRouter):
    """The installation's own embedder in the role `embedding`; no model."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self._embedder = embedder

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        vectors, _ = await self._embedder.embed(texts)
        return vectors


async def _evidence() -> list[Figure]:
    found: list[bool] = []
    spent: list[float] = []
    async with kernel() as kept, _running(kept) as service:
        for talk in range(TALKS):
            said, questions = conversation(random.Random(talk))
            turn = begin(Principal(kind="user", tenant=uuid4(), id=uuid4(), pseudonym=f"p-{talk}"))
            ids = [(await service.store(turn, line)).id for line in said]
            for question, evidence in questions:
                begun = time.perf_counter()
                recalled = {memory.id for memory in (await service.recall(turn, question)).memories}
                spent.append((time.perf_counter() - begun) * 1000)
                found.append(all(ids[number] in recalled for number in evidence))
    of = f"{len(found)} questions to {TALKS} people"
    return [
        Figure(name="evidence recall@10, no model call", value=sum(found) / len(found), bar=0.70, of=of),
        Figure(name="prefetch, median", value=sorted(spent)[len(spent) // 2], bar=30, at_most=True, unit=" ms", of=of),
    ]


@contextlib.asynccontextmanager
async def _running(kept: Kernel) -> AsyncGenerator[MemoryService]:
    embedder = Embedder()
    async with embedder.run(), memories(kept, LocalRouter(embedder), limit=10) as service:
        yield service


async def _world() -> Figure:
    chance = random.Random(10)
    router: Any = WordsRouter()
    async with kernel() as kept, memories(kept, router) as service:
        world = World(service, chance, PEOPLE)
        for person in world.people:
            await world.fill(begin(person), EACH)
        shown = 0
        for _ in range(OPERATIONS):
            try:
                await world.step()
            except AssertionError as error:
                print(error)
                shown += 1
    of = f"{OPERATIONS} operations of {PEOPLE} people with {EACH} memories each"
    return Figure(name="memories seen outside their scope", value=shown, bar=0, at_most=True, of=of)

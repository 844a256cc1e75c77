"""Memory: whether the evidence for a question is recalled and what prefetch costs."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from aibox.core.turn import Principal, Turn, begin
from aibox.memory.service import MemoryService
from aibox.router.embeddings import Embedder
from tests.conftest import Kernel
from tests.eval import Figure
from tests.eval._conversations import conversation
from tests.eval._kernel import kernel
from tests.integration.memory.world import WordsRouter, memories

TALKS = 6


def measure(_: Path) -> Iterator[Figure]:
    """No data set: conversations are made here, the same every time."""
    yield from asyncio.run(_evidence())


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
    used = 0.0
    async with kernel() as kept, _running(kept) as service:
        for talk in range(TALKS):
            said, questions = conversation(random.Random(talk))
            turn = begin(Principal(kind="user", tenant=uuid4(), id=uuid4(), pseudonym=f"p-{talk}"))
            ids = [(await service.store(turn, line)).id for line in said]
            for question, evidence in questions:
                begun, before = time.perf_counter(), time.process_time()
                recalled = {memory.id for memory in (await service.recall(turn, question)).memories}
                spent.append((time.perf_counter() - begun) * 1000)
                used += time.process_time() - before
                found.append(all(ids[number] in recalled for number in evidence))
    of = f"{len(found)} questions to {TALKS} people"
    return [
        Figure(name="evidence recall@10, no model call", value=sum(found) / len(found), bar=0.70, of=of),
        Figure(name="prefetch, median", value=sorted(spent)[len(spent) // 2], bar=30, at_most=True, unit=" ms", of=of),
        Figure(name="prefetch, quickest", value=min(spent), unit=" ms", of=of),
        Figure(name="prefetch, CPU without PostgreSQL's", value=used / len(found) * 1000, unit=" ms", of=of),
    ]


@contextlib.asynccontextmanager
async def _running(kept: Kernel) -> AsyncGenerator[MemoryService]:
    embedder = Embedder()
    async with embedder.run(), memories(kept, LocalRouter(embedder), limit=10) as service:
        yield service

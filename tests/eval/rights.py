"""The visibility matrix at full size: no passage is seen without the right, and none missed in spite of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from tests.eval import Figure
from tests.eval._house import BACKENDS, running
from tests.integration.knowledge.house import WordRouter
from tests.integration.knowledge.matrix import Matrix

CHANGES = 10_000


def measure(_: Path) -> Iterator[Figure]:
    """No data set: people, documents and changes are made here, the same every time."""
    for seed, backend in enumerate(BACKENDS):
        yield from asyncio.run(_rights(backend, seed))


async def _rights(backend: str, seed: int) -> list[Figure]:
    async with running(backend, WordRouter()) as one:
        tally = await Matrix(one, seed=seed).run(CHANGES // len(BACKENDS))
    of = f"{tally.changes} changes, {tally.questions} questions"
    return [
        Figure(name=f"passages seen without the right, {backend}", value=tally.leaks, bar=0, at_most=True, of=of),
        Figure(
            name=f"passages not found in spite of the right, {backend}", value=tally.denials, bar=0, at_most=True, of=of
        ),
    ]

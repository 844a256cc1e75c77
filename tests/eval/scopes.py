"""Memory at full size: that nobody ever sees a memory outside its scope, look-alike and wildcard ids included."""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

from aibox.core.turn import Principal, begin
from aibox.memory.service import MemoryService
from tests.eval import Figure
from tests.eval._kernel import kernel
from tests.integration.memory.world import WordsRouter, World, memories

PEOPLE, EACH, OPERATIONS = 1000, 100, 10_000
RECALLS = 200


def measure(_: Path) -> Iterator[Figure]:
    """No data set: the world is made here, the same every time."""
    yield from asyncio.run(_world())


async def _world() -> list[Figure]:
    chance = random.Random(10)
    async with kernel() as kept, memories(kept, WordsRouter()) as service:
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
        alone = [one for one in world.people if not one.may("memory.read_team") and not one.may("memory.read_org")]
        spent = [await _recalled(service, chance.choice(alone), chance) for _ in range(RECALLS)]
    of = f"{OPERATIONS} operations of {PEOPLE} people with {EACH} memories each"
    return [
        Figure(name="memories seen outside their scope", value=shown, bar=0, at_most=True, of=of),
        Figure(
            # Of those who read their own alone: the vectors of this world are of a size that has no index of nearness.
            name="prefetch of one's own among all of them, without the embedding, median",
            value=sorted(spent)[RECALLS // 2],
            unit=" ms",
            of=f"{RECALLS} questions, by the clock",
        ),
    ]


async def _recalled(service: MemoryService, who: Principal, chance: random.Random) -> float:
    """Milliseconds that a recall takes."""
    question = f"what is my favourite tea {chance.randrange(20)}"
    begun = time.perf_counter()
    await service.recall(begin(who), question)
    return (time.perf_counter() - begun) * 1000

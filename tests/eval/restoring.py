"""Masking at full size: what is masked comes back as it was, and nothing leaks from a stream, however it is cut."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from aibox.core.turn import Principal, begin
from aibox.guardrail import MASKS, Settings
from aibox.guardrail.engine import Engine
from aibox.guardrail.service import GuardrailService
from tests.eval import Figure
from tests.eval._kernel import kernel
from tests.integration.guardrail.documents import document, leaks, restored

DOCUMENTS = 10_000


def measure(_: Path) -> Iterator[Figure]:
    """No data set: documents are made here, the same every time."""
    engine = Engine()
    engine.find("Anna", MASKS)  # loads both its halves, which takes seconds
    yield from asyncio.run(_restoring(engine))


async def _restoring(engine: Engine) -> list[Figure]:
    chance = random.Random(6)
    async with kernel() as kept:
        guardrail = GuardrailService(
            Settings(timeout_seconds=60), db=kept.db, keys=kept.keys, log=kept.log, engine=engine
        )
        turn = begin(Principal(kind="user", tenant=uuid4(), id=uuid4(), pseudonym="p-eval"))
        same = 0
        for _ in range(DOCUMENTS):
            text = document(chance)
            same += await restored(guardrail, turn, text) == text
        leaked = await leaks(guardrail, turn, chance, DOCUMENTS)
    of = f"{DOCUMENTS} at random"
    return [
        Figure(name="documents restored as they were", value=same, bar=DOCUMENTS, of=of),
        Figure(name="streamed secrets that leaked", value=leaked, bar=0, at_most=True, of=of),
    ]

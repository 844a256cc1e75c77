"""A schedule: one request, and how each provider behaves each time it is asked. Made from a seed and a number alone."""

import random
from typing import Literal

from msgspec import Struct

MODELS = ("alpha", "beta", "gamma")
"""The models of the role `default` in order, each at a provider of its own."""

GOOD = ("ok", "text", "no-done", "usage-less", "huge-usage", "negative-usage", "late-60")
"""How a provider behaves that gives the whole answer, however oddly."""

BAD = {
    "500": 6,
    "503": 3,
    "429": 4,
    "429-after-1": 2,
    "503-date-1": 1,
    "429-after-60": 1,
    "400": 2,
    "401": 1,
    "402": 1,
    "404": 2,
    "408": 1,
    "418": 1,
    "html": 2,
    "redirect": 2,
    "no-content": 1,
    "gzip": 1,
    "hang-up": 4,
    "no-http": 2,
    "page-as-stream": 2,
    "not-utf8": 2,
    "giant-line": 0.2,
    "cut": 5,
    "reset": 5,
    "garbage": 3,
    "empty": 3,
    "error-event": 4,
    "error-first": 2,
    "unfinished": 3,
    "json": 2,
    "silent": 2,
    "stall": 3,
    "slow": 2,
    "late-600": 2,
}
"""Every other behaviour, with its weight."""

TRIES = 3

Dialect = Literal["chat", "responses", "messages"]


class Schedule(Struct, frozen=True):
    """`plays`: by model, its behaviour at each try; `leaves_after`: when the client goes away, None if it stays."""

    number: int
    dialect: Dialect
    stream: bool
    model: str
    plays: dict[str, tuple[str, ...]]
    leaves_after: float | None


def schedule(seed: int, number: int) -> Schedule:
    """The schedule `number` of `seed`, the same each time."""
    chance = random.Random(f"{seed} {number}")
    return Schedule(
        number=number,
        dialect=chance.choice(("chat", "chat", "responses", "messages")),
        stream=chance.random() < 0.5,
        model="default" if chance.random() < 0.7 else chance.choice(MODELS),
        plays={model: tuple(_play(chance) for _ in range(TRIES)) for model in MODELS},
        leaves_after=chance.uniform(0.0, 0.5) if chance.random() < 0.1 else None,
    )


def _play(chance: random.Random) -> str:
    if chance.random() < 0.35:
        return chance.choice(GOOD)
    return chance.choices(list(BAD), list(BAD.values()))[0]

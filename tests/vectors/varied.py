"""Valid receipts of every kind, from a seed: logs and turns of all sizes, with and without what a receipt may carry."""

import random
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from aibox.audit.notes import Cosigner, Signer
from aibox.core.events import Artifact
from tests.vectors import make
from tests.vectors.make import Before, Case, Fields, Late, Stone


# Not the signers of the frozen receipts, which remember what they signed.
def signer(origin: str) -> Signer:
    return Signer.derive(origin, make.seed("varied ed25519"), make.seed("varied ml-dsa-44"))


SIGNER = signer(make.ORIGIN)
WITNESSES = [
    Cosigner(
        f"witness.example/{name}",
        Ed25519PrivateKey.from_private_bytes(make.seed(f"varied {name} ed25519")),
        MLDSA44PrivateKey.from_seed_bytes(make.seed(f"varied {name} ml-dsa-44")),
    )
    for name in ("x", "y", "z")
]
KINDS = ("prompt_generated", "model_invoked", "model_response", "tool_called", "tool_returned", "memory_op")
OUTCOMES = ("sealed", "failed", "denied", "abandoned")


def varied(*, seed: int, count: int) -> Iterator[bytes]:
    """`count` valid receipts."""
    chance = random.Random(seed)
    for _ in range(count):
        yield case(chance).build()


def case(chance: random.Random) -> Case:
    """A turn, a log around it, and a choice of what its receipt shows."""
    events = turn(chance)
    arts = [(place, number) for place, one in enumerate(events) for number in range(len(one["arts"]))]
    withheld = [place for place in range(len(events)) if chance.random() < 0.2]
    shown = [(place, number) for place, number in arts if place not in withheld]
    erased = [one for one in shown if chance.random() < 0.2]
    before_key, between, after = (chance.choice([0, 0, 1, 2, 3, 7, 30, chance.randrange(200)]) for _ in range(3))
    stones = [Stone(arts=erased, others=chance.choice([0, 1, 2, 9, 40]))] if erased else []
    late = [
        Late(count=chance.choice([1, 1, 2, 7]), skipped=chance.choice([0, 0, 3]))
        for _ in range(chance.choice([0, 0, 0, 1, 3]))
    ]
    before = previous(chance) if before_key == 0 and chance.random() < 0.3 else None
    size = before_key + 1 + bool(before) + between + 1 + len(stones) + len(late) + after
    outcome = chance.choice(OUTCOMES)
    return Case(
        events=events,
        signer=SIGNER,
        witnesses=chance.sample(WITNESSES, chance.choice([0, 0, 1, 2, 3])),
        older=chance.choice([None, chance.randrange(1, size)]),
        stones=stones,
        late=late,
        before=before,
        withheld=withheld,
        openings=[
            make.opening(place, number, content(place, number)) for place, number in shown if chance.random() < 0.5
        ],
        outcome=outcome,  # type: ignore[arg-type]  # one of OUTCOMES
        before_key=before_key,
        between=between,
        after=after,
        at=chance.randrange(1, 4_000_000_000),
        cosigned_at=chance.randrange(1, 4_000_000_000),
    )


def previous(chance: random.Random) -> Before:
    """The log of the year before, of any size."""
    entries = chance.choice([1, 2, 3, 8, 30, chance.randrange(1, 200)])
    older = chance.randrange(1, entries) if entries > 1 and chance.random() < 0.5 else None
    return Before(entries=entries, older=older, at=chance.randrange(1, 4_000_000_000), by=signer)


def turn(chance: random.Random) -> list[Fields]:
    """From turn_started to turn_sealed, with up to 20 events between, bodies and artifacts of all sizes."""
    name = make.uuid7(f"varied {chance.random()}")
    kinds = ["turn_started", *chance.choices(KINDS, k=chance.choice([0, 1, 2, 5, 20])), "turn_sealed"]
    return [
        make.event(
            name,
            seq,
            kind,
            {f"k{number}": value(chance) for number in range(chance.randrange(4))},
            [content(seq, number) for number in range(chance.choice([0, 0, 1, 2]))],
        )
        for seq, kind in enumerate(kinds)
    ]


def content(place: int, number: int) -> Artifact:
    """The artifact at this place of any turn: its salt and its text go with the place."""
    return make.art(f"varied {place} {number}", "ä" * (place * 37) + "x" * number)


def value(chance: random.Random) -> object:
    """What may stand in a body."""
    return chance.choice(
        [
            None,
            True,
            0,
            -(2**53) + 1,
            2**53 - 1,
            chance.randrange(10**6),
            "",
            make.ROMAN,
            "".join(chance.choices('aä€𝄞\\"\n\u2028', k=chance.randrange(40))),
            [],
            [1, "two", {"three": None}],
            {},
            {"": {"b": [], "a": 1}},
        ]
    )

"""Random documents full of personal data, and what becomes of them: for the property tests, short and long."""

import itertools
import random
from uuid import uuid4

from aibox.core.turn import Turn
from aibox.guardrail import Guardrail
from tests.eval._secrets import secrets_in_texts

NAMES = ("Anna Lee", "Jürgen Schmidt", "Mr. O'Neil", "Zoë Müller-Lüdenscheidt", "Сергей Иванов", "Nguyễn Văn An")
PIECES = (
    "anna.lee@example.com",
    "ops@build.internal",
    "+49 30 901820",
    "(415) 555-2671",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "123-45-6789",
    "12345678Z",
    "10.20.30.40",
    "2001:db8::1",
    "12 Baker Street, London",
    "Hauptstraße 7, 10115 Berlin",
    "<EMAIL_ADDRESS_1>",
    "<PERSON_2>",
    "<LITERAL_1>",
    "<EMAIL_ADDRESS_99> <",
    "<US_SSN_",
    '{"key": "a \\" b"}',
    "\x00\ufeff",
    "😀 ä 中文",
    "\n\n",
    "<b>&amp;</b>",
    "plain words in between.",
    *NAMES,
)


def document(chance: random.Random) -> str:
    """Up to forty pieces, glued or apart."""
    return chance.choice(("", " ", " ", "\n", ", ")).join(chance.choices(PIECES, k=chance.randint(0, 40)))


async def restored(guardrail: Guardrail, turn: Turn, text: str) -> str:
    """`text` de-identified and given back."""
    conversation = uuid4()
    hidden = await guardrail.deidentify(turn, text, conversation=conversation)
    return await guardrail.reidentify(turn, hidden.content, conversation=conversation)


async def leaks(guardrail: Guardrail, turn: Turn, chance: random.Random, count: int) -> int:
    """How many of `count` secrets show more than a few characters of themselves in a stream cut at random."""
    leaked = 0
    for _, text, secret in secrets_in_texts(count):
        words = "All is well. " * chance.randint(0, 12)
        said = f"{words}{text} {words}"
        cuts = sorted({0, len(said), *(chance.randrange(len(said) + 1) for _ in range(chance.randint(0, 30)))})
        stream = guardrail.output(turn)
        shown = "".join([await stream.push(said[a:b]) for a, b in itertools.pairwise(cuts)]) + await stream.close()
        middle = secret[len(secret) // 3 : len(secret) // 3 + 12]
        leaked += middle in shown
    return leaked

"""Abuse: how much of RealToxicityPrompts the scanner's patterns report, and how many benign texts they hit.

The set has no bar: its texts are beginnings of sentences, most of them harmless themselves.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from aibox.guardrail.abuse import ABUSE
from aibox.guardrail.rules import judge
from tests.eval import Figure, need
from tests.eval._injection_sets import chats, pii_texts

KINDS = ("threat", "severe_toxicity", "identity_attack", "insult", "profanity", "sexually_explicit")


def measure(data: Path) -> Iterator[Figure]:
    """The set is read from `data/toxicity`, a file for each kind."""
    for kind in KINDS:
        texts = need(data / "toxicity" / f"rtp_{kind}.txt").read_text().splitlines()
        yield _share(f"RealToxicityPrompts, {kind.replace('_', ' ')}: reported", texts)
    yield _share("recorded chats, reported", chats(data), bar=0.01)
    yield _share("presidio-research's texts, reported", pii_texts(data), bar=0.01)


def _share(name: str, texts: Sequence[str], *, bar: float | None = None) -> Figure:
    found = sum(judge("toxicity", ABUSE, text) is not None for text in texts)
    return Figure(name=name, value=found / len(texts), bar=bar, at_most=True, of=f"{len(texts)} texts")

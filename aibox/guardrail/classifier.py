"""A linear model of what prompt injections are made of: words, word pairs and triples, and pieces of words, hashed.

It was trained by `tests/eval/_train_injection.py`; `injection.json` beside this file holds its weights and says on
what. It only ever flags: alone it is not sure enough to block (docs/guardrail.md has its figures).
"""

import base64
import functools
import itertools
import math
import re
import zlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec
from msgspec import Struct

from aibox.guardrail import Finding
from aibox.guardrail.rules import BLOCKING_RISK, FLAGGING_RISK, fold

BITS = 16
BUCKETS = 1 << BITS
WINDOW = 800
"""Characters of a long text that are looked at together: an attack hidden in a page would be thinned out by it."""
STEP = 400
WINDOWS = 64
"""Most windows of one text; a longer one has its windows spread over it."""

_WORDS = re.compile(r"\w+|[^\w\s]+")


class Weights(Struct, frozen=True):
    """The stored model: `weights` is base85 of deflated signed bytes, one a bucket, to be multiplied by `scale`."""

    about: str
    scale: float
    bias: float
    threshold: float
    weights: str


class Model(Struct, frozen=True):
    """The model at work."""

    weights: Any
    """A NumPy array of a float for each bucket."""
    bias: float
    threshold: float

    def score(self, text: str) -> float:
        """The log-odds of an attack, the highest of the text's windows."""
        return max(self._score(window) for window in windows(fold(text)))

    def _score(self, folded: str) -> float:
        found = list(buckets(folded))
        return self.bias + float(self.weights[found].sum()) / math.sqrt(max(len(found), 1))


@functools.cache
def model() -> Model:
    """The model that comes with AIBox."""
    import numpy as np  # noqa: PLC0415 - 11 MB that an idle server does without

    stored = msgspec.json.decode(
        resources.files("aibox.guardrail").joinpath("injection.json").read_bytes(), type=Weights
    )
    raw = zlib.decompress(base64.b85decode(stored.weights))
    weights = np.frombuffer(raw, dtype=np.int8).astype(np.float64) * stored.scale
    return Model(weights, stored.bias, stored.threshold)


def classify(text: str) -> Finding | None:
    """A flag when the model takes `text` for an attack. Its risk begins where flags do and stays below what blocks."""
    if not text.strip():
        return None
    beyond = model().score(text) - model().threshold
    if beyond < 0:
        return None
    risk = min(BLOCKING_RISK - 1, FLAGGING_RISK + round(3 * beyond))
    return Finding(scanner="prompt_injection", is_safe=True, risk=risk, detail="classifier")


def windows(folded: str) -> Iterator[str]:
    """A short text whole, a long one in overlapping pieces."""
    if len(folded) <= WINDOW:
        yield folded
        return
    starts = range(0, len(folded) - WINDOW + STEP, STEP)
    stride = math.ceil(len(starts) / WINDOWS)
    for start in starts[::stride]:
        yield folded[start : start + WINDOW]


def buckets(folded: str) -> set[int]:
    """The features of a folded text, each as the number of its bucket."""
    words = _WORDS.findall(folded)
    found: set[int] = set()
    for word in set(words):
        found |= _of_word(word)
    for size in (2, 3):
        grams = zip(*(itertools.islice(words, n, None) for n in range(size)), strict=False)
        found.update(_bucket(b"n" + " ".join(gram).encode()) for gram in grams)
    return found


@functools.lru_cache(20_000)
def _of_word(word: str) -> frozenset[int]:
    """The word itself and its pieces of 3 to 5 bytes."""
    piece = f" {word} ".encode()
    pieces = (piece[at : at + size] for size in (3, 4, 5) for at in range(len(piece) - size + 1))
    return frozenset((_bucket(b"w" + word.encode()), *map(_bucket, pieces)))


def _bucket(feature: bytes) -> int:
    return zlib.crc32(feature) & (BUCKETS - 1)

"""The words of a text as a sparse vector, for the keyword search of every backend: BM25 without a second library.

A document's weight for a word is BM25's saturated, length-normalised frequency (Robertson and Zaragoza, 2009); a
query's is how often it says the word. The rarity (IDF) comes from the backend, which knows its own texts.
"""

import functools
import hashlib
import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import snowballstemmer

SATURATION = 1.2
"""BM25's k1: how soon a repeated word stops counting."""

LENGTH = 0.75
"""BM25's b: how much a long text is held against its words."""

AVERAGE_WORDS = 100.0
"""What a usual text has without stop words. A constant: the true average would change all weights with each text."""

MOST_WORDS = 2000
"""A longer text is known by its first words; sixteen thousand is what a sparse vector of pgvector can hold."""

DIMENSION = 10**9
"""Words are numbered from 1 to this, the largest sparse vector of pgvector."""

_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = (
    "a about am an and are as at be been but by can could did do does for from had has have he her him his how i if in"
    " into is it its just me my no not of on or our she should so some than that the their them then there these they"
    " this to too up us was we were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())


def document(text: str) -> dict[int, float]:
    """The weights of a text's words by their hash, in the order of the hashes; empty without words."""
    counts = _counts(text)
    norm = 1 - LENGTH + LENGTH * sum(counts.values()) / AVERAGE_WORDS
    return {index: count * (SATURATION + 1) / (count + SATURATION * norm) for index, count in _first(counts)}


def query(text: str) -> dict[int, float]:
    """How often each word stands in a question, by its hash."""
    return {index: float(count) for index, count in _first(_counts(text))}


def salted(tenant: UUID, collection: str, words: Iterable[int]) -> list[int]:
    """Numbers (32 bits, signed) of these words in one tenant's collection: an index of them meets no other's texts."""
    salt = hashlib.blake2b(tenant.bytes + collection.encode(), digest_size=16).digest()
    return [
        int.from_bytes(hashlib.blake2b(word.to_bytes(4), digest_size=4, key=salt).digest(), signed=True)
        for word in words
    ]


def sparsevec(weights: Mapping[int, float]) -> str:
    """`weights` as pgvector writes a sparse vector."""
    return "{" + ",".join(f"{index}:{weight:.5g}" for index, weight in weights.items()) + f"}}/{DIMENSION}"


def _counts(text: str) -> Counter[int]:
    return Counter(_index(word) for word in _WORD.findall(text.casefold()) if word not in STOP_WORDS)


def _first(counts: Counter[int]) -> list[tuple[int, int]]:
    return sorted(itertools.islice(counts.items(), MOST_WORDS))


@functools.lru_cache(65_536)
def _index(word: str) -> int:
    """A hash of the word's stem. English stems; words of other languages lose an ending on both sides alike."""
    stem = _stemmer.english.stemWord(word).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(stem, digest_size=4).digest()) % DIMENSION + 1


class _Stemmer(threading.local):
    """A stemmer keeps the word it works on, so each thread has its own."""

    def __init__(self) -> None:
        self.english = snowballstemmer.stemmer("english")


_stemmer = _Stemmer()

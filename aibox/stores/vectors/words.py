"""The words of a text as a sparse vector, for the keyword search of a store that has no full text of its own."""

import hashlib
import re
from collections import Counter

_WORD = re.compile(r"\w+")
SATURATION = 1.2
"""BM25's k1: how soon a repeated word stops counting."""

_STOP_WORDS = (
    "a about am an and are as at be been but by can could did do does for from had has have he her him his how i if in"
    " into is it its just me my no not of on or our she should so some than that the their them then there these they"
    " this to too up us was we were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())


def sparse(text: str) -> tuple[list[int], list[float]]:
    """Indices (a 32-bit hash of each word) and weights, in the order of the indices; both empty without words."""
    counts = Counter(word for word in _WORD.findall(text.casefold()) if word not in STOP_WORDS)
    weights: dict[int, float] = {}
    for word, count in counts.items():
        index = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=4).digest())
        weights[index] = weights.get(index, 0.0) + count * (SATURATION + 1) / (count + SATURATION)
    return sorted(weights), [weights[index] for index in sorted(weights)]

"""Rocchio's feedback on vectors: the question moves towards what the best passages mean (Li et al., 2021).

It imports NumPy, so the first search imports it, in a thread.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PASSAGES = 5
WEIGHT = 0.5
"""The mean of the best passages' vectors is added to the question's with this weight."""


def compare(question: Sequence[float], passages: Sequence[Sequence[float]]) -> tuple[list[float], list[int]]:
    """The cosine similarity of each passage with the question, and the passages' places, best first, as the moved
    question has them. `passages` come in the order of a first look, the best first.
    """
    found = _unit(np.array(passages, dtype=np.float32))
    asked = _unit(np.array([question], dtype=np.float32))[0]
    # Among few passages the best say nothing about the question: their mean is the collection's.
    best = found[: min(PASSAGES, len(found) // 10)]
    moved = asked + WEIGHT * best.mean(axis=0) if len(best) else asked
    return (found @ asked).tolist(), np.argsort(-(found @ moved), kind="stable").tolist()


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)

"""The RFC 9162 (RFC 6962) Merkle tree of a log: roots and proofs for any size it ever had.

A tree is stored as its *nodes*: the hash of every perfect subtree, under the coordinate (level, index) that
covers the leaves [index << level, (index + 1) << level). A node never changes, so a proof for any size up
to today's is a plan, a list of coordinates, that a store answers in one query: about log2(n) hashes for n
leaves.

A last leaf without a partner is promoted, never paired with itself (two trees would share one root).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

EMPTY = hashlib.sha256(b"").digest()

Coordinate = tuple[int, int]
"""(level, index) of a perfect subtree."""

Span = tuple[Coordinate, ...]
"""The perfect subtrees, left to right, that together are one hash of a proof."""


class Node(msgspec.Struct, frozen=True):
    """The hash of a perfect subtree."""

    level: int
    index: int
    hash: bytes


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 §2.1.1: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes; SHA-256 of nothing when there are none."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """The right edge of a tree: enough to append to it and to know its root, in O(log n) memory."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """A tree of `size` leaves whose `root_span(size)` has these hashes."""
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> list[Node]:
        """Add a leaf hash, and return the nodes that are now complete: the leaf itself first."""
        made = [Node(0, self.size, leaf)]
        while self.size >> made[-1].level & 1:
            last = made[-1]
            made.append(Node(last.level + 1, last.index >> 1, node_hash(self.peaks.pop(), last.hash)))
        self.peaks.append(made[-1].hash)
        self.size += 1
        return made

    def root(self) -> bytes:
        return fold(self.peaks)


def fold(peaks: Sequence[bytes]) -> bytes:
    """One hash for adjacent perfect subtrees of falling size, given left to right."""
    if not peaks:
        return EMPTY
    *rest, result = peaks
    for peak in reversed(rest):
        result = node_hash(peak, result)
    return result


def root_span(size: int) -> Span:
    """The subtrees whose fold is the root of the first `size` leaves."""
    return _cover(0, size)


def inclusion_plan(index: int, size: int) -> list[Span]:
    """The spans of the proof that leaf `index` is in the tree of `size` leaves, in proof order (§2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    plan: list[Span] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            plan.append(_cover(middle, end))
            end = middle
        else:
            plan.append(_cover(begin, middle))
            begin = middle
    return plan[::-1]


def consistency_plan(old: int, new: int) -> list[Span]:
    """The spans of the proof that `old` leaves are a prefix of `new` leaves, in proof order (§2.1.4.1)."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new}")
    plan: list[Span] = []
    begin, end, whole = 0, new, True
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            plan.append(_cover(middle, end))
            end = middle
        else:
            plan.append(_cover(begin, middle))
            begin, whole = middle, False
    if not whole:
        plan.append(_cover(begin, end))
    return plan[::-1]


def answer(plan: Sequence[Span], nodes: Mapping[Coordinate, bytes]) -> list[bytes]:
    """The proof: each span folded from stored nodes. A missing node is a KeyError: the store is broken."""
    return [fold([nodes[coordinate] for coordinate in span]) for span in plan]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """RFC 9162 §2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            result = node_hash(sibling, result)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and result == expected


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """RFC 9162 §2.1.4.2. Any tree is consistent with the empty one, and only with an empty proof."""
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY and new > 0
    if not 0 < old < new or not path:
        return False
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class Tree:
    """A whole tree in memory, 64 bytes a leaf: one bytearray of node hashes a level."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._frontier = Frontier()
        self._levels: list[bytearray] = []
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        return self._frontier.size

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        for node in self._frontier.append(leaf):
            if node.level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[node.level] += node.hash

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves, of all when None."""
        return self._fold(root_span(self._known(self.size if size is None else size)))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that leaf `index` is in the tree of the first `size` leaves."""
        size = self._known(self.size if size is None else size)
        return [self._fold(span) for span in inclusion_plan(index, size)]

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the first `old` leaves are a prefix of the first `new`."""
        return [self._fold(span) for span in consistency_plan(old, self._known(self.size if new is None else new))]

    def _known(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise ValueError(f"this tree has {self.size} leaves, not {size}")
        return size

    def _fold(self, span: Span) -> bytes:
        return fold([bytes(self._levels[level][32 * index : 32 * index + 32]) for level, index in span])


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (> 1)."""
    return 1 << (size - 1).bit_length() - 1


def _cover(begin: int, end: int) -> Span:
    """The perfect subtrees over leaves [begin, end), where begin is a multiple of the largest of them."""
    span: list[Coordinate] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        span.append((level, begin >> level))
        begin += 1 << level
    return tuple(span)

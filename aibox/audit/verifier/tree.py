"""The RFC 9162 Merkle tree: its hashes, its root, and its two proofs, each as the recursive definition reads."""

import hashlib
from collections.abc import Iterable


def leaf_hash(data: bytes) -> bytes:
    """A leaf and a node never share a hash."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root over one or more leaf hashes. A last one without a partner moves up as it is; it is never doubled."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [node_hash(*pair) if len(pair) == 2 else pair.pop() for pair in pairs]
    return level.pop()


def climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that `path` leads to from leaf `index` of `size` (§2.1.3); None if it is no path."""
    if size == 1 or not path:
        return leaf if size == 1 and not path else None
    split = _split(size)
    right = index >= split
    below = climb(leaf, index - split if right else index, size - split if right else split, path[:-1])
    return below and (node_hash(path[-1], below) if right else node_hash(below, path[-1]))


def extend(root: bytes | None, old: int, new: int, path: list[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of the first `old` and of all `new` leaves that a consistency path states (§2.1.4); None if it is none.

    `root` is the root of the `old` leaves, which is not in the path as long as they are one whole subtree.
    """
    if old == new:
        whole = path if root is None else [root, *path]
        return (whole[0], whole[0]) if len(whole) == 1 else None
    if not path:
        return None
    split, last = _split(new), path[-1]
    if old <= split:
        below = extend(root, old, split, path[:-1])
        return below and (below[0], node_hash(below[1], last))
    below = extend(None, old - split, new - split, path[:-1])
    return below and (node_hash(last, below[0]), node_hash(last, below[1]))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1

"""The tree of a log, checked against a naive reading of RFC 9162 and the published reference hashes."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.audit import merkle, verifier
from aibox.audit.merkle import Frontier, Node, Tree
from aibox.core.events import leaf_hash

REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves of the Certificate Transparency reference tests."""

LARGEST = 200
LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(LARGEST)]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 §2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162 §2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162 §2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def test_the_reference_leaves_have_the_published_roots() -> None:
    hashes = [leaf_hash(leaf) for leaf in REFERENCE_LEAVES]

    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(hashes[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(hashes).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_every_root_up_to_200_leaves_is_the_naive_one() -> None:
    tree = Tree(LEAVES)

    for size in range(LARGEST + 1):
        assert tree.root(size) == merkle.root(LEAVES[:size]) == naive_root(LEAVES[:size])


def test_every_inclusion_proof_up_to_200_leaves_is_the_naive_one_and_holds() -> None:
    tree = Tree(LEAVES)

    for size in range(1, LARGEST + 1):
        root = tree.root(size)
        for index in range(size):
            path = tree.inclusion(index, size)
            assert path == naive_path(index, LEAVES[:size]) or size > 64  # the naive one is cubic in total
            assert merkle.verify_inclusion(LEAVES[index], index, size, path, root)
            assert verifier.climb(LEAVES[index], index, size, path) == root


def test_every_consistency_proof_up_to_200_leaves_is_the_naive_one_and_holds() -> None:
    tree = Tree(LEAVES)
    roots = [tree.root(size) for size in range(LARGEST + 1)]

    for new in range(1, LARGEST + 1):
        for old in range(1, new + 1):
            proof = tree.consistency(old, new)
            assert proof == naive_proof(old, LEAVES[:new]) or new > 64
            assert merkle.verify_consistency(old, new, proof, roots[old], roots[new])


def test_the_naive_proofs_of_the_largest_tree_are_those_of_the_tree() -> None:
    tree = Tree(LEAVES)

    for place in range(1, LARGEST + 1):
        assert tree.consistency(place) == naive_proof(place, LEAVES)
        assert tree.inclusion(place - 1) == naive_path(place - 1, LEAVES)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (3, 5), (4, 5), (6, 7), (99, 200), (199, 200)])
def test_an_inclusion_proof_bent_in_any_way_fails(index: int, size: int) -> None:
    tree = Tree(LEAVES)
    path, root, leaf = tree.inclusion(index, size), tree.root(size), LEAVES[index]
    wrong = bytes(32)
    bent = [
        (leaf, index, size, [*path, wrong]),
        (wrong, index, size, path),
        (leaf, size, size, path),
        (leaf, -1, size, path),
        *[(leaf, index, size, [*path[:at], wrong, *path[at + 1 :]]) for at in range(len(path))],
        *[(leaf, index, size, path[:at]) for at in range(len(path))],
        *[(leaf, other, size, path) for other in range(size) if other != index],
    ]

    for leaf_, index_, size_, path_ in bent:
        assert not merkle.verify_inclusion(leaf_, index_, size_, path_, root)
        if 0 <= index_ < size_:
            assert verifier.climb(leaf_, index_, size_, path_) != root


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (4, 8), (6, 8), (64, 200), (199, 200)])
def test_a_consistency_proof_bent_in_any_way_fails(old: int, new: int) -> None:
    tree = Tree(LEAVES)
    proof, before, after = tree.consistency(old, new), tree.root(old), tree.root(new)
    wrong = bytes(32)
    bent = [
        (old, new, [*proof, wrong], before, after),
        (old, new, proof, wrong, after),
        (old, new, proof, before, wrong),
        (new, old, proof, after, before),
        (old, old, proof, before, before),
        (old, new, [], before, after),
        *[(old, new, [*proof[:at], wrong, *proof[at + 1 :]], before, after) for at in range(len(proof))],
    ]

    for arguments in bent:
        assert not merkle.verify_consistency(*arguments)


def test_the_empty_tree_is_a_prefix_of_all_with_an_empty_proof_only() -> None:
    root = naive_root(LEAVES[:3])

    assert merkle.verify_consistency(0, 3, [], merkle.EMPTY, root)
    assert not merkle.verify_consistency(0, 3, [root], merkle.EMPTY, root)
    assert not merkle.verify_consistency(0, 3, [], root, root)


def test_a_rewritten_history_has_no_consistency_proof() -> None:
    honest, rewritten = Tree(LEAVES[:90]), Tree([*LEAVES[:40], bytes(32), *LEAVES[41:100]])

    proof = rewritten.consistency(90, 100)

    assert not merkle.verify_consistency(90, 100, proof, honest.root(), rewritten.root())


@given(st.integers(0, 150), st.integers(0, 50))
def test_a_frontier_restored_from_stored_nodes_grows_like_one_that_never_stopped(first: int, more: int) -> None:
    stored: dict[merkle.Coordinate, bytes] = {}
    running = Frontier()
    for leaf in LEAVES[:first]:
        stored |= {(node.level, node.index): node.hash for node in running.append(leaf)}

    restored = Frontier(first, [stored[place] for place in merkle.root_span(first)])
    for leaf in LEAVES[first : first + more]:
        assert restored.append(leaf) == running.append(leaf)

    assert restored.root() == running.root() == naive_root(LEAVES[: first + more])


def test_each_node_is_written_once_and_proofs_come_from_stored_nodes_alone() -> None:
    frontier, made = Frontier(), list[Node]()
    for leaf in LEAVES[:77]:
        made += frontier.append(leaf)
    stored = {(node.level, node.index): node.hash for node in made}

    assert len(stored) == len(made)
    path = merkle.answer(merkle.inclusion_plan(50, 77), stored)
    assert merkle.verify_inclusion(LEAVES[50], 50, 77, path, frontier.root())
    proof = merkle.answer(merkle.consistency_plan(50, 77), stored)
    assert merkle.verify_consistency(50, 77, proof, naive_root(LEAVES[:50]), frontier.root())


def test_proofs_of_a_million_leaves_read_a_few_dozen_nodes() -> None:
    plans = [merkle.inclusion_plan(765_432, 1_000_000), merkle.consistency_plan(765_432, 1_000_000)]

    for plan in plans:
        assert len(plan) <= 21
        assert len(list(itertools.chain.from_iterable(plan))) <= 40


def test_a_leaf_or_a_size_that_does_not_exist_is_refused() -> None:
    tree = Tree(LEAVES[:3])

    for ask in (
        lambda: tree.inclusion(3),
        lambda: tree.root(4),
        lambda: tree.consistency(0),
        lambda: tree.consistency(4),
    ):
        with pytest.raises(ValueError, match=r"tree|proof"):
            ask()

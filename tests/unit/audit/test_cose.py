"""COSE receipts, read by another implementation of CBOR and verified as RFC 9942 says."""

from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aibox.audit import cose, merkle, verifier
from aibox.audit.cose import Value

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TREE = merkle.Tree(verifier.leaf_hash(bytes([n % 256])) for n in range(300))

values: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers(-(2**64), 2**64 - 1), inner),
)


@given(values)
def test_what_is_encoded_reads_back_and_is_cbors_deterministic_form(value: Value) -> None:
    data = cose.encode(value)

    assert cbor2.loads(data) == value
    assert data == cbor2.dumps(ordered(value))


def ordered(value: Any) -> Any:
    """The value with the members of its maps in the order of their keys' bytes (RFC 8949 §4.2.1)."""
    match value:
        case dict():
            return {name: ordered(value[name]) for name in sorted(value, key=cbor2.dumps)}
        case list():
            return [ordered(member) for member in value]
        case _:
            return value


def made(index: int = 255, size: int = 300) -> bytes:
    return cose.receipt(
        key=KEY,
        key_id=b"\x01\x02\x03\x04",
        origin="aibox.test/audit/l/abc/2026",
        turn="0190a3c1-0000-7000-8000-000000000001",
        index=index,
        size=size,
        path=TREE.inclusion(index, size),
        root=TREE.root(size),
    )


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 300), (255, 300), (299, 300), (23, 24)])
def test_a_receipt_verifies_as_the_rfc_says(index: int, size: int) -> None:
    tag = cbor2.loads(made(index, size))
    protected, unprotected, payload, signature = tag.value

    headers = cbor2.loads(protected)
    assert tag.tag == 18
    assert payload is None
    assert headers == {
        1: -8,
        4: b"\x01\x02\x03\x04",
        15: {1: "aibox.test/audit/l/abc/2026", 2: "0190a3c1-0000-7000-8000-000000000001"},
        395: 1,
    }
    [proof] = unprotected[396][-1]
    stated_size, stated_index, path = cbor2.loads(proof)
    assert (stated_size, stated_index) == (size, index)
    root = verifier.climb(verifier.leaf_hash(bytes([index % 256])), stated_index, stated_size, list(path))
    KEY.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", root]))


def test_another_leaf_does_not_verify() -> None:
    protected, unprotected, _, signature = cbor2.loads(made()).value
    size, index, path = cbor2.loads(unprotected[396][-1][0])
    root = verifier.climb(verifier.leaf_hash(b"another"), index, size, list(path))

    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", root]))


def test_the_receipt_is_the_same_bytes_each_time() -> None:
    assert made() == made()

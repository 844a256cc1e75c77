"""A turn's place in the log as a COSE receipt (RFC 9942), for tools of SCITT: the signed root and the path to it."""

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MEDIA_TYPE = "application/scitt-receipt+cose"

SIGN1 = 18  # the tag of COSE_Sign1
ALGORITHM, KEY_ID, CLAIMS, PROOF_TYPE, PROOFS = 1, 4, 15, 395, 396  # header parameters
EDDSA, RFC9162_SHA256, INCLUSION, ISSUER, SUBJECT = -8, 1, -1, 1, 2  # what they hold

Value = int | bytes | str | None | Sequence["Value"] | Mapping[int, "Value"]


def receipt(
    *,
    key: Ed25519PrivateKey,
    key_id: bytes,
    origin: str,
    turn: str,
    index: int,
    size: int,
    path: Sequence[bytes],
    root: bytes,
) -> bytes:
    """The receipt for leaf `index` of the tree of `size` leaves under `root`, a head that the log has signed before.

    The payload, the root, is detached: a reader computes it from the leaf and the path. Issuer is the log's origin,
    subject the turn.
    """
    protected = encode(
        {
            ALGORITHM: EDDSA,
            KEY_ID: key_id,
            CLAIMS: {ISSUER: origin, SUBJECT: turn},
            PROOF_TYPE: RFC9162_SHA256,
        }
    )
    signature = key.sign(encode(["Signature1", protected, b"", root]))
    proof = encode([size, index, list(path)])
    return _head(6, SIGN1) + encode([protected, {PROOFS: {INCLUSION: [proof]}}, None, signature])


def encode(value: Value) -> bytes:
    """CBOR in its deterministic form (RFC 8949 §4.2.1), of the few types that a receipt has."""
    match value:
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            data = value.encode()
            return _head(3, len(data)) + data
        case Mapping():
            members = sorted((encode(name), encode(member)) for name, member in value.items())
            return _head(5, len(members)) + b"".join(name + member for name, member in members)
        case _:
            return _head(4, len(value)) + b"".join(map(encode, value))


def _head(major: int, number: int) -> bytes:
    """A major type with its number in the fewest bytes."""
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([major << 5 | 24 + size.bit_length() - 1]) + number.to_bytes(size)

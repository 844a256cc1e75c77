"""The builder of entries and bundles, against the formulas of docs/receipts.md written out once more."""

import hashlib
import json
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aibox.audit import receipts
from aibox.core.events import canonical
from tests.vectors import make

ORIGIN = "aibox.example/audit/l/k7dq2x5m/2026"


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def test_the_chain_begins_with_the_origin_and_binds_index_and_leaf() -> None:
    genesis = sha(b"aibox.chain-genesis/1\n", ORIGIN.encode())
    leaf = sha(b"leaf")

    assert receipts.chain_genesis(ORIGIN) == genesis
    assert receipts.chain_next(ORIGIN, 258, genesis, leaf) == sha(
        b"aibox.chain/1\n", sha(ORIGIN.encode()), bytes([0, 0, 0, 0, 0, 0, 1, 2]), genesis, leaf
    )


def test_an_artifact_commits_to_salt_media_type_and_content() -> None:
    artifact = make.art("prompt", "héllo", "text/plain")

    assert artifact.commitment == (
        sha(
            b"aibox.artifact/1\n", artifact.salt, b"\0\0\0\x0atext/plain", b"\0\0\0\0\0\0\0\x06", "héllo".encode()
        ).hex()
    )


def test_an_envelope_is_signed_as_dsse_says() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))

    signature = receipts.sign_envelope(key, '{"ä":1}'.encode())

    key.public_key().verify(signature, b'DSSEv1 31 application/vnd.aibox.turn+json 8 {"\xc3\xa4":1}')


def test_an_envelope_says_where_it_stands_in_the_log() -> None:
    sealed = receipts.Sealed(
        tenant=UUID(int=0),
        turn=UUID(make.uuid7("turn")),
        principal="system",
        outcome="abandoned",
        events=2,
        root=bytes(32),
        build="0.1.0",
        policy="default@1",
        started_us=1,
        sealed_us=2,
    )

    data = receipts.envelope(sealed, origin=ORIGIN, index=7, prev=bytes(32), kid="00" * 8)

    fields = json.loads(data)
    assert data == canonical(fields)
    assert (fields["@"], fields["log"], fields["idx"], fields["prev"]) == ("aibox.turn/1", ORIGIN, 7, "00" * 32)
    assert (fields["tenant"], fields["outcome"]) == ("00000000-0000-0000-0000-000000000000", "abandoned")


def test_an_artifact_of_a_withheld_event_cannot_be_opened() -> None:
    case = make.Case(withheld=[1], openings=[make.opening(1, 0, make.PROMPT)])

    with pytest.raises(ValueError, match="event 1 is withheld"):
        case.build()

"""What a log holds and what a receipt shows: entries, the chain through them, and the bundle, as exact bytes.

Pure functions from values to bytes. docs/receipts.md describes the formats; `verifier/` judges what is
built here and shares no line with it.
"""

import base64
import hashlib
from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aibox.audit import merkle
from aibox.core.events import canonical, leaf_hash

Outcome = Literal["sealed", "failed", "abandoned", "denied"]
Reason = Literal["request", "retention"]

SPAN = 512
"""Entries after its leaf that a key may sign."""

PAYLOAD_TYPE = "application/vnd.aibox.turn+json"


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What an envelope states of a turn, apart from its place in the log."""

    tenant: UUID
    turn: UUID
    principal: str
    outcome: Outcome
    events: int
    root: bytes
    build: str
    policy: str
    started_us: int
    sealed_us: int


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The content behind commitment number `art` of event `event`."""

    event: int
    art: int
    media_type: str
    salt: bytes
    data: bytes


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that a tombstone erased artifacts of a turn.

    `entry` is the tombstone, `inclusion` its path in the tree of `checkpoint`, which `vkeys` signed; `arts` are the
    places of its artifacts among all that it erased.
    """

    entry: bytes
    inclusion: Sequence[bytes]
    checkpoint: str
    vkeys: Sequence[str]
    arts: Sequence["ErasedArtifact"]


class ErasedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """Commitment number `art` of event `event` is leaf `place` of a tombstone's tree, by `path`."""

    event: int
    art: int
    place: int
    path: Sequence[bytes]


class Addendum(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of events that came after a turn was sealed: the entry that commits to them, in the tree of a head."""

    entry: bytes
    inclusion: Sequence[bytes]
    checkpoint: str
    vkeys: Sequence[str]
    events: Sequence[bytes]


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that a log goes on from another.

    `opening` is its entry 1, `inclusion` the path in the tree of the receipt's head; `closing` is the last entry of the
    other, whose last head is `checkpoint`, and which begins with the head `older`, if that is named.
    """

    opening: bytes
    inclusion: Sequence[bytes]
    closing: bytes
    closing_inclusion: Sequence[bytes]
    checkpoint: str
    vkeys: Sequence[str]
    older: "OlderHead | None" = None


class OlderHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head seen before, and the path that leads from its tree to the receipt's."""

    size: int
    root: bytes
    path: Sequence[bytes]


def key_id(public: bytes) -> str:
    """The id of an envelope key: the first 16 hex digits of SHA-256 of the raw public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def chain_genesis(origin: str) -> bytes:
    """chain_0 of a log."""
    return hashlib.sha256(b"aibox.chain-genesis/1\n" + origin.encode()).digest()


def chain_next(origin: str, index: int, link: bytes, leaf: bytes) -> bytes:
    """chain_{index+1}, from chain_index and the leaf hash of entry `index`."""
    place = hashlib.sha256(origin.encode()).digest() + index.to_bytes(8)
    return hashlib.sha256(b"aibox.chain/1\n" + place + link + leaf).digest()


def key_leaf(*, origin: str, index: int, prev: bytes, public: bytes, span: int = SPAN) -> bytes:
    """The entry that authorises `public` to sign the `span` entries after it."""
    return canonical(
        {
            "@": "aibox.key/1",
            "alg": "ed25519",
            "idx": index,
            "kid": key_id(public),
            "log": origin,
            "prev": prev.hex(),
            "pub": _text(public),
            "span": span,
        }
    )


def tombstone(
    commitments: Collection[bytes],
    *,
    origin: str,
    index: int,
    prev: bytes,
    tenant: UUID,
    turn: UUID,
    reason: Reason,
    erased_us: int,
) -> bytes:
    """The entry that erases the artifacts with these commitments; `turn` is the one that ordered it."""
    return canonical(
        {
            "@": "aibox.tombstone/1",
            "count": len(set(commitments)),
            "erased_us": erased_us,
            "idx": index,
            "log": origin,
            "prev": prev.hex(),
            "reason": reason,
            "root": merkle.root(erased_leaves(commitments)).hex(),
            "tenant": str(tenant),
            "turn": str(turn),
        }
    )


def erased_leaves(commitments: Collection[bytes]) -> list[bytes]:
    """The leaf hashes of a tombstone's tree: its commitments in order of their bytes, each once."""
    return [leaf_hash(commitment) for commitment in sorted(set(commitments))]


def addendum(
    envelope: bytes,
    events: Sequence[bytes],
    *,
    first: int,
    origin: str,
    index: int,
    prev: bytes,
    tenant: UUID,
    turn: UUID,
) -> bytes:
    """The entry that adds `events`, numbered from `first` on, to the turn that `envelope` sealed."""
    return canonical(
        {
            "@": "aibox.addendum/1",
            "entry": leaf_hash(envelope).hex(),
            "events": len(events),
            "first": first,
            "idx": index,
            "log": origin,
            "prev": prev.hex(),
            "root": merkle.root([leaf_hash(event) for event in events]).hex(),
            "tenant": str(tenant),
            "turn": str(turn),
        }
    )


def closing_leaf(*, origin: str, index: int, prev: bytes, successor: str) -> bytes:
    """The last entry of a log: it goes on in the log `successor`."""
    return canonical({"@": "aibox.shard/1", "idx": index, "log": origin, "next": successor, "prev": prev.hex()})


def opening_leaf(*, origin: str, index: int, prev: bytes, last: str, size: int, root: bytes) -> bytes:
    """The entry by which a log goes on from the closed log `last`, of `size` entries under `root`."""
    return canonical(
        {
            "@": "aibox.shard/1",
            "idx": index,
            "last": last,
            "log": origin,
            "prev": prev.hex(),
            "root": root.hex(),
            "size": size,
        }
    )


def envelope(sealed: Sealed, *, origin: str, index: int, prev: bytes, kid: str) -> bytes:
    """The entry that seals a turn at `index` of the log."""
    return canonical(
        {
            "@": "aibox.turn/1",
            "build": sealed.build,
            "events": sealed.events,
            "idx": index,
            "kid": kid,
            "log": origin,
            "outcome": sealed.outcome,
            "policy": sealed.policy,
            "prev": prev.hex(),
            "principal": sealed.principal,
            "root": sealed.root.hex(),
            "sealed_us": sealed.sealed_us,
            "started_us": sealed.started_us,
            "tenant": str(sealed.tenant),
            "turn": str(sealed.turn),
        }
    )


def sign_envelope(key: Ed25519PrivateKey, data: bytes) -> bytes:
    """The signature over the DSSE pre-authentication encoding of an envelope."""
    return key.sign(pre_authentication(data))


def pre_authentication(data: bytes) -> bytes:
    """DSSE v1 PAE, lengths in bytes."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(data)} ".encode() + data


def bundle(
    *,
    envelope: bytes,
    signature: bytes,
    events: Sequence[bytes],
    key_leaf: bytes,
    key_inclusion: Sequence[bytes],
    chain: Sequence[bytes],
    inclusion: Sequence[bytes],
    checkpoint: str,
    vkeys: Sequence[str],
    openings: Collection[Opening] = (),
    withheld: Collection[int] = (),
    witnesses: Sequence[str] = (),
    older: OlderHead | None = None,
    erasures: Sequence[Erasure] = (),
    addenda: Sequence[Addendum] = (),
    previous: Previous | None = None,
) -> bytes:
    """receipt.json: `events` in order, those whose number is in `withheld` by their leaf hash only.

    `chain` holds the leaf hashes between key leaf and envelope, `witnesses` the verifier keys of the cosignatures in
    `checkpoint`. What is absent (no witness, no older head, no erasure, …) has no field. ValueError for an opening of a
    withheld event.
    """
    hidden = [opening.event for opening in openings if opening.event in withheld]
    if hidden:
        raise ValueError(f"event {hidden[0]} is withheld, so its artifacts cannot be opened")
    return canonical(
        {
            "@": "aibox.receipt/1",
            "chain": [leaf.hex() for leaf in chain],
            "checkpoint": checkpoint,
            "envelope": envelope.decode(),
            "events": _events(events, withheld),
            "inclusion": [step.hex() for step in inclusion],
            "key": {"inclusion": [step.hex() for step in key_inclusion], "leaf": key_leaf.decode()},
            "openings": [
                {
                    "art": opening.art,
                    "data": _text(opening.data),
                    "event": opening.event,
                    "mt": opening.media_type,
                    "salt": _text(opening.salt),
                }
                for opening in sorted(openings, key=lambda opening: (opening.event, opening.art))
            ],
            "signature": _text(signature),
            "vkeys": list(vkeys),
            **({"witnesses": list(witnesses)} if witnesses else {}),
            **({"consistency": _consistency(older)} if older else {}),
            **({"erased": [_erased(erasure) for erasure in erasures]} if erasures else {}),
            **({"addenda": [_added(late, withheld) for late in addenda]} if addenda else {}),
            **({"previous": _previous(previous)} if previous else {}),
        }
    )


def _events(events: Sequence[bytes], withheld: Collection[int], first: int = 0) -> list[dict[str, str]]:
    return [
        {"leaf": leaf_hash(event).hex()} if number in withheld else {"event": event.decode()}
        for number, event in enumerate(events, first)
    ]


def _added(late: Addendum, withheld: Collection[int]) -> dict[str, object]:
    first = msgspec.json.decode(late.entry)["first"]
    return {
        "checkpoint": late.checkpoint,
        "events": _events(late.events, withheld, first),
        "inclusion": [step.hex() for step in late.inclusion],
        "leaf": late.entry.decode(),
        "vkeys": list(late.vkeys),
    }


def _previous(previous: Previous) -> dict[str, object]:
    return {
        "checkpoint": previous.checkpoint,
        "closing": {
            "inclusion": [step.hex() for step in previous.closing_inclusion],
            "leaf": previous.closing.decode(),
        },
        "inclusion": [step.hex() for step in previous.inclusion],
        "leaf": previous.opening.decode(),
        "vkeys": list(previous.vkeys),
        **({"consistency": _consistency(previous.older)} if previous.older else {}),
    }


def _consistency(older: OlderHead) -> dict[str, object]:
    return {"from": older.size, "path": [step.hex() for step in older.path], "root": older.root.hex()}


def _erased(erasure: Erasure) -> dict[str, object]:
    arts = sorted(erasure.arts, key=lambda one: (one.event, one.art))
    return {
        "arts": [
            {"art": one.art, "event": one.event, "path": [step.hex() for step in one.path], "place": one.place}
            for one in arts
        ],
        "checkpoint": erasure.checkpoint,
        "inclusion": [step.hex() for step in erasure.inclusion],
        "leaf": erasure.entry.decode(),
        "vkeys": list(erasure.vkeys),
    }


def tlog_proof(*, envelope: bytes, index: int, inclusion: Sequence[bytes], checkpoint: str) -> str:
    """The envelope's place in the log, in the format of c2sp.org/tlog-proof.

    The extra data is the envelope: its leaf hash is what the proof is about.
    """
    lines = ["c2sp.org/tlog-proof@v1", f"extra {_text(envelope)}", f"index {index}", *map(_text, inclusion)]
    return "".join(f"{line}\n" for line in lines) + f"\n{checkpoint}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""Verify an AIBox receipt offline, in nine named steps, from its bytes and the keys you pin.

This folder needs Python 3.11 and `cryptography` 50, and nothing of AIBox: copy it and run
`python -m verifier receipt.json`. What each step means is in docs/receipts.md.
"""

import hashlib
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from .form import MAX_BYTES, POLICY, Receipt, Refused, parse, read

__all__ = ["Step", "Verdict", "verify"]

MAX_SECONDS = 253_402_300_799  # the last second of the year 9999
PAYLOAD_TYPE = b"application/vnd.aibox.turn+json"


@dataclass(frozen=True)
class Step:
    """One check: its name, whether it held, and what it found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What the checks say together: `ok` only if every one of them held."""

    ok: bool
    steps: tuple[Step, ...]
    summary: str


def verify(data: bytes, policy: bytes | None = None) -> Verdict:
    """Judge the bytes of a receipt.json, by the keys that a policy file pins if it is given. Never raises."""
    try:
        return _judge(data, policy)
    except Exception as why:  # noqa: BLE001 - callers rely on a verdict for any bytes at all
        return Verdict(False, (), f"Refused: the verifier failed on it ({type(why).__name__}).")


def _judge(data: bytes, policy: bytes | None) -> Verdict:
    try:
        receipt = read(data)
    except Refused as why:
        return Verdict(False, (Step("form", False, str(why)),), f"Refused at form: {why}.")
    steps = [Step("form", True, f"a canonical receipt of {len(data)} bytes")]
    for name, check in CHECKS.items():
        try:
            steps.append(Step(name, True, check(receipt, policy)))
        except Refused as why:
            steps.append(Step(name, False, str(why)))
    refused = next((step for step in steps if not step.ok), None)
    if refused:
        return Verdict(False, tuple(steps), f"Refused at {refused.name}: {refused.detail}.")
    envelope, head = receipt.envelope, receipt.head
    summary = (
        f"Verified: turn {envelope['turn']} ({envelope['outcome']}, {envelope['events']} events) "
        f"is entry {envelope['idx']} of {head.origin}, "
        f"under its head of {head.size} entries signed {_signed_at(receipt)}."
    )
    return Verdict(True, tuple(steps), summary)


def _events(receipt: Receipt, policy: bytes | None) -> str:
    """The events are this turn's, complete and in order, and hash to the envelope's root."""
    envelope, count = receipt.envelope, len(receipt.events)
    if count != envelope["events"] or count < 2:
        raise Refused(f"there are {count} events; the envelope states {envelope['events']}, and a turn has at least 2")
    for place, (event, _) in enumerate(receipt.events):
        if event is None:
            continue
        if event["seq"] != place:
            raise Refused(f"event {place} says that it is number {event['seq']}")
        if (event["tenant"], event["turn"]) != (envelope["tenant"], envelope["turn"]):
            raise Refused(f"event {place} belongs to another turn or tenant")
        if (event["type"] == "turn_started") != (place == 0) or (event["type"] == "turn_sealed") != (
            place == count - 1
        ):
            raise Refused(f"event {place} is out of place: a turn runs from turn_started to turn_sealed")
    if (
        tree_root(held if event is None else leaf_hash(held) for event, held in receipt.events).hex()
        != envelope["root"]
    ):
        raise Refused("the events do not hash to the envelope's root")
    withheld = sum(event is None for event, _ in receipt.events)
    return f"{count} events hash to the envelope's root, {withheld} of them withheld"


def _signature(receipt: Receipt, policy: bytes | None) -> str:
    """The envelope is signed, as a DSSE payload, by the key of the key leaf."""
    envelope = receipt.envelope_bytes
    message = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(envelope), envelope)
    public = Ed25519PublicKey.from_public_bytes(b64decode(receipt.key["pub"]))
    _require_signed(public, b64decode(receipt.bundle["signature"]), message, "the envelope's signature")
    return f"the envelope is signed by key {receipt.key['kid']}"


def _key(receipt: Receipt, policy: bytes | None) -> str:
    """The key leaf is an entry of the same log and authorises the envelope's index."""
    key, envelope = receipt.key, receipt.envelope
    if (key["log"], key["kid"]) != (envelope["log"], envelope["kid"]):
        raise Refused("the key leaf is of another log, or of another key")
    if not key["idx"] < envelope["idx"] <= key["idx"] + key["span"]:
        raise Refused(f"the key of entry {key['idx']} may not sign entry {envelope['idx']}")
    _require_included(receipt, receipt.key_bytes, key["idx"], receipt.bundle["key"]["inclusion"], "the key leaf")
    return f"key {key['kid']} is entry {key['idx']} and may sign up to entry {key['idx'] + key['span']}"


def _chain(receipt: Receipt, policy: bytes | None) -> str:
    """Link by link from the key leaf to the envelope, nothing left out between them."""
    key, envelope = receipt.key, receipt.envelope
    origin = envelope["log"].encode()
    if key["idx"] == 0 and key["prev"] != hashlib.sha256(b"aibox.chain-genesis/1\n" + origin).hexdigest():
        raise Refused("entry 0 does not begin the chain of this log")
    leaves = [leaf_hash(receipt.key_bytes), *map(bytes.fromhex, receipt.bundle["chain"])]
    if len(leaves) != envelope["idx"] - key["idx"]:
        raise Refused(f"{len(leaves)} links cannot lead from entry {key['idx']} to entry {envelope['idx']}")
    prefix, link = b"aibox.chain/1\n" + hashlib.sha256(origin).digest(), bytes.fromhex(key["prev"])
    for index, leaf in enumerate(leaves, key["idx"]):
        link = hashlib.sha256(prefix + index.to_bytes(8) + link + leaf).digest()
    if link.hex() != envelope["prev"]:
        raise Refused("the chain does not lead to the envelope")
    return f"{len(leaves)} links lead from entry {key['idx']} to entry {envelope['idx']}"


def _inclusion(receipt: Receipt, policy: bytes | None) -> str:
    """The envelope is an entry of the tree whose root the checkpoint states."""
    index = receipt.envelope["idx"]
    _require_included(receipt, receipt.envelope_bytes, index, receipt.bundle["inclusion"], "the envelope")
    return f"the envelope is entry {index} in the tree of {receipt.head.size} entries"


def _checkpoint(receipt: Receipt, policy: bytes | None) -> str:
    """The log signed the head twice: the note with Ed25519, C2SP's cosigned message with ML-DSA-44."""
    head, origin = receipt.head, receipt.envelope["log"].encode()
    if head.origin != receipt.envelope["log"]:
        raise Refused("the checkpoint is of another log")
    keys: list[bytes] = []
    for vkey, (signer, line), kind in zip(receipt.bundle["vkeys"], head.signatures, b"\x01\x06", strict=True):
        name, key_id, encoded = vkey.split("+", 2)
        key = b64decode(encoded)
        if (name, key_id, key[0]) != (
            head.origin,
            hashlib.sha256(origin + b"\n" + key).hexdigest()[:8],
            kind,
        ):
            raise Refused("a verifier key is not a key of this log")
        if (signer, line[:4].hex()) != (head.origin, key_id):
            raise Refused("a signature line of the checkpoint is not by a key of this log")
        keys.append(key[1:])
    named = len(origin).to_bytes(1) + origin
    (_, first), (_, second) = head.signatures
    message = b"subtree/v1\n\0" + named + second[4:12] + named + bytes(8) + head.size.to_bytes(8) + head.root
    _require_signed(Ed25519PublicKey.from_public_bytes(keys[0]), first[4:], head.text, "the head's Ed25519 signature")
    _require_signed(MLDSA44PublicKey.from_public_bytes(keys[1]), second[12:], message, "the head's ML-DSA-44 signature")
    return f"the head of {head.size} entries was signed {_signed_at(receipt)} with Ed25519 and ML-DSA-44"


def _openings(receipt: Receipt, policy: bytes | None) -> str:
    """Every opened artifact is the one its event committed to."""
    before = (-1, -1)
    for opening in receipt.bundle["openings"]:
        place, number = here = opening["event"], opening["art"]
        event = receipt.events[place][0] if place < len(receipt.events) else None
        if here <= before or event is None or number >= len(event["arts"]):
            raise Refused(f"no shown event has an artifact {place}/{number}, or the openings are out of order")
        before, artifact = here, event["arts"][number]
        media, data = opening["mt"].encode(), b64decode(opening["data"])
        salted = (
            b"aibox.artifact/1\n"
            + b64decode(opening["salt"])
            + len(media).to_bytes(4)
            + media
            + len(data).to_bytes(8)
            + data
        )
        if artifact != {"c": hashlib.sha256(salted).hexdigest(), "mt": opening["mt"], "n": len(data)}:
            raise Refused(f"artifact {place}/{number} is not the one that was committed to")
    count = len(receipt.bundle["openings"])
    return f"{count} opened, each as it was committed to" if count else "none opened: contents stay with their owner"


def _trust(receipt: Receipt, policy: bytes | None) -> str:
    """The log's keys are the pinned ones; without a policy, say which keys all of the above rests on."""
    log, vkeys = receipt.envelope["log"], receipt.bundle["vkeys"]
    if policy is None:
        fingerprint = hashlib.sha256("".join(f"{vkey}\n" for vkey in vkeys).encode()).hexdigest()
        return (
            f"no policy given: the keys are those that the receipt itself states, fingerprint {fingerprint}; "
            "compare it with one obtained from the log's owner"
        )
    if len(policy) > MAX_BYTES:
        raise Refused("the policy is larger than 64 MiB")
    pinned = [
        entry["vkeys"] for entry in parse(policy, POLICY, "the policy", exact=False)["logs"] if entry["origin"] == log
    ]
    if not pinned:
        raise Refused("the policy does not name this log")
    if vkeys not in pinned:
        raise Refused("the keys are not those the policy pins for this log")
    return "the keys are those the policy pins for this log"


CHECKS: dict[str, Callable[[Receipt, bytes | None], str]] = {
    "events": _events,
    "signature": _signature,
    "key": _key,
    "chain": _chain,
    "inclusion": _inclusion,
    "checkpoint": _checkpoint,
    "openings": _openings,
    "trust": _trust,
}


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162: a leaf and a node never share a hash."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162: the parent of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root over one or more leaf hashes. A last one without a partner moves up as it is; it is never doubled."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [node_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that `path` leads to from leaf `index` of `size` (RFC 9162 §2.1.3); None if it is no path."""
    if size == 1 or not path:
        return leaf if size == 1 and not path else None
    split = 1 << (size - 1).bit_length() - 1  # the largest power of two below size
    right = index >= split
    below = climb(leaf, index - split if right else index, size - split if right else split, path[:-1])
    if below is None:
        return None
    return node_hash(path[-1], below) if right else node_hash(below, path[-1])


def _require_included(receipt: Receipt, entry: bytes, index: int, path: list[str], what: str) -> None:
    size = receipt.head.size
    if (
        index >= size
        or climb(leaf_hash(entry), index, size, [bytes.fromhex(step) for step in path]) != receipt.head.root
    ):
        raise Refused(f"{what} is not entry {index} in the tree of {size} entries")


def _require_signed(key: Ed25519PublicKey | MLDSA44PublicKey, signature: bytes, message: bytes, what: str) -> None:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise Refused(f"{what} does not verify") from None


def _signed_at(receipt: Receipt) -> str:
    seconds = int.from_bytes(receipt.head.signatures[1][1][4:12])
    if not 0 < seconds <= MAX_SECONDS:
        raise Refused("the head states no time of signing")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

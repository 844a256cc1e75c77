"""Verify an AIBox receipt offline, in ten named steps, from its bytes and the keys you pin.

This folder needs Python 3.11 and `cryptography` 50, and nothing of AIBox: copy it and run
`python -m verifier receipt.json`. What each step means is in docs/receipts.md.
"""

import hashlib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .entries import (
    addenda,
    artifact,
    continued,
    erased,
    events_root,
    in_order,
    preceded,
    require_events,
    require_included,
)
from .form import Receipt, Refused, read
from .heads import require_cosignatures, require_head, require_signed, signed_at
from .tree import climb, extend, leaf_hash, node_hash, tree_root
from .trust import names, trust

__all__ = ["Step", "Verdict", "climb", "extend", "leaf_hash", "node_hash", "tree_root", "verify"]

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


def verify(data: bytes, policy: bytes | None = None, pin: bytes | None = None) -> Verdict:
    """Judge the bytes of a receipt.json: by the keys that a policy file pins, if given, and against a head seen before.

    `pin` is that head: a checkpoint, as a log publishes it. Never raises.
    """
    try:
        return _judge(data, policy, pin)
    except Exception as why:  # noqa: BLE001 - callers rely on a verdict for any bytes at all
        return Verdict(False, (), f"Refused: the verifier failed on it ({type(why).__name__}).")


def _judge(data: bytes, policy: bytes | None, pin: bytes | None) -> Verdict:
    try:
        receipt = read(data)
    except Refused as why:
        return Verdict(False, (Step("form", False, str(why)),), f"Refused at form: {why}.")
    steps = [Step("form", True, f"a canonical receipt of {len(data)} bytes")]
    checks = CHECKS | {"trust": lambda receipt: trust(receipt, policy, pin)}
    for name, check in checks.items():
        try:
            steps.append(Step(name, True, check(receipt)))
        except Refused as why:
            steps.append(Step(name, False, str(why)))
    refused = next((step for step in steps if not step.ok), None)
    if refused:
        return Verdict(False, tuple(steps), f"Refused at {refused.name}: {refused.detail}.")
    envelope, head = receipt.envelope, receipt.head
    summary = (
        f"Verified: turn {envelope['turn']} ({envelope['outcome']}, {envelope['events']} events) "
        f"is entry {envelope['idx']} of {head.origin}, "
        f"under its head of {head.size} entries signed {signed_at(head.lines[1])}."
    )
    return Verdict(True, tuple(steps), summary)


def _events(receipt: Receipt) -> str:
    """The events are this turn's, complete and in order, and hash to the envelope's root."""
    envelope, count = receipt.envelope, len(receipt.events)
    if count != envelope["events"] or count < 2:
        raise Refused(f"there are {count} events; the envelope states {envelope['events']}, and a turn has at least 2")
    require_events(receipt, receipt.events, 0)
    for place, event in enumerate(event for event, _ in receipt.events):
        if event is not None and (event["type"] == "turn_started", event["type"] == "turn_sealed") != (
            place == 0,
            place == count - 1,
        ):
            raise Refused(f"event {place} is out of place: a turn runs from turn_started to turn_sealed")
    if events_root(receipt.events) != envelope["root"]:
        raise Refused("the events do not hash to the envelope's root")
    withheld = sum(event is None for event, _ in receipt.events)
    return f"{count} events hash to the envelope's root, {withheld} of them withheld"


def _signature(receipt: Receipt) -> str:
    """The envelope is signed, as a DSSE payload, by the key of the key leaf."""
    envelope = receipt.envelope_bytes
    message = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(envelope), envelope)
    public = Ed25519PublicKey.from_public_bytes(b64decode(receipt.key["pub"]))
    require_signed(public, b64decode(receipt.bundle["signature"]), message, "the envelope's signature")
    return f"the envelope is signed by key {receipt.key['kid']}"


def _key(receipt: Receipt) -> str:
    """The key leaf is an entry of the same log and authorises the envelope's index."""
    key, envelope = receipt.key, receipt.envelope
    if (key["log"], key["kid"]) != (envelope["log"], envelope["kid"]):
        raise Refused("the key leaf is of another log, or of another key")
    if not key["idx"] < envelope["idx"] <= key["idx"] + key["span"]:
        raise Refused(f"the key of entry {key['idx']} may not sign entry {envelope['idx']}")
    require_included(receipt.head, receipt.key_bytes, key["idx"], receipt.bundle["key"]["inclusion"], "the key leaf")
    return f"key {key['kid']} is entry {key['idx']} and may sign up to entry {key['idx'] + key['span']}"


def _chain(receipt: Receipt) -> str:
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


def _inclusion(receipt: Receipt) -> str:
    """The envelope is an entry of the tree whose root the checkpoint states."""
    index = receipt.envelope["idx"]
    require_included(receipt.head, receipt.envelope_bytes, index, receipt.bundle["inclusion"], "the envelope")
    return f"the envelope is entry {index} in the tree of {receipt.head.size} entries"


def _checkpoint(receipt: Receipt) -> str:
    """The log signed the head twice, every witness cosigned it, and it continues what it says that it continues."""
    head, bundle = receipt.head, receipt.bundle
    witnesses = bundle.get("witnesses", [])
    require_head(head, receipt.envelope["log"], bundle["vkeys"], "the head")
    require_cosignatures(head, witnesses)
    found = f"the head of {head.size} entries was signed {signed_at(head.lines[1])} with Ed25519 and ML-DSA-44"
    if witnesses:
        found += f", and cosigned by {', '.join(names(witnesses))}"
    return "; ".join([found, *continued(head, bundle), *preceded(receipt)])


def _openings(receipt: Receipt) -> str:
    """Every opened artifact is the one its event committed to, and every erased one is covered by a tombstone."""
    before: tuple[int, ...] = ()
    for opening in receipt.bundle["openings"]:
        stated = artifact(receipt, opening)
        before = in_order(before, opening)
        media, data = opening["mt"].encode(), b64decode(opening["data"])
        sized = len(media).to_bytes(4) + media + len(data).to_bytes(8) + data
        commitment = hashlib.sha256(b"aibox.artifact/1\n" + b64decode(opening["salt"]) + sized).hexdigest()
        if stated != {"c": commitment, "mt": opening["mt"], "n": len(data)}:
            raise Refused(f"artifact {opening['event']}/{opening['art']} is not the one that was committed to")
    count = len(receipt.bundle["openings"])
    opened = f"{count} opened, each as it was committed to" if count else "none opened: contents stay with their owner"
    return "; ".join([opened, *erased(receipt)])


CHECKS: dict[str, Callable[[Receipt], str]] = {
    "events": _events,
    "signature": _signature,
    "key": _key,
    "chain": _chain,
    "inclusion": _inclusion,
    "checkpoint": _checkpoint,
    "addenda": addenda,
    "openings": _openings,
}

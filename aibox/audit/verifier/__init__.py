"""Verify an AIBox receipt offline, in ten named steps, from its bytes and the keys you pin.

This folder needs Python 3.11 and `cryptography` 50, and nothing of AIBox: copy it and run
`python -m verifier receipt.json`. What each step means is in docs/receipts.md.
"""

import hashlib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .entries import addenda, artifacts, erased, preceded, require_events
from .form import Receipt, Refused, read, require
from .heads import continued, name_of, require_head, require_included, require_signed, signed_at
from .tree import climb, extend, leaf_hash, node_hash, tree_root
from .trust import trust

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
    for name, check in (CHECKS | {"trust": lambda receipt: trust(receipt, policy, pin)}).items():
        try:
            steps.append(Step(name, True, check(receipt)))
        except Refused as why:
            steps.append(Step(name, False, str(why)))
    refused = [step for step in steps if not step.ok]
    if refused:
        return Verdict(False, tuple(steps), f"Refused at {refused[0].name}: {refused[0].detail}.")
    turn, head = receipt.turn.entry, receipt.turn.head
    summary = (
        f"Verified: turn {turn['turn']} ({turn['outcome']}, {turn['events']} events) is entry {turn['idx']} of "
        f"{head.origin}, under its head of {head.size} entries signed {signed_at(head)}."
    )
    return Verdict(True, tuple(steps), summary)


def _events(receipt: Receipt) -> str:
    """The events are this turn's, complete and in order, and hash to the envelope's root."""
    events = receipt.turn.events
    require(len(events) >= 2, "a turn has at least two events")
    require_events(receipt, receipt.turn, "the envelope")
    withheld = sum(event is None for event, _ in events)
    return f"{len(events)} events hash to the envelope's root, {withheld} of them withheld"


def _signature(receipt: Receipt) -> str:
    """The envelope is signed, as a DSSE payload, by the key of the key leaf."""
    turn, key = receipt.turn, receipt.key.entry
    message = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(turn.data), turn.data)
    signature = b64decode(turn.item["signature"])
    require_signed(Ed25519PublicKey, b64decode(key["pub"]), signature, message, "the envelope's signature")
    return f"the envelope is signed by key {key['kid']}"


def _key(receipt: Receipt) -> str:
    """The key leaf is an entry of the same log and authorises the envelope's index."""
    key, turn = receipt.key.entry, receipt.turn.entry
    first, last = key["idx"], key["idx"] + key["span"]
    require((key["log"], key["kid"]) == (turn["log"], turn["kid"]), "the key leaf is of another log, or of another key")
    require(first < turn["idx"] <= last, f"the key of entry {first} may not sign entry {turn['idx']}")
    require_included(receipt.key, "the key leaf")
    return f"key {key['kid']} is entry {first} and may sign up to entry {last}"


def _chain(receipt: Receipt) -> str:
    """Link by link from the key leaf to the envelope, nothing left out between them."""
    key, turn = receipt.key.entry, receipt.turn.entry
    first, origin = key["idx"], turn["log"].encode()
    genesis = hashlib.sha256(b"aibox.chain-genesis/1\n" + origin).hexdigest()
    require(first > 0 or key["prev"] == genesis, "entry 0 does not begin the chain of this log")
    leaves = [leaf_hash(receipt.key.data), *map(bytes.fromhex, receipt.turn.item["chain"])]
    way = f"{len(leaves)} links {{}} from entry {first} to entry {turn['idx']}"
    require(len(leaves) == turn["idx"] - first, way.format("cannot lead"))
    prefix, link = b"aibox.chain/1\n" + hashlib.sha256(origin).digest(), bytes.fromhex(key["prev"])
    for index, leaf in enumerate(leaves, first):
        link = hashlib.sha256(prefix + index.to_bytes(8) + link + leaf).digest()
    require(link.hex() == turn["prev"], "the chain does not lead to the envelope")
    return way.format("lead")


def _inclusion(receipt: Receipt) -> str:
    """The envelope is an entry of the tree whose root the checkpoint states."""
    require_included(receipt.turn, "the envelope")
    return f"the envelope is entry {receipt.turn.entry['idx']} in the tree of {receipt.turn.head.size} entries"


def _checkpoint(receipt: Receipt) -> str:
    """The log signed the head twice, every witness cosigned it, and it continues what it says that it continues."""
    turn = receipt.turn
    require_head(turn, "the head")
    names = ", ".join(dict.fromkeys(map(name_of, turn.item.get("witnesses", []))))
    signed = f"the head of {turn.head.size} entries was signed {signed_at(turn.head)} with Ed25519 and ML-DSA-44"
    found = f"{signed}, and cosigned by {names}" if names else signed
    return "; ".join([found, *continued(turn), *preceded(receipt)])


def _openings(receipt: Receipt) -> str:
    """Every opened artifact is the one its event committed to, and every erased one is covered by a tombstone."""
    items = receipt.turn.item["openings"]
    for opening, stated in artifacts(receipt, items):
        media, data = opening["mt"].encode(), b64decode(opening["data"])
        sized = len(media).to_bytes(4) + media + len(data).to_bytes(8) + data
        commitment = hashlib.sha256(b"aibox.artifact/1\n" + b64decode(opening["salt"]) + sized).hexdigest()
        is_it = stated == {"c": commitment, "mt": opening["mt"], "n": len(data)}
        require(is_it, f"artifact {opening['event']}/{opening['art']} is not the one that was committed to")
    opened = f"{len(items)} opened, each as it was committed to"
    return "; ".join([opened if items else "none opened: contents stay with their owner", *erased(receipt)])


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

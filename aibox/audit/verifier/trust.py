"""Whose keys a receipt rests on, a policy's or its own, and whether its head continues one that was seen before."""

import hashlib
from collections.abc import Iterable

from .form import MAX_BYTES, POLICY, Receipt, Refused, parse, read_head


def trust(receipt: Receipt, policy: bytes | None, pin: bytes | None) -> str:
    """The log's keys are the pinned ones; without a policy, say which keys all of the above rests on."""
    found = _keys(receipt) if policy is None else _policy(receipt, policy)
    return found if pin is None else f"{found}; {_pin(receipt, pin)}"


def _keys(receipt: Receipt) -> str:
    fingerprint = hashlib.sha256("".join(f"{vkey}\n" for vkey in receipt.bundle["vkeys"]).encode()).hexdigest()
    return (
        f"no policy given: the keys are those that the receipt itself states, fingerprint {fingerprint}; "
        "compare it with one obtained from the log's owner"
    )


def _policy(receipt: Receipt, data: bytes) -> str:
    """Every log that the receipt rests on is pinned with its keys, and enough of the named witnesses cosigned."""
    if len(data) > MAX_BYTES:
        raise Refused("the policy is larger than 64 MiB")
    policy = parse(data, POLICY, "the policy", exact=False)
    if ("quorum" in policy) != ("witnesses" in policy):
        raise Refused("the policy names witnesses without a quorum, or a quorum without witnesses")
    pinned = [(entry["origin"], entry["vkeys"]) for entry in policy["logs"]]
    stated = [(receipt.envelope["log"], receipt.bundle["vkeys"])]
    stated += [(stone.head.origin, stone.item["vkeys"]) for stone in receipt.tombstones]
    stated += [(late.head.origin, late.item["vkeys"]) for late in receipt.addenda]
    if receipt.previous is not None:
        stated.append((receipt.previous.head.origin, receipt.previous.item["vkeys"]))
    for origin, vkeys in stated:
        if origin not in dict(pinned):
            raise Refused("the policy does not name this log")
        if (origin, vkeys) not in pinned:
            raise Refused("the keys are not those the policy pins for this log")
    found = "the keys are those the policy pins for this log"
    if "quorum" not in policy:
        return found
    seen = set(policy["witnesses"]) & set(receipt.bundle.get("witnesses", []))
    count, quorum = len(names(seen)), policy["quorum"]
    if count < quorum:
        raise Refused(f"{count} of the policy's witnesses cosigned the head, and it asks for {quorum}")
    return f"{found}, and {count} of its witnesses cosigned the head, of {quorum} that it asks for"


def _pin(receipt: Receipt, data: bytes) -> str:
    """The receipt's head is the pinned one, or continues it; or the last head of the log before does."""
    try:
        pin = read_head(data.decode())
    except ValueError:
        raise Refused("the pinned head is not a checkpoint") from None
    head, old, whose = receipt.head, receipt.bundle.get("consistency"), "its"
    if receipt.previous is not None and pin.origin == receipt.previous.head.origin:
        head, old, whose = receipt.previous.head, receipt.previous.item.get("consistency"), "the log before's"
    if pin.origin != head.origin:
        raise Refused("the pinned head is of another log")
    if pin.size == head.size:
        root = head.root
    elif old is not None and pin.size == old["from"]:
        root = bytes.fromhex(old["root"])
    else:
        raise Refused(
            f"nothing here says how the pinned head of {pin.size} entries and this one of {head.size} belong together; "
            "ask for the receipt with pin and that number"
        )
    if root != pin.root:
        raise Refused(f"the log's first {pin.size} entries are not those of the pinned head: it was rewritten")
    return f"{whose} first {pin.size} entries are those of the pinned head"


def names(witnesses: Iterable[str]) -> list[str]:
    """The names in verifier keys, in their order: a witness with two keys counts once."""
    return list(dict.fromkeys(vkey.partition("+")[0] for vkey in witnesses))

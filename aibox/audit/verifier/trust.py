"""Whose keys a receipt rests on, a policy's or its own, and whether its head continues one that was seen before."""

import hashlib
import json
from typing import Any

from .form import Fields, Receipt, Refused, fits, read_head, require
from .heads import name_of


def trust(receipt: Receipt, policy: bytes | None, pin: bytes | None) -> str:
    """The log's keys are the pinned ones; without a policy, say which keys all of the above rests on."""
    vkeys = receipt.turn.item["vkeys"]
    fingerprint = hashlib.sha256("".join(f"{vkey}\n" for vkey in vkeys).encode()).hexdigest()
    found = (
        f"no policy given: the keys are those that the receipt itself states, fingerprint {fingerprint}; "
        "compare it with one obtained from the log's owner"
    )
    if policy is not None:
        found = _policy(receipt, read_policy(policy))
    return found if pin is None else f"{found}; {_pin(receipt, pin)}"


def read_policy(data: bytes) -> Fields:
    """A policy, which people may format as they like. One that says a thing twice is refused: for readers choose."""
    try:
        policy = json.loads(data.decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise Refused("the policy is not JSON") from None
    require(fits(policy, "policy"), "the policy has a missing, unknown or malformed field")
    alone = ("quorum" in policy) != ("witnesses" in policy)
    require(not alone, "the policy names witnesses without a quorum, or a quorum without witnesses")
    return policy  # type: ignore[no-any-return]  # fits() has seen that it is an object


def _members(pairs: list[tuple[str, Any]]) -> Fields:
    members = dict(pairs)
    require(len(members) == len(pairs), "the policy has a member twice")
    return members


def _policy(receipt: Receipt, policy: Fields) -> str:
    """Every log that the receipt rests on is pinned with its keys, and enough of the named witnesses cosigned."""
    for proof in (receipt.turn, *receipt.tombstones, *receipt.addenda, *receipt.previous[1:]):
        pinned = [log["vkeys"] for log in policy["logs"] if log["origin"] == proof.head.origin]
        require(pinned, "the policy does not name this log")
        require(proof.item["vkeys"] in pinned, "the keys are not those the policy pins for this log")
    found, quorum = "the keys are those the policy pins for this log", policy.get("quorum")
    if quorum is None:
        return found
    seen = {*policy["witnesses"]} & {*receipt.turn.item.get("witnesses", [])}
    count = len({*map(name_of, seen)})
    require(count >= quorum, f"{count} of the policy's witnesses cosigned the head, and it asks for {quorum}")
    return f"{found}, and {count} of its witnesses cosigned the head, of {quorum} that it asks for"


def _pin(receipt: Receipt, data: bytes) -> str:
    """The receipt's head is the pinned one, or continues it; or the last head of the log before does."""
    pin = read_head(data.decode(errors="replace"))
    proof = next((proof for proof in (receipt.turn, *receipt.previous) if proof.head.origin == pin.origin), None)
    if proof is None:
        raise Refused("the pinned head is of another log")
    head, old = proof.head, proof.item.get("consistency", {})
    roots = {old.get("from"): old.get("root"), head.size: head.root.hex()}
    require(
        pin.size in roots,
        f"nothing here says how the pinned head of {pin.size} entries and this one of {head.size} belong together; "
        "ask for the receipt with pin and that number",
    )
    is_kept = roots[pin.size] == pin.root.hex()
    require(is_kept, f"the log's first {pin.size} entries are not those of the pinned head: it was rewritten")
    return f"the first {pin.size} entries of {head.origin} are those of the pinned head"

"""A head: who signed it, which entries are in its tree, which older head it continues."""

import hashlib
import time
from base64 import b64decode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from .form import Head, Proof, Refused, require
from .tree import climb, extend, leaf_hash

MAX_SECONDS = 253_402_300_799  # the last second of the year 9999


def require_proof(proof: Proof, what: str) -> None:
    """The entry is in a log's tree, under a head that the log signed."""
    require_head(proof, f"{what}'s head")
    require_included(proof, what)


def require_head(proof: Proof, what: str) -> None:
    """The entry's log signed the head with Ed25519 and with ML-DSA-44, and each witness that is named cosigned it."""
    head, log, witnesses = proof.head, proof.entry["log"], proof.item.get("witnesses", [])
    require(head.origin == log, "the checkpoint is of another log")
    require(
        len(witnesses) == len(head.lines) - 2 and witnesses == sorted(set(witnesses)),
        "the witnesses' keys are not those of the cosignatures, each once and in order",
    )
    signers = [(log, f"{what}'s Ed25519 signature"), (log, f"{what}'s ML-DSA-44 signature")]
    signers += [(name, f"the cosignature of {name}") for name in map(name_of, witnesses)]
    for at, vkey in enumerate(proof.item["vkeys"] + witnesses):
        _require_signature(head, at, vkey, *signers[at])
    for at in range(1, len(head.lines)):
        signed_at(head, at)


def _require_signature(head: Head, at: int, vkey: str, name: str, what: str) -> None:
    """The line is by this verifier key, which is named `name`, and signs the head as C2SP says for the key's type."""
    (signer, data), (own, key_id, encoded) = head.lines[at], vkey.split("+", 2)
    key = b64decode(encoded)
    known = name, hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8]
    require((own, key_id) == known, f"{what} comes with a verifier key of another name or id")
    require((signer, data[:4].hex()) == known, f"{what} is on a line that is not by its key")
    message, stamp, signature = head.text, data[4:12], data[12:]
    match key[0]:
        case 1:
            signature = data[4:]  # the log's own states no time
        case 4:
            message = b"cosignature/v1\ntime %d\n" % int.from_bytes(stamp) + head.text
        case 6:
            cosigner, log = (len(text).to_bytes(1) + text.encode() for text in (name, head.origin))
            message = b"subtree/v1\n\0" + cosigner + stamp + log + bytes(8) + head.size.to_bytes(8) + head.root
    require_signed(MLDSA44PublicKey if key[0] == 6 else Ed25519PublicKey, key[1:], signature, message, what)


def require_signed(
    kind: type[Ed25519PublicKey | MLDSA44PublicKey], key: bytes, signature: bytes, message: bytes, what: str
) -> None:
    """Refuse a signature that is not by this key over this message."""
    try:
        kind.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        raise Refused(f"{what} does not verify") from None


def signed_at(head: Head, at: int = 1) -> str:
    """The time that a signature line states; the log's Ed25519 line states none."""
    seconds = int.from_bytes(head.lines[at][1][4:12])
    require(0 < seconds <= MAX_SECONDS, "a signature of the head states no time of signing")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def require_included(proof: Proof, what: str) -> None:
    """The entry is in the tree that the head signs, at the place that the entry states."""
    head, index, path = proof.head, proof.entry["idx"], [*map(bytes.fromhex, proof.item["inclusion"])]
    is_there = index < head.size and climb(leaf_hash(proof.data), index, head.size, path) == head.root
    require(is_there, f"{what} is not entry {index} in the tree of {head.size} entries")


def continued(proof: Proof) -> list[str]:
    """The head continues the older one that `consistency` names, if it is there."""
    head, old = proof.head, proof.item.get("consistency")
    if old is None:
        return []
    root, path = bytes.fromhex(old["root"]), [*map(bytes.fromhex, old["path"])]
    is_so = old["from"] < head.size and extend(root, old["from"], head.size, path) == (root, head.root)
    require(is_so, f"the head does not continue the head of {old['from']} entries that it names")
    return [f"it continues the head of {old['from']} entries"]


def name_of(vkey: str) -> str:
    """The name in a verifier key."""
    return vkey.partition("+")[0]

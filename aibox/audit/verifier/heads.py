"""The signatures of a head: the log's own two, and those of witnesses who saw it continue what they had seen before."""

import hashlib
import time
from base64 import b64decode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from .form import SIGNATURE_SIZES, Head, Line, Refused, Type

MAX_SECONDS = 253_402_300_799  # the last second of the year 9999


def require_head(head: Head, origin: str, vkeys: list[str], what: str) -> None:
    """The log `origin` signed the head twice: the note with Ed25519, C2SP's cosigned message with ML-DSA-44."""
    if head.origin != origin:
        raise Refused("the checkpoint is of another log")
    for vkey, line, algorithm in zip(vkeys, head.lines[:2], ("Ed25519", "ML-DSA-44"), strict=True):
        require_signature(head, vkey, line, origin, f"{what}'s {algorithm} signature")
    signed_at(head.lines[1])


def require_cosignatures(head: Head, witnesses: list[str]) -> None:
    """Each of the witnesses' verifier keys made the cosignature in its place."""
    if len(witnesses) != len(head.lines) - 2 or witnesses != sorted(set(witnesses)):
        raise Refused("the witnesses' keys are not those of the cosignatures, each once and in order")
    for vkey, line in zip(witnesses, head.lines[2:], strict=True):
        name, _, _ = vkey.partition("+")
        require_signature(head, vkey, line, name, f"the cosignature of {name}")
        signed_at(line)


def require_signature(head: Head, vkey: str, line: Line, name: str, what: str) -> None:
    """The line is by this verifier key, which is named `name`, and signs the head."""
    own, key_id, encoded = vkey.split("+", 2)
    key, data = b64decode(encoded), line.data[4:]
    if (own, key_id) != (name, hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8]):
        raise Refused(f"{what} comes with a verifier key of another name or id")
    if (line.name, line.data[:4].hex(), len(data)) != (own, key_id, SIGNATURE_SIZES[key[0]]):
        raise Refused(f"{what} is on a line that is not by its key")
    match key[0]:
        case Type.ED25519:
            require_signed(Ed25519PublicKey.from_public_bytes(key[1:]), data, head.text, what)
        case Type.ED25519_COSIGNATURE:
            message = b"cosignature/v1\ntime %d\n" % int.from_bytes(data[:8]) + head.text
            require_signed(Ed25519PublicKey.from_public_bytes(key[1:]), data[8:], message, what)
        case Type.ML_DSA_44:
            signer, log = (len(text).to_bytes(1) + text for text in (name.encode(), head.origin.encode()))
            message = b"subtree/v1\n\0" + signer + data[:8] + log + bytes(8) + head.size.to_bytes(8) + head.root
            require_signed(MLDSA44PublicKey.from_public_bytes(key[1:]), data[8:], message, what)


def require_signed(key: Ed25519PublicKey | MLDSA44PublicKey, signature: bytes, message: bytes, what: str) -> None:
    """Refuse a signature that is not by this key over this message."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise Refused(f"{what} does not verify") from None


def signed_at(line: Line) -> str:
    """The time that a signature with a time states."""
    seconds = int.from_bytes(line.data[4:12])
    if not 0 < seconds <= MAX_SECONDS:
        raise Refused("a signature of the head states no time of signing")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

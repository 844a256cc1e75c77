"""Signed tree heads: C2SP checkpoints, each signed by the log with Ed25519 and with ML-DSA-44, and by witnesses.

Formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature. A log's Ed25519 (type 0x01)
signs the note's text, a witness's (type 0x04) a line with the time before it; ML-DSA-44 (type 0x06), a log's or a
witness's, signs the `cosigned_message`, which names the signer and the time of signing.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

MAX_SECONDS = 253_402_300_799
"""The last second of the year 9999, as the verifiers know it."""

_NAME = re.compile(r"[!-*,-~]{1,255}")  # printable ASCII, without space and plus


class NoteError(ValueError):
    """A note, checkpoint or verifier key that is malformed, or whose signatures do not hold."""


class Algorithm(IntEnum):
    """C2SP's signature type byte."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44 = 0x06


WITNESS_ALGORITHMS = (Algorithm.ED25519_COSIGNATURE, Algorithm.ML_DSA_44)

_KEY_SIZE = {Algorithm.ED25519: 32, Algorithm.ED25519_COSIGNATURE: 32, Algorithm.ML_DSA_44: 1312}
_SIGNATURE_SIZE = {Algorithm.ED25519: 64, Algorithm.ED25519_COSIGNATURE: 8 + 64, Algorithm.ML_DSA_44: 8 + 2420}


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with the name it signs under."""

    name: str
    algorithm: Algorithm
    public: bytes

    @property
    def id(self) -> bytes:
        """SHA-256(name || 0x0A || type || public)[:4]: tells keys apart, proves nothing."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key in `name+hex8+base64`; raises NoteError unless it is written exactly so."""
        name, _, rest = text.partition("+")
        material = _decode(rest.partition("+")[2])
        if not _NAME.fullmatch(name) or not material or material[0] not in _KEY_SIZE:
            raise NoteError("not a verifier key that is known here")
        key = cls(name, Algorithm(material[0]), material[1:])
        if len(key.public) != _KEY_SIZE[key.algorithm] or str(key) != text:
            raise NoteError("a verifier key whose id or length is wrong")
        return key


class Signer(msgspec.Struct, frozen=True):
    """The two private keys of a log, which sign under its origin."""

    origin: str
    ed25519: Ed25519PrivateKey
    ml_dsa_44: MLDSA44PrivateKey

    @classmethod
    def derive(cls, origin: str, ed25519_seed: bytes, ml_dsa_44_seed: bytes) -> Self:
        """The signer whose keys have these 32-byte seeds."""
        if not _NAME.fullmatch(origin):
            raise NoteError("a log's origin is printable ASCII without space or plus, at most 255 long")
        return cls(
            origin,
            Ed25519PrivateKey.from_private_bytes(ed25519_seed),
            MLDSA44PrivateKey.from_seed_bytes(ml_dsa_44_seed),
        )

    @property
    def keys(self) -> tuple[VerifierKey, VerifierKey]:
        """The verifier keys, Ed25519 first."""
        return (
            VerifierKey(self.origin, Algorithm.ED25519, self.ed25519.public_key().public_bytes_raw()),
            VerifierKey(self.origin, Algorithm.ML_DSA_44, self.ml_dsa_44.public_key().public_bytes_raw()),
        )

    def sign(self, size: int, root: bytes, *, at_seconds: int) -> str:
        """The checkpoint of this head. The caller has made sure that the head may be signed."""
        body = checkpoint_text(self.origin, size, root)
        first, second = self.keys
        stamp = at_seconds.to_bytes(8)
        cosigned = cosigned_message(self.origin, at_seconds, self.origin, size, root)
        return (
            f"{body}\n"
            f"{_signature_line(first, self.ed25519.sign(body.encode()))}"
            f"{_signature_line(second, stamp + self.ml_dsa_44.sign(cosigned))}"
        )


class Cosigner(msgspec.Struct, frozen=True):
    """The two private keys of a witness."""

    name: str
    ed25519: Ed25519PrivateKey
    ml_dsa_44: MLDSA44PrivateKey

    @classmethod
    def derive(cls, name: str, ed25519_seed: bytes, ml_dsa_44_seed: bytes) -> Self:
        """The witness whose keys have these 32-byte seeds."""
        if not _NAME.fullmatch(name):
            raise NoteError("a witness's name is printable ASCII without space or plus, at most 255 long")
        return cls(
            name,
            Ed25519PrivateKey.from_private_bytes(ed25519_seed),
            MLDSA44PrivateKey.from_seed_bytes(ml_dsa_44_seed),
        )

    @property
    def keys(self) -> tuple[VerifierKey, VerifierKey]:
        """The verifier keys, Ed25519 first."""
        return (
            VerifierKey(self.name, Algorithm.ED25519_COSIGNATURE, self.ed25519.public_key().public_bytes_raw()),
            VerifierKey(self.name, Algorithm.ML_DSA_44, self.ml_dsa_44.public_key().public_bytes_raw()),
        )

    def cosign(self, checkpoint: "Checkpoint", *, at_seconds: int) -> str:
        """Both signature lines. The caller has made sure that the head continues what it cosigned before."""
        first, second = self.keys
        stamp = at_seconds.to_bytes(8)
        cosigned = cosigned_message(self.name, at_seconds, checkpoint.origin, checkpoint.size, checkpoint.root)
        return (
            f"{_signature_line(first, stamp + self.ed25519.sign(timed_text(at_seconds, checkpoint.body)))}"
            f"{_signature_line(second, stamp + self.ml_dsa_44.sign(cosigned))}"
        )


class Signature(msgspec.Struct, frozen=True):
    """One signature line: the key's name and id, and the bytes that follow the id."""

    name: str
    key_id: bytes
    data: bytes


class Checkpoint(msgspec.Struct, frozen=True):
    """A parsed checkpoint. Nothing in it is true until `verify_checkpoint` says so."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...]

    @property
    def body(self) -> str:
        """The text that Ed25519 signs."""
        return checkpoint_text(self.origin, self.size, self.root)


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The note's text: three lines, no extensions."""
    return f"{origin}\n{size}\n{_encode(root)}\n"


def cosigned_message(cosigner: str, at_seconds: int, origin: str, size: int, root: bytes) -> bytes:
    """What ML-DSA-44 signs for a checkpoint (tlog-cosignature): the subtree [0, size)."""
    names = [len(name).to_bytes(1) + name for name in (cosigner.encode(), origin.encode())]
    return b"subtree/v1\n\x00" + names[0] + at_seconds.to_bytes(8) + names[1] + bytes(8) + size.to_bytes(8) + root


def timed_text(at_seconds: int, body: str) -> bytes:
    """What a witness's Ed25519 key signs for a checkpoint (tlog-cosignature)."""
    return f"cosignature/v1\ntime {at_seconds}\n{body}".encode()


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a signed note of exactly origin, size, root and signature lines; raises NoteError."""
    body, separator, tail = note.rpartition("\n\n")
    lines = body.split("\n")
    if not separator or len(lines) != 3 or not tail.endswith("\n"):
        raise NoteError("not a checkpoint: a text of three lines, an empty line, signature lines")
    origin, size, root = lines
    if not _NAME.fullmatch(origin) or not re.fullmatch(r"0|[1-9][0-9]{0,15}", size):
        raise NoteError("a checkpoint whose origin or size is malformed")
    decoded = _decode(root)
    if len(decoded) != 32:
        raise NoteError("a checkpoint whose root is not 32 bytes")
    signatures = tuple(_parse_signature(line) for line in tail[:-1].split("\n"))
    return Checkpoint(origin, int(size), decoded, signatures)


def verify_checkpoint(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint, if each of `keys` has signed it, in this order, and no one else has; raises NoteError.

    Stricter than C2SP, which skips lines by unknown keys: here a signature covers every byte of a note.
    """
    checkpoint = parse_checkpoint(note)
    if len(checkpoint.signatures) != len(keys):
        raise NoteError("a checkpoint with missing or unknown signatures")
    for key, signature in zip(keys, checkpoint.signatures, strict=True):
        if (signature.name, signature.key_id) != (key.name, key.id):
            raise NoteError("a checkpoint signed by another key")
        _verify(checkpoint, key, signature.data)
    return checkpoint


def is_signed_by(checkpoint: Checkpoint, keys: Sequence[VerifierKey]) -> bool:
    """Whether every one of `keys` has signed the checkpoint. Lines by others say nothing, as C2SP has it."""
    for key in keys:
        lines = [line for line in checkpoint.signatures if (line.name, line.key_id) == (key.name, key.id)]
        if len(lines) != 1:
            return False
        try:
            _verify(checkpoint, key, lines[0].data)
        except NoteError:
            return False
    return bool(keys)


def verify_cosignature(checkpoint: Checkpoint, key: VerifierKey, line: str) -> None:
    """Raise NoteError unless `line` is this witness key's signature of the checkpoint, made at a stated time."""
    signature = _parse_signature(line.removesuffix("\n"))
    if (signature.name, signature.key_id) != (key.name, key.id) or key.algorithm not in WITNESS_ALGORITHMS:
        raise NoteError("a cosignature by another key")
    _verify(checkpoint, key, signature.data)
    if not 0 < int.from_bytes(signature.data[:8]) <= MAX_SECONDS:
        raise NoteError("a cosignature without a time")


def signed_at(checkpoint: Checkpoint) -> int:
    """Seconds since 1970 that the ML-DSA-44 signature of a verified checkpoint of ours states."""
    return int.from_bytes(checkpoint.signatures[1].data[:8])


def _verify(checkpoint: Checkpoint, key: VerifierKey, signature: bytes) -> None:
    if len(signature) != _SIGNATURE_SIZE[key.algorithm]:
        raise NoteError("a signature of the wrong length")
    try:
        match key.algorithm:
            case Algorithm.ED25519:
                Ed25519PublicKey.from_public_bytes(key.public).verify(signature, checkpoint.body.encode())
            case Algorithm.ED25519_COSIGNATURE:
                message = timed_text(int.from_bytes(signature[:8]), checkpoint.body)
                Ed25519PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
            case Algorithm.ML_DSA_44:
                message = cosigned_message(
                    key.name,
                    int.from_bytes(signature[:8]),
                    checkpoint.origin,
                    checkpoint.size,
                    checkpoint.root,
                )
                MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
    except InvalidSignature:
        raise NoteError(f"the {key.algorithm.name} signature of a checkpoint does not verify") from None


def _signature_line(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {_encode(key.id + signature)}\n"


def _parse_signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not _NAME.fullmatch(parts[1]):
        raise NoteError("a malformed signature line")
    name, data = parts[1], _decode(parts[2])
    if len(data) <= 4:
        raise NoteError("a malformed signature line")
    return Signature(name, data[:4], data[4:])


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Strict base64: the text must be the very encoding of what it decodes to."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("malformed base64") from None
    if _encode(data) != text:
        raise NoteError("malformed base64")
    return data

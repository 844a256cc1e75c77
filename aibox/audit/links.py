"""The way along a log's entries: each has its form and place and follows on the one before; an envelope is signed."""

from base64 import b64decode
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from aibox.audit import receipts, verifier
from aibox.audit.verifier.form import Fields, Refused, parse

SHAPES = {
    b'{"@":"aibox.turn/1"': "envelope",
    b'{"@":"aibox.tombstone/1"': "tombstone",
    b'{"@":"aibox.addendum/1"': "addendum",
    b'{"@":"aibox.shard/1"': "opening",
}
"""The forms of entries by how they begin; any other must be a key leaf."""

OPENED_AT = 1
"""The entry of a log that names the log before."""


class FaultFound(Exception):
    """An entry, or an event that it seals, is not what was signed."""

    def __init__(self, reason: str, *, turn_id: UUID | None = None, seq: int | None = None) -> None:
        super().__init__(reason)
        self.turn_id = turn_id
        self.seq = seq


class Key(Struct, frozen=True):
    """A key leaf of the log."""

    index: int
    kid: str
    public: bytes
    span: int

    @classmethod
    def of(cls, leaf: Fields) -> "Key":
        return cls(leaf["idx"], leaf["kid"], b64decode(leaf["pub"]), leaf["span"])

    def require_signed(self, entry: Fields, data: bytes, signature: bytes) -> None:
        """The envelope `data`, which reads `entry`, is one that this key may sign, and signed by it."""
        turn_id = UUID(entry["turn"])
        if self.kid != entry["kid"] or not self.index < entry["idx"] <= self.index + self.span:
            raise FaultFound("no key leaf allows the envelope's key", turn_id=turn_id)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, receipts.pre_authentication(data))
        except InvalidSignature:
            raise FaultFound("the envelope's signature does not verify", turn_id=turn_id) from None


class Links:
    """A log of `size` entries, read entry by entry from `begin` on."""

    def __init__(self, origin: str, size: int, *, begin: int = 0) -> None:
        self._origin = origin
        self._size = size
        self.next = begin
        """The index of the entry that is read next."""
        self.link: bytes | None = receipts.chain_genesis(origin) if begin == 0 else None
        """The chain up to `next`; None until the first entry that was read has stated it."""
        self.keys: dict[int, Key] = {}

    def take(self, data: bytes, shape: str, *, turn_id: UUID | None = None) -> tuple[Fields, bytes]:
        """What the entry says, and its leaf hash; `shape` is the form it must have. Raises `FaultFound`."""
        try:
            entry = parse(data, shape, "the entry")
        except Refused as why:
            raise FaultFound(str(why), turn_id=turn_id) from None
        if (entry["log"], entry["idx"]) != (self._origin, self.next):
            raise FaultFound("the entry is of another log or another place", turn_id=turn_id)
        if self.link is not None and entry["prev"] != self.link.hex():
            raise FaultFound("the chain does not lead to the entry", turn_id=turn_id)
        if shape == "closing" and self.next != self._size - 1:
            raise FaultFound("an entry follows the one that closed the log")
        if shape == "opening" and self.next != OPENED_AT:
            raise FaultFound(f"the log before is named by another entry than number {OPENED_AT}")
        leaf = verifier.leaf_hash(data)
        self.link = receipts.chain_next(self._origin, self.next, bytes.fromhex(entry["prev"]), leaf)
        if shape == "key":
            self.keys[self.next] = Key.of(entry)
        self.next += 1
        return entry, leaf


def shape_of(data: bytes) -> str:
    """What an entry must look like, by the type it begins with."""
    shape = next((shape for begin, shape in SHAPES.items() if data.startswith(begin)), "key")
    return "closing" if shape == "opening" and b'"next":' in data else shape

"""What signs what: a log's two checkpoint keys, derived from the ring, and a day's envelope key, never stored."""

import time
from functools import lru_cache

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aibox.audit.notes import Signer
from aibox.audit.receipts import key_id
from aibox.core.keyring import Ring

ENVELOPE_KEY_SECONDS = 24 * 3600


class HeadKeys:
    """The checkpoint keys of every log. Each log has its own, so that keys do not tell whose logs live together."""

    def __init__(self, ring: Ring) -> None:
        self.kid, self._seed = ring.current
        self.signer = lru_cache(maxsize=1000)(self._derive)

    def _derive(self, origin: str) -> Signer:
        """HKDF-SHA256 of the ring's current seed, with algorithm and origin as info."""
        seeds = (
            HKDF(SHA256(), 32, salt=None, info=f"aibox.audit.head/1\n{algorithm}\n{origin}".encode()).derive(self._seed)
            for algorithm in ("ed25519", "ml-dsa-44")
        )
        return Signer.derive(origin, *seeds)


class EnvelopeKey(msgspec.Struct, frozen=True):
    """A key that signs envelopes for a day, in this process only: it dies with it."""

    private: Ed25519PrivateKey
    made: float

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def kid(self) -> str:
        return key_id(self.public)

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.made > ENVELOPE_KEY_SECONDS


def new_envelope_key() -> EnvelopeKey:
    """A fresh key; its private half is kept nowhere else."""
    return EnvelopeKey(Ed25519PrivateKey.generate(), time.monotonic())

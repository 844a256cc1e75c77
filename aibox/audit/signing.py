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
        self.kid, _ = ring.current
        self._ring = ring
        self._signer = lru_cache(maxsize=1000)(self._derive)

    def signer(self, origin: str) -> Signer:
        """What signs the log's new heads."""
        return self._signer(origin, self.kid)

    def earlier(self, origin: str, kid: str) -> Signer | None:
        """What signed heads when `kid` came first in the ring; None when it is not in the ring any more."""
        return None if self._ring.get(kid) is None else self._signer(origin, kid)

    def _derive(self, origin: str, kid: str) -> Signer:
        """HKDF-SHA256 of the ring's seed, with algorithm and origin as info."""
        seed = self._ring.get(kid)
        assert seed is not None  # who asks has looked
        seeds = (
            HKDF(SHA256(), 32, salt=None, info=f"aibox.audit.head/1\n{algorithm}\n{origin}".encode()).derive(seed)
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

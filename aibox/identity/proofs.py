"""Proof of possession (DPoP, RFC 9449): a token that names a key opens only what that key signed, once, just now."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from joserfc import jwt
from joserfc.errors import JoseError

from aibox.core.keyring import Ring
from aibox.identity import InvalidDpopProof, InvalidToken, UseDpopNonce
from aibox.identity.jwks import public_key
from aibox.identity.tokens import read
from aibox.stores import Cache

ALGORITHMS = ("ES256", "PS256", "RS256", "Ed25519", "EdDSA")
NONCE_SECONDS = 300
"""A nonce of ours is good in its own span of five minutes and in the next."""
MAX_HEADER = 2048


class Proofs:
    """Checks proofs. A nonce is a span's number and its HMAC, so replicas need share nothing for it."""

    def __init__(self, ring: Ring, cache: Cache, base_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._cache = cache
        self._base_url = base_url
        self._clock = clock

    async def check(
        self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str, *, token: str, thumbprint: str
    ) -> None:
        """Raise unless exactly one proof fits: `InvalidDpopProof`, or `UseDpopNonce` with the nonce to use.

        A cache that cannot say whether the proof came before raises `StateUnavailable`.
        """
        sent = [value for name, value in headers if name == b"dpop"]
        if len(sent) != 1 or not sent[0].isascii():
            raise InvalidDpopProof(headers=_CHALLENGE)
        proof = sent[0].decode()
        try:
            parsed = read(proof, max_header=MAX_HEADER)
        except InvalidToken:
            raise InvalidDpopProof(headers=_CHALLENGE) from None
        header, claims = parsed.header, parsed.claims
        jwk = header.get("jwk")
        key = public_key(jwk) if isinstance(jwk, dict) else None
        algorithm = header.get("alg")
        if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt" or key is None:
            raise InvalidDpopProof(headers=_CHALLENGE)
        if algorithm not in ALGORITHMS or not hmac.compare_digest(key.thumbprint().encode(), thumbprint.encode()):
            raise InvalidDpopProof(headers=_CHALLENGE)
        try:
            jwt.decode(proof, key, algorithms=[algorithm])
        except (JoseError, ValueError):
            raise InvalidDpopProof(headers=_CHALLENGE) from None
        digest = _b64(hashlib.sha256(token.encode()).digest())
        if (claims.get("htm"), claims.get("htu"), claims.get("ath")) != (method, f"{self._base_url}{path}", digest):
            raise InvalidDpopProof(headers=_CHALLENGE)
        if claims.get("nonce") not in self._nonces():
            raise UseDpopNonce(
                headers={"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": self._nonces()[0]}
            )
        await self._spend(claims.get("jti"))

    async def _spend(self, jti: object) -> None:
        if not isinstance(jti, str) or not 0 < len(jti) <= 256:
            raise InvalidDpopProof(headers=_CHALLENGE)
        name = hashlib.sha256(jti.encode("utf-8", "replace")).hexdigest()
        if not await self._cache.add(f"dpop:{name}", b"1", ttl=2 * NONCE_SECONDS):
            raise InvalidDpopProof(headers=_CHALLENGE)

    def _nonces(self) -> list[str]:
        """The nonces that are good now, the one to hand out first."""
        span = int(self._clock()) // NONCE_SECONDS
        return [
            _b64(hmac.digest(key, b"aibox-dpop/1\n%d" % n, "sha256"))
            for n in (span, span - 1)
            for _, key in self._ring.keys
        ]


_CHALLENGE = {"WWW-Authenticate": 'DPoP error="invalid_dpop_proof"'}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

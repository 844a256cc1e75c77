"""An authenticator in software: makes passkeys and signs with them as a browser would hand it on (WebAuthn level 3)."""

import base64
import hashlib
import json
import os
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """One P-256 passkey. Whatever a test wants to be wrong is an argument."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.count = 0

    @property
    def public_key(self) -> bytes:
        """As COSE writes it."""
        public = self.key.public_key().public_numbers()
        cose: bytes = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32), -3: public.y.to_bytes(32)})
        return cose

    def create(self, options: dict[str, Any], *, origin: str) -> dict[str, Any]:
        """What `navigator.credentials.create` gives for `options`, as JSON."""
        attested = bytes(16) + len(self.id).to_bytes(2) + self.id + self.public_key
        data = self._data(options["rp"]["id"], USER_PRESENT | USER_VERIFIED | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            {
                "clientDataJSON": _b64(_client_data("webauthn.create", options["challenge"], origin)),
                "attestationObject": _b64(attestation),
            }
        )

    def get(
        self,
        options: dict[str, Any],
        *,
        origin: str,
        rp_id: str | None = None,
        challenge: str | None = None,
        flags: int = USER_PRESENT | USER_VERIFIED,
        count: int | None = None,
        kind: str = "webauthn.get",
        handle: bytes | None = None,
    ) -> dict[str, Any]:
        """What `navigator.credentials.get` gives for `options`, as JSON; `handle` names the person of the passkey."""
        self.count = self.count + 1 if count is None else count
        client_data = _client_data(kind, challenge or options["challenge"], origin)
        data = self._data(rp_id or options["rpId"], flags)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": _b64(client_data), "authenticatorData": _b64(data), "signature": _b64(signature)}
        return self._credential(response if handle is None else {**response, "userHandle": _b64(handle)})

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        return {"id": _b64(self.id), "rawId": _b64(self.id), "type": "public-key", "response": response}


def _client_data(kind: str, challenge: str, origin: str) -> bytes:
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

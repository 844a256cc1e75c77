"""The opaque secrets we hand out: how they look, and the digests that we keep instead of them."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import string
from uuid import UUID

from aibox.core.keyring import Ring

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_API_KEY = re.compile(r"(aibox_([0-9A-Za-z]{12})_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})")


def new_secret() -> str:
    """256 random bits, base64url."""
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def digest(secret: str) -> bytes:
    """What is stored of a 256-bit secret: it cannot be guessed, so a plain hash says nothing."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def new_api_key() -> tuple[str, str]:
    """(id, key): `aibox_<id>_<secret>_<crc>`, base62, 12, 43 and 6 characters; the CRC-32 is of what precedes."""
    key_id = "".join(secrets.choice(BASE62) for _ in range(12))
    body = f"aibox_{key_id}_{''.join(secrets.choice(BASE62) for _ in range(43))}"
    return key_id, f"{body}_{_checksum(body)}"


def is_api_key(text: str) -> bool:
    """Whether `text` has the form of a key and its checksum is right. Nothing is looked up for one that has not."""
    match = _API_KEY.fullmatch(text)
    return match is not None and hmac.compare_digest(_checksum(match[1]), match[3])


def api_key_digests(ring: Ring, key: str) -> list[bytes]:
    """The HMAC of a key under every key of the ring, the current first."""
    return [_mac(secret, b"aibox-apikey/1\n", key.encode()) for _, secret in ring.keys]


def csrf_tokens(ring: Ring, session: UUID) -> list[str]:
    """The CSRF token of a session under every key of the ring, the current first."""
    tags = (_mac(secret, b"aibox-csrf/1\n", session.bytes) for _, secret in ring.keys)
    return [base64.urlsafe_b64encode(tag).rstrip(b"=").decode() for tag in tags]


def is_csrf_token(ring: Ring, session: UUID, sent: bytes) -> bool:
    """Whether `sent` is the session's CSRF token under any key of the ring."""
    found = [hmac.compare_digest(token.encode(), sent) for token in csrf_tokens(ring, session)]
    return any(found)


def _checksum(body: str) -> str:
    value, digits = binascii.crc32(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return digits


def _mac(key: bytes, domain: bytes, message: bytes) -> bytes:
    return hmac.digest(key, domain + message, "sha256")

"""Time-based one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator reads them."""

import base64
import hmac
import os
from urllib.parse import quote, urlencode

STEP_SECONDS = 30
DIGITS = 6


def new_secret() -> bytes:
    """160 random bits, as RFC 4226 asks for."""
    return os.urandom(20)


def base32(secret: bytes) -> str:
    return base64.b32encode(secret).decode().rstrip("=")


def code(secret: bytes, step: int) -> str:
    """The code of a step, which is Unix time divided by 30."""
    tag = hmac.digest(secret, step.to_bytes(8), "sha1")
    offset = tag[-1] & 0x0F
    number = int.from_bytes(tag[offset : offset + 4]) & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def matching_step(secret: bytes, sent: str, *, now: float, after: int) -> int | None:
    """The step whose code was sent, one either side of `now` and later than `after`; each code counts once."""
    current = int(now) // STEP_SECONDS
    found = None
    for step in (current - 1, current, current + 1):
        if hmac.compare_digest(code(secret, step).encode(), sent.encode("utf-8", "replace")) and step > after:
            found = step
    return found


def address(secret: bytes, *, account: str) -> str:
    """The `otpauth:` address that apps read from a QR code."""
    query = urlencode({"secret": base32(secret), "issuer": "AIBox", "period": STEP_SECONDS, "digits": DIGITS})
    return f"otpauth://totp/AIBox:{quote(account)}?{query}"

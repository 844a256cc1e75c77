"""An issuer's public keys: fetched from the one address the operator wrote, refreshed, and kept while it is down."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from aibox.core.errors import ValidationFailed
from aibox.core.http import Broken, Client, Unreachable
from aibox.identity import IdpUnavailable, InvalidToken, KeyHealth

log = structlog.get_logger("aibox.identity.jwks")

FRESH_SECONDS = 600.0
STALE_SECONDS = 24 * 3600.0
UNKNOWN_SECONDS = 30.0
"""How often an unknown `kid` may make us fetch, so that random ones cost the issuer nothing (T22)."""
FETCH_SECONDS = 5.0
CHECK_SECONDS = 5.0
MAX_BYTES, MAX_KEYS, MIN_RSA_BITS = 1_000_000, 100, 2048

Key = RSAKey | ECKey | OKPKey
_KINDS: dict[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Jwks:
    """The key set of one issuer. One fetch runs at a time, however many wait for it."""

    def __init__(self, http: Client, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched = self._tried = self._asked_unknown = float("-inf")
        self._failure: str | None = None
        self._fetching = asyncio.Lock()

    async def having(self, kid: str) -> KeySet:
        """A set that holds the key named `kid`. Raises `InvalidToken` when there is none, or `IdpUnavailable`."""
        if self._clock() - self._fetched > FRESH_SECONDS:
            await self._refresh(since=self._clock(), again_after=UNKNOWN_SECONDS)
        if self._clock() - self._fetched > STALE_SECONDS:
            raise IdpUnavailable()
        if kid not in self._keys and self._clock() - self._asked_unknown >= UNKNOWN_SECONDS:
            self._asked_unknown = self._clock()
            await self._refresh(since=self._clock(), again_after=0.0)
        key = self._keys.get(kid)
        if key is None:
            raise InvalidToken()
        return KeySet([key])

    def health(self) -> KeyHealth:
        """How many keys are known, for how long, and why the last fetch failed."""
        age = self._clock() - self._fetched
        return KeyHealth(keys=len(self._keys), age=int(age) if self._keys else None, failure=self._failure)

    async def check(self) -> None:
        """Fetch at an administrator's word, though not more often than `CHECK_SECONDS`."""
        await self._refresh(since=self._clock(), again_after=CHECK_SECONDS)

    async def _refresh(self, *, since: float, again_after: float) -> None:
        """Fetch, unless another caller did while we waited, or the last try was less than `again_after` ago."""
        async with self._fetching:
            if self._fetched >= since or self._clock() - self._tried < again_after:
                return
            self._tried = self._clock()
            try:
                self._keys = _usable(await self._fetch())
            except (Unreachable, Broken, ValidationFailed, TimeoutError, ValueError, msgspec.DecodeError) as error:
                log.warning("identity.jwks_failed", url=self._url, error=type(error).__name__)
                self._failure = _told(error)
                return
            self._fetched, self._failure = self._clock(), None

    async def _fetch(self) -> bytes:
        async with asyncio.timeout(FETCH_SECONDS):
            reply = await self._http.send("GET", self._url, headers={"Accept": "application/json"})
            with contextlib.closing(reply):
                if reply.status != 200:
                    raise ValueError(f"status {reply.status}")
                return await reply.whole(limit=MAX_BYTES)


def _told(error: Exception) -> str:
    """Why a fetch failed, in words that quote nothing of what came."""
    match error:
        case TimeoutError():
            return f"no answer within {FETCH_SECONDS:.0f} seconds"
        case ValidationFailed():
            return "the address is internal: name its host in http.internal_hosts"
        case Unreachable():
            return "the address cannot be reached"
        case Broken():
            return "the answer broke off or was too large"
        case _:
            return "the answer is no key set"


def _usable(document: bytes) -> dict[str, Key]:
    """The document's keys that may verify, by `kid`; one whose `kid` stands twice is believed in neither form.

    Raises ValueError for a document that is no key set or has none: then the keys known before remain.
    """
    parsed = msgspec.json.decode(document)
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("no key set")
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("kid"), str)]
    kids = [entry["kid"] for entry in named]
    keys = {
        entry["kid"]: key for entry in named if kids.count(entry["kid"]) == 1 and (key := public_key(entry)) is not None
    }
    if not keys:
        raise ValueError("no usable key")
    return keys


def public_key(entry: dict[str, Any]) -> Key | None:
    """The public key in `entry`, or None for one that must not verify: symmetric, private, for encryption, or short."""
    kind = _KINDS.get(str(entry.get("kty")))
    if kind is None or _PRIVATE & entry.keys() or entry.get("use", "sig") != "sig":
        return None
    try:
        key = kind.import_key(entry)
        public = key.public_key
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
        return None
    return key

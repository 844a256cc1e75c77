"""What waits for one more step: sign-ins before their second factor, approvals on a device, pairing codes.

All of it lives minutes at most and stands in the cache, which replicas share; who loses it begins again. A cache that
cannot answer raises, so nobody passes meanwhile.
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from aibox.core.errors import RateLimited
from aibox.core.turn import uuid7
from aibox.identity import ChallengeInvalid, Client, Door, Examined, InvalidGrant, Method, PushRequest, SlowDown
from aibox.identity.secrets import new_secret
from aibox.stores import Cache

SIGN_IN_SECONDS = 120
PAIRING_SECONDS = 600
TRIES = 5
CODE_FAILURES, CODE_WINDOW = 10, 900
PUSHES, PUSH_WINDOW = 3, 300
PAIRING_TRIES, PAIRING_WINDOW = 5, 60
HANDSHAKE_SECONDS, HANDSHAKES = 30, 100
PAIRING_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # twenty consonants: no word, nothing that reads like another (RFC 8628 §6.1)
PAIRING_LENGTH = 8


class Waiting(Struct, frozen=True, kw_only=True):
    """A sign-in whose first step was right. `client` binds it to where that step came from."""

    id: str
    tenant: UUID
    user: UUID
    method: str
    amr: tuple[str, ...]
    is_browser: bool
    client: str
    methods: tuple[Method, ...]
    is_enrolling: bool
    webauthn: bytes = b""
    issuer: str = ""
    issuer_sid: str = ""
    door: Door = "auth"


class Push(Struct, frozen=True, kw_only=True):
    """An approval that a device is asked for."""

    id: str
    tenant: UUID
    user: UUID
    number: str
    origin: str
    address: str
    agent: str
    asked_at: datetime


PushState = Literal["pending", "approved", "denied", "wrong", "ended"]


class SignIns:
    """Sign-ins that wait for a second factor: single-use, bound to person and client, five tries, two minutes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def begin(self, waiting: Waiting) -> str:
        """The challenge token: 256 bits, of which only the digest is kept."""
        token = new_secret()
        await self._cache.set(_signin(token), msgspec.json.encode(waiting), ttl=SIGN_IN_SECONDS)
        return token

    async def of(self, token: str, client: Client) -> Waiting:
        """The sign-in behind a token, with one try taken. Raises `ChallengeInvalid`, and says no more (L03)."""
        stored = await self._cache.get(_signin(token))
        if stored is None or await self._cache.get(f"{_signin(token)}:done") is not None:
            raise ChallengeInvalid()
        waiting = msgspec.json.decode(stored, type=Waiting)
        if waiting.client != client_digest(client):
            raise ChallengeInvalid()
        return waiting

    async def attempt(self, token: str, waiting: Waiting) -> None:
        """Count a try before it is judged, so that parallel guesses count. Raises `ChallengeInvalid`, `RateLimited`."""
        if await self._cache.count(f"{_signin(token)}:tries", ttl=SIGN_IN_SECONDS) > TRIES:
            raise ChallengeInvalid()
        await self.attempt_code(waiting.tenant, waiting.user)

    async def attempt_code(self, tenant: UUID, user: UUID) -> None:
        """Count a try of a person's second factor, over all their challenges. Raises `RateLimited`."""
        if await self._cache.count(_codes(tenant, user), ttl=CODE_WINDOW) > CODE_FAILURES:
            raise RateLimited("Too many wrong codes; try again later.", retry_after=CODE_WINDOW)

    async def complete(self, token: str, waiting: Waiting) -> None:
        """Spend the token: exactly one of parallel uses gets through. Raises `ChallengeInvalid`."""
        if not await self._cache.add(f"{_signin(token)}:done", b"1", ttl=SIGN_IN_SECONDS):
            raise ChallengeInvalid()
        await self._cache.delete(_signin(token))
        await self._cache.delete(_codes(waiting.tenant, waiting.user))


class Pushes:
    """Approvals on a device: one pending a person, three in five minutes, each answered once."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def ask(self, waiting: Waiting, client: Client, origin: str) -> str:
        """The number to show, to be typed on the device. Asking again voids the request before (L04).

        Raises `RateLimited` for the fourth in five minutes (L05).
        """
        person = f"{waiting.tenant}:{waiting.user}"
        if await self._cache.count(f"push:rate:{person}", ttl=PUSH_WINDOW) > PUSHES:
            raise RateLimited("Too many requests to the device; try again later.", retry_after=PUSH_WINDOW)
        push = Push(
            id=waiting.id,
            tenant=waiting.tenant,
            user=waiting.user,
            number=f"{secrets.randbelow(90) + 10}",
            origin=origin,
            address=client.address,
            agent=client.agent[:200],
            asked_at=datetime.now(UTC),
        )
        await self._cache.set(f"push:{push.id}", msgspec.json.encode(push), ttl=SIGN_IN_SECONDS)
        await self._cache.set(f"push:of:{person}", push.id.encode(), ttl=SIGN_IN_SECONDS)
        return push.number

    async def pending(self, tenant: UUID, user: UUID) -> PushRequest | None:
        """What waits for the person's answer, without its number."""
        current = await self._cache.get(f"push:of:{tenant}:{user}")
        push = None if current is None else await self._read(current.decode())
        if push is None or await self.state(push.id) != "pending":
            return None
        return PushRequest(
            id=push.id, origin=push.origin, address=push.address, agent=push.agent, created_at=push.asked_at
        )

    async def open(self, tenant: UUID, user: UUID, push_id: str) -> Push:
        """The person's one pending request. Raises `ChallengeInvalid` for an older, answered or another's."""
        current = await self._cache.get(f"push:of:{tenant}:{user}")
        push = await self._read(push_id)
        if current != push_id.encode() or push is None or (push.tenant, push.user) != (tenant, user):
            raise ChallengeInvalid()
        return push

    async def answer(self, push: Push, state: PushState) -> None:
        """Answer it, once. Raises `ChallengeInvalid` when it was answered already."""
        if not await self._cache.add(f"push:{push.id}:state", state.encode(), ttl=SIGN_IN_SECONDS):
            raise ChallengeInvalid()

    async def state(self, push_id: str) -> PushState:
        """How far it is; what is gone has ended."""
        answered = await self._cache.get(f"push:{push_id}:state")
        if answered is not None:
            state: PushState = msgspec.convert(answered.decode(), PushState)
            return state
        return "pending" if await self._read(push_id) is not None else "ended"

    async def _read(self, push_id: str) -> Push | None:
        stored = await self._cache.get(f"push:{push_id}")
        return None if stored is None else msgspec.json.decode(stored, type=Push)


class Pairings:
    """Codes that a signed-in person shows to a new device: once, for ten minutes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def begin(self, tenant: UUID, user: UUID) -> str:
        """Eight consonants: 2.56e10 of them, five tries a minute from an address."""
        code = "".join(secrets.choice(PAIRING_ALPHABET) for _ in range(PAIRING_LENGTH))
        await self._cache.set(_pairing(code), f"{tenant} {user}".encode(), ttl=PAIRING_SECONDS)
        return f"{code[:4]}-{code[4:]}"

    async def redeem(self, code: str, client: Client) -> tuple[UUID, UUID]:
        """(tenant, person) of a code, which is spent. Raises `SlowDown`, or `InvalidGrant`."""
        if await self._cache.count(f"pair:tries:{client.address}", ttl=PAIRING_WINDOW) > PAIRING_TRIES:
            raise SlowDown()
        name = _pairing(code)
        stored = await self._cache.get(name)
        if stored is None or not await self._cache.add(f"{name}:used", b"1", ttl=PAIRING_SECONDS):
            raise InvalidGrant("The pairing code is not valid; show a new one.")
        await self._cache.delete(name)
        tenant, user = stored.decode().split()
        return UUID(tenant), UUID(user)


class Nonces:
    """Challenges of a session's own steps, such as a passkey's: each is good once, within five minutes."""

    SECONDS = 300

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def keep(self, purpose: str, session: str, challenge: bytes) -> None:
        """Remember the challenge that this session was given for `purpose`; an earlier one is void."""
        await self._cache.set(f"nonce:{purpose}:{session}", challenge, ttl=self.SECONDS)

    async def take(self, purpose: str, session: str) -> bytes:
        """The challenge, which is spent. Raises `ChallengeInvalid`."""
        name = f"nonce:{purpose}:{session}"
        challenge = await self._cache.get(name)
        if challenge is None:
            raise ChallengeInvalid()
        spent = hashlib.sha256(challenge).hexdigest()
        if not await self._cache.add(f"nonce:spent:{spent}", b"1", ttl=self.SECONDS):
            raise ChallengeInvalid()
        await self._cache.delete(name)
        return challenge


class Handshake(Struct, frozen=True, kw_only=True):
    """An NTLM challenge that was given on `connection`, with the two messages that led to the third."""

    nonce: bytes
    first: bytes
    second: bytes
    connection: str


class Handshakes:
    """NTLM challenges under way: each is answered once, within half a minute, at whichever replica."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def keep(self, handle: str, handshake: Handshake, *, address: str) -> None:
        """Remember a challenge. Raises `RateLimited` for the hundred and first in half a minute from an address."""
        if await self._cache.count(f"ntlm:open:{address}", ttl=HANDSHAKE_SECONDS) > HANDSHAKES:
            raise RateLimited("Too many sign-ins were begun; try again shortly.", retry_after=HANDSHAKE_SECONDS)
        await self._cache.set(_handshake(handle), msgspec.json.encode(handshake), ttl=HANDSHAKE_SECONDS)

    async def take(self, handle: str) -> Handshake | None:
        """The challenge, which is spent; None for one that is unknown, spent or too old."""
        name = _handshake(handle)
        stored = await self._cache.get(name)
        if stored is None or not await self._cache.add(f"{name}:spent", b"1", ttl=HANDSHAKE_SECONDS):
            return None
        await self._cache.delete(name)
        return msgspec.json.decode(stored, type=Handshake)


class Tests:
    """What came back of sign-ins that an administrator only tried: read once, by who tried it, within five minutes."""

    SECONDS = 300

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def keep(self, tenant: UUID, user: UUID, examined: Examined) -> str:
        """The name by which it can be read."""
        test = new_secret()
        await self._cache.set(_test(tenant, user, test), msgspec.json.encode(examined), ttl=self.SECONDS)
        return test

    async def take(self, tenant: UUID, user: UUID, test: str) -> Examined:
        """What came back, which is forgotten. Raises `ChallengeInvalid`."""
        name = _test(tenant, user, test)
        stored = await self._cache.get(name)
        if stored is None:
            raise ChallengeInvalid("This test is over; begin it again.")
        await self._cache.delete(name)
        return msgspec.json.decode(stored, type=Examined)


def new_waiting_id() -> str:
    """A challenge's public name, which opens nothing."""
    return str(uuid7())


def client_digest(client: Client) -> str:
    """What a challenge is bound to: the address and program that its first step came from."""
    return hashlib.sha256(f"{client.address}\n{client.agent}".encode("utf-8", "replace")).hexdigest()


def is_recent(auth_time: int | None, *, within: float) -> bool:
    """Whether a person proved who they are within so many seconds."""
    return auth_time is not None and time.time() - auth_time <= within


def _test(tenant: UUID, user: UUID, test: str) -> str:
    return f"sso:test:{tenant}:{user}:{hashlib.sha256(test.encode('utf-8', 'replace')).hexdigest()}"


def _handshake(handle: str) -> str:
    return f"ntlm:{hashlib.sha256(handle.encode('utf-8', 'replace')).hexdigest()}"


def _signin(token: str) -> str:
    return f"signin:challenge:{hashlib.sha256(token.encode('utf-8', 'replace')).hexdigest()}"


def _codes(tenant: UUID, user: UUID) -> str:
    return f"signin:codes:{tenant}:{user}"


def _pairing(code: str) -> str:
    folded = code.upper().replace("-", "").replace(" ", "")
    return f"pair:{hashlib.sha256(folded.encode('utf-8', 'replace')).hexdigest()}"

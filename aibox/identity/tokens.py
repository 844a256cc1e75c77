"""Access tokens: the strict reader before joserfc, and the signing and verifying of our own.

joserfc lets pass what we must not (identity.md, section 2): a missing `kid`, duplicate claims, an `exp` that is no
integer, any `typ`. So a token is read here first, in the order that identity.md numbers, and only then verified.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from aibox.core.errors import BootRefused
from aibox.core.keyring import Ring
from aibox.core.turn import uuid7
from aibox.identity import Door, InvalidAudience, InvalidIssuer, InvalidToken, TokenExpired, WrongTokenType

AUDIENCE = "aibox-frontend"
CLIENT = "aibox"
TYPE = "at+jwt"
ALGORITHM = "Ed25519"
SERVICE_AUDIENCE, SERVICE_TYPE, SERVICE_LIFE = "aibox-internal", "svc+jwt", 300
LEEWAY = 30
MAX_TOKEN, MAX_HEADER, MAX_DEPTH, MAX_INTEGER = 8192, 512, 8, 2**53

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9._=-]{1,128}")
_HEADER_NAMES = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})


class OwnIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """AIBox as an issuer: what is believed of tokens whose `iss` is exactly one of these."""

    issuers: frozenset[str]
    keys: KeySet
    algs: tuple[str, ...]
    audiences: frozenset[str]
    clients: frozenset[str]
    typ: str
    max_life: int


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token of ours says: whose it is and of which session. It carries no rights."""

    issuer: str
    user: UUID
    session: UUID
    expires: int


class Parsed(msgspec.Struct, frozen=True):
    """A token's two objects, read strictly and not yet verified."""

    header: dict[str, Any]
    claims: dict[str, Any]


class AccessTokens:
    """Signs our own access tokens and verifies them; other issuers' stand in `issuers.py`."""

    def __init__(self, ring: Ring, *, base_url: str, life: int, clock: Callable[[], float] = time.time) -> None:
        """`life` in seconds. Raises `BootRefused` (`boot_bad_key`) for a key that is no Ed25519 seed."""
        self.issuer = f"{base_url}/auth"
        self.issuers: dict[Door, str] = {"auth": self.issuer, "egauth": f"{base_url}/egauth"}
        self.life = life
        self._clock = clock
        keys = [_signing_key(kid, seed) for kid, seed in ring.keys]
        self._signer = keys[0]
        own = OwnIssuer(
            issuers=frozenset(self.issuers.values()),
            keys=KeySet([*keys]),
            algs=(ALGORITHM,),
            audiences=frozenset({AUDIENCE}),
            clients=frozenset({CLIENT}),
            typ=TYPE,
            max_life=3600,
        )
        self._own = own

    def issue(self, *, user: UUID, session: UUID, door: Door = "auth") -> str:
        """A token of `user` that lives for `life` seconds, or until `session` ends; `door` is where it is given out."""
        now = int(self._clock())
        claims = {
            "iss": self.issuers[door],
            "aud": AUDIENCE,
            "client_id": CLIENT,
            "sub": str(user),
            "sid": str(session),
            "iat": now,
            "exp": now + self.life,
            "jti": str(uuid7()),
        }
        header = {"alg": ALGORITHM, "kid": self._signer.kid, "typ": TYPE}
        return jwt.encode(header, claims, self._signer, algorithms=[ALGORITHM])

    def issue_service(self, module: str) -> str:
        """A token with which a part of ours calls `module`, for five minutes. It opens nothing else (T18)."""
        now = int(self._clock())
        claims = {"iss": self.issuer, "aud": SERVICE_AUDIENCE, "sub": module, "iat": now, "exp": now + SERVICE_LIFE}
        header = {"alg": ALGORITHM, "kid": self._signer.kid, "typ": SERVICE_TYPE}
        return jwt.encode(header, claims, self._signer, algorithms=[ALGORITHM])

    def is_service(self, token: str, module: str) -> bool:
        """Whether `token` is a service token of ours for `module` that is valid now."""
        try:
            parsed = parse(token)
            if parsed.header.get("typ") != SERVICE_TYPE or parsed.claims.get("iss") != self.issuer:
                return False
            if parsed.header["kid"] not in {key.kid for key in self._own.keys.keys}:
                return False
            jwt.decode(token, self._own.keys, algorithms=self._own.algs)
            check_times(parsed.claims, max_life=SERVICE_LIFE, now=self._clock())
        except (InvalidToken, TokenExpired, JoseError, ValueError):
            return False
        return (parsed.claims.get("aud"), parsed.claims.get("sub")) == (SERVICE_AUDIENCE, module)

    def verify(self, token: str) -> Claims:
        """The claims of a token that we signed and that is valid now.

        Raises `InvalidToken`, `InvalidIssuer`, `InvalidAudience`, `WrongTokenType` or `TokenExpired`.
        """
        return self.verify_parsed(token, parse(token))

    def verify_parsed(self, token: str, parsed: "Parsed") -> Claims:
        """`verify` for a token that was read already."""
        issuer = self._own
        if not self.is_own(parsed):
            raise InvalidIssuer()
        if parsed.header["kid"] not in {key.kid for key in issuer.keys.keys}:
            raise InvalidToken()
        try:
            jwt.decode(token, issuer.keys, algorithms=issuer.algs)
        except (JoseError, ValueError):
            raise InvalidToken() from None
        return self._judge(parsed, issuer)

    def is_own(self, parsed: "Parsed") -> bool:
        """Whether a token names us as its issuer."""
        iss = parsed.claims.get("iss")
        return isinstance(iss, str) and iss in self._own.issuers

    def remaining(self, claims: Claims) -> float:
        """For how many seconds `verify` will still accept the token, its leeway included."""
        return claims.expires + LEEWAY - self._clock()

    def jwks(self) -> dict[str, Any]:
        """The public half of the ring, as a key set."""
        own = self._own
        return {"keys": [{**key.as_dict(private=False), "alg": ALGORITHM, "use": "sig"} for key in own.keys.keys]}

    def _judge(self, parsed: Parsed, issuer: OwnIssuer) -> Claims:
        claims, now = parsed.claims, self._clock()
        if parsed.header.get("typ") != issuer.typ:
            raise WrongTokenType()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(name, str) and name in issuer.audiences for name in audiences):
            raise InvalidAudience()
        if claims.get("client_id", claims.get("azp")) not in issuer.clients:
            raise InvalidAudience()
        check_times(claims, max_life=issuer.max_life, now=now)
        try:
            user, session = UUID(claims["sub"]), UUID(claims["sid"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidToken() from None
        return Claims(issuer=claims["iss"], user=user, session=session, expires=claims["exp"])


def check_times(claims: Mapping[str, Any], *, max_life: int, now: float) -> None:
    """Raise unless `iat`, `nbf` and `exp` say that the token is valid now and lives for at most `max_life` seconds."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if issued is None or expires is None or not 0 < expires - issued <= max_life:
        raise InvalidToken()
    if max(issued, claims.get("nbf", issued)) > now + LEEWAY:
        raise InvalidToken()
    if expires + LEEWAY <= now:
        raise TokenExpired()


def parse(token: str) -> Parsed:
    """A compact JWS read strictly (identity.md, "Pre-parser", 1 to 4); raises `InvalidToken`. Does no I/O."""
    parsed = read(token, max_header=MAX_HEADER)
    header, claims = parsed.header, parsed.claims
    if not header.keys() <= _HEADER_NAMES or not all(isinstance(value, str) for value in header.values()):
        raise InvalidToken()
    if "alg" not in header or not _KID.fullmatch(header.get("kid", "")):
        raise InvalidToken()
    if any(type(claims[name]) is not int for name in ("exp", "nbf", "iat", "auth_time") if name in claims):
        raise InvalidToken()
    return parsed


def read(token: str, *, max_header: int) -> Parsed:
    """A compact JWS in its one spelling, whatever its header says; raises `InvalidToken`."""
    segments = token.split(".") if len(token) <= MAX_TOKEN else []
    if len(segments) != 3:
        raise InvalidToken()
    header_bytes, claims_bytes, _ = (_decode(segment) for segment in segments)
    if len(header_bytes) > max_header:
        raise InvalidToken()
    return Parsed(_object(header_bytes), _object(claims_bytes))


def _decode(segment: str) -> bytes:
    """base64url without padding that encodes back to itself: no whitespace, no `+/`, no stray trailing bits."""
    if not _SEGMENT.fullmatch(segment):
        raise InvalidToken()
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken() from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise InvalidToken()
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse, parse_int=_integer
        )
    except (ValueError, RecursionError):
        raise InvalidToken() from None
    if not isinstance(value, dict) or _depth(value) > MAX_DEPTH:
        raise InvalidToken()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError("integer beyond 2^53")
    return int(text)


def _depth(value: object) -> int:
    """Nesting of objects and lists; the parser bounds the recursion, for it recursed as deep already."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(_depth, children), default=0)


def _signing_key(kid: str, seed: bytes) -> OKPKey:
    if len(seed) != 32:
        raise BootRefused("boot_bad_key", f"Key ring token: key {kid} must be exactly 32 bytes, an Ed25519 seed.")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    parts: dict[str, str | list[str]] = {"crv": "Ed25519", "x": _b64(public), "d": _b64(seed), "kty": "OKP", "kid": kid}
    return OKPKey.import_key(parts)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

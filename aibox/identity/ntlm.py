"""NTLMSSP messages: reads the client's two strictly, makes ours, and proves what joins them (MS-NLMP, RFC 5929).

Pure functions without I/O. Only NTLMv2 with a channel binding, a target name and a message integrity code is read;
everything older or odder raises `NtlmError`. That the response is right is for the verifier to say, who knows the
password: a right one authenticates the whole of `Authenticate.blob`, so what stands in there is the client's own word.
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

SIGNATURE = b"NTLMSSP\x00"
MAX_MESSAGE = 8192

UNICODE, REQUEST_TARGET, NTLM, ANONYMOUS = 0x1, 0x4, 0x200, 0x800
ALWAYS_SIGN, TARGET_IS_DOMAIN, TARGET_IS_SERVER = 0x8000, 0x1_0000, 0x2_0000
EXTENDED_SECURITY, TARGET_INFO, VERSION = 0x8_0000, 0x80_0000, 0x200_0000
KEY_128, KEY_EXCHANGE, KEY_56 = 0x2000_0000, 0x4000_0000, 0x8000_0000
WANTED = UNICODE | NTLM | EXTENDED_SECURITY
"""What a client must offer. Without extended session security a type 3 could be one of NTLMv1."""

AV_END, AV_COMPUTER, AV_DOMAIN, AV_DNS_COMPUTER, AV_DNS_DOMAIN, AV_DNS_TREE = range(6)
AV_FLAGS, AV_TIMESTAMP, AV_SINGLE_HOST, AV_TARGET, AV_BINDING = 6, 7, 8, 9, 10
HAS_MIC = 0x2
"""The bit of `AV_FLAGS` by which the client says that its message carries an integrity code."""

_VERSION = bytes([10, 0, 0, 0, 0, 0, 0, 15])
_HEADER, _MIC, _PAYLOAD = 64, 72, 88
_V1_RESPONSE, _PROOF, _BLOB = 24, 16, 28
_EPOCH = 116_444_736_000_000_000
"""1970 in the hundreds of nanoseconds since 1601 that Windows counts."""
_ACCOUNT = re.compile(r'[^\x00-\x1f\x7f"/\\\[\]:;|=,+*?<>@]{1,104}')
_DOMAIN = re.compile(r"[\w.-]{1,255}")


class NtlmError(Exception):
    """A message that is not what a client of NTLMv2 sends; the text is for our log."""


class Target(Struct, frozen=True, kw_only=True):
    """Whom a client authenticates to: the machine's names in the domain, as the verifier gives them."""

    name: str
    is_domain: bool
    pairs: Mapping[int, bytes]

    @property
    def domain(self) -> str:
        """Where an account is looked for that names no domain."""
        return _text(self.pairs.get(AV_DOMAIN, b"")) or self.name


class Authenticate(Struct, frozen=True, kw_only=True):
    """A type 3 message: who, the proof, and what the proof covers. `pairs` are the AV pairs of the covered blob."""

    domain: str
    account: str
    response: bytes
    timestamp: bytes
    pairs: Mapping[int, bytes]
    mic: bytes
    without_mic: bytes


def offered(message: bytes) -> int:
    """The flags of a type 1 message. Raises `NtlmError` for one that could not lead to NTLMv2."""
    flags: int
    if not 16 <= len(message) <= MAX_MESSAGE or message[:8] != SIGNATURE:
        raise NtlmError("no NTLMSSP message")
    kind, flags = struct.unpack_from("<II", message, 8)
    if kind != 1:
        raise NtlmError("not the first message")
    if flags & WANTED != WANTED:
        raise NtlmError("the client offers no NTLMv2 in Unicode")
    return flags


def kind_of(message: bytes) -> int:
    """Which of the three messages this says it is. Raises `NtlmError`."""
    if len(message) < 12 or message[:8] != SIGNATURE:
        raise NtlmError("no NTLMSSP message")
    kind: int = struct.unpack_from("<I", message, 8)[0]
    return kind


def challenge(target: Target, flags: int, nonce: bytes, *, handle: str, now: float) -> bytes:
    """A type 2 message with the 8-byte `nonce`. The client must repeat the target's pairs in what it proves: `handle`
    is one of them, and finds the challenge again wherever the type 3 message arrives.

    Neither signing nor a key exchange is agreed: TLS does that, and the integrity code needs neither.
    """
    kept = flags & (KEY_128 | KEY_56 | ALWAYS_SIGN | REQUEST_TARGET) | WANTED | TARGET_INFO | VERSION
    kept |= TARGET_IS_DOMAIN if target.is_domain else TARGET_IS_SERVER
    name = _utf16(target.name)
    pairs = {**target.pairs, AV_DNS_TREE: _utf16(handle), AV_TIMESTAMP: struct.pack("<Q", _EPOCH + int(now * 1e7))}
    info = b"".join(_pair(kind, pairs[kind]) for kind in sorted(pairs)) + _pair(AV_END, b"")
    return b"".join(
        (
            SIGNATURE,
            struct.pack("<I", 2),
            _place(len(name), 56),
            struct.pack("<I", kept),
            nonce,
            bytes(8),
            _place(len(info), 56 + len(name)),
            _VERSION,
            name,
            info,
        )
    )


def target_of(message: bytes) -> Target:
    """The names in a type 2 message, such as the verifier's own. Raises `NtlmError`."""
    if len(message) < 56 or kind_of(message) != 2:
        raise NtlmError("no challenge")
    (flags,) = struct.unpack_from("<I", message, 20)
    pairs = _pairs(_field(message, 40, floor=48))
    names = {kind: value for kind, value in pairs.items() if kind in range(AV_COMPUTER, AV_DNS_TREE) and value}
    return Target(name=_text(_field(message, 12, floor=48)), is_domain=bool(flags & TARGET_IS_DOMAIN), pairs=names)


def pairs_of(message: bytes) -> dict[int, bytes]:
    """The AV pairs of a type 2 message of ours."""
    return _pairs(_field(message, 40, floor=48))


def authenticate(message: bytes) -> Authenticate:
    """A type 3 message of NTLMv2 with an integrity code. Raises `NtlmError` for all else, NTLMv1 first of all."""
    if not _PAYLOAD <= len(message) <= MAX_MESSAGE or kind_of(message) != 3:
        raise NtlmError("no type 3 message")
    (flags,) = struct.unpack_from("<I", message, 60)
    if flags & WANTED != WANTED or flags & (ANONYMOUS | KEY_EXCHANGE):
        raise NtlmError("flags that were not agreed")
    old, response, domain, account, _, key = (_field(message, place, floor=_PAYLOAD) for place in range(12, 60, 8))
    if len(response) <= _V1_RESPONSE or old.strip(b"\x00"):
        raise NtlmError("a response of NTLMv1")
    if key:
        raise NtlmError("a key exchange that was not agreed")
    timestamp, pairs = _blob(response[_PROOF:])
    name, realm = _text(account), _text(domain)
    if not is_person(realm, name):
        raise NtlmError("no person's account of a domain")
    return Authenticate(
        domain=realm,
        account=name,
        response=response,
        timestamp=timestamp,
        pairs=pairs,
        mic=message[_MIC:_PAYLOAD],
        without_mic=message[:_MIC] + bytes(16) + message[_PAYLOAD:],
    )


def is_person(domain: str, account: str) -> bool:
    """Whether this may be a person of a domain. A computer's account, which ends in `$`, is none: computers can be made
    to sign in anywhere."""
    return bool(_DOMAIN.fullmatch(domain) and _ACCOUNT.fullmatch(account)) and not account.endswith("$")


def handle_of(answer: Authenticate) -> str:
    """By which challenge the client proves itself, in its own words. Raises `NtlmError`."""
    return _text(answer.pairs.get(AV_DNS_TREE, b""))


def repeats(answer: Authenticate, sent: Mapping[int, bytes]) -> bool:
    """Whether the client proves over every pair that it was sent, the time among them."""
    return answer.timestamp == sent[AV_TIMESTAMP] and all(answer.pairs.get(kind) == sent[kind] for kind in sent)


def is_bound(answer: Authenticate, bindings: Sequence[bytes]) -> bool:
    """Whether the client proves over a TLS channel that ends at one of these certificates."""
    sent = answer.pairs.get(AV_BINDING, b"")
    return any(hmac.compare_digest(sent, binding) for binding in bindings)


def is_for(answer: Authenticate, host: str, port: int) -> bool:
    """Whether the client means the web server there: it names it as `HTTP/host`, or with the port, in any case."""
    service, _, named = _text(answer.pairs.get(AV_TARGET, b"")).casefold().partition("/")
    return service == "http" and named in (host.casefold(), f"{host.casefold()}:{port}")


def is_whole(answer: Authenticate, first: bytes, second: bytes, key: bytes) -> bool:
    """Whether the three messages are those that the client saw; `key` is the session's, from the verifier."""
    code = hmac.new(key, first + second + answer.without_mic, "md5").digest()
    return hmac.compare_digest(code, answer.mic)


def bindings_of(pem: bytes) -> tuple[bytes, ...]:
    """The `tls-server-end-point` binding of each certificate in `pem`, as NTLM carries it: MD5 of the GSS-API form.

    Raises `ValueError` for a text without a certificate, or one whose signature uses no hash (RFC 5929 defines none).
    """
    return tuple(map(_binding, x509.load_pem_x509_certificates(pem)))


def _binding(certificate: x509.Certificate) -> bytes:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        raise ValueError("the certificate's signature uses no hash function")
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    digest = hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()
    data = b"tls-server-end-point:" + digest
    return hashlib.md5(bytes(16) + struct.pack("<I", len(data)) + data, usedforsecurity=False).digest()


def _blob(blob: bytes) -> tuple[bytes, dict[int, bytes]]:
    """(time, AV pairs) of what an NTLMv2 response proves over (MS-NLMP 2.2.2.7)."""
    if len(blob) < _BLOB or blob[:8] != b"\x01\x01" + bytes(6) or blob[24:28] != bytes(4):
        raise NtlmError("no NTLMv2 response")
    pairs = _pairs(blob[_BLOB:])
    if not int.from_bytes(pairs.get(AV_FLAGS, b""), "little") & HAS_MIC:
        raise NtlmError("no integrity code")
    return blob[8:16], pairs


def _pairs(data: bytes) -> dict[int, bytes]:
    """AV pairs up to their end, each kind once; after the end there may be zeros."""
    pairs: dict[int, bytes] = {}
    at = 0
    while True:
        if at + 4 > len(data):
            raise NtlmError("a list without an end")
        kind, size = struct.unpack_from("<HH", data, at)
        value = data[at + 4 : at + 4 + size]
        at += 4 + size
        if kind == AV_END:
            if size or data[at:].strip(b"\x00"):
                raise NtlmError("something after the end of a list")
            return pairs
        if len(value) != size or kind in pairs or size != _SIZES.get(kind, size):
            raise NtlmError("a list that can be read in two ways")
        pairs[kind] = value


_SIZES = {AV_FLAGS: 4, AV_TIMESTAMP: 8, AV_BINDING: 16}


def _field(message: bytes, place: int, *, floor: int) -> bytes:
    """The part of a message that the length and offset at `place` point at, beyond its fixed part."""
    size, _, offset = struct.unpack_from("<HHI", message, place)
    if size == 0:
        return b""
    if offset < floor or offset + size > len(message):
        raise NtlmError("a field outside its message")
    return message[offset : offset + size]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError:
        raise NtlmError("a text that is not Unicode") from None


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def _place(size: int, offset: int) -> bytes:
    return struct.pack("<HHI", size, size, offset)


def _pair(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value

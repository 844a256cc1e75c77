"""Windows accounts for tests: a certificate to be bound to, a client of NTLM, and a verifier of some accounts."""

import base64
import hmac
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import spnego
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct
from spnego.channel_bindings import GssChannelBindings

from aibox.identity.ntlm import Target
from aibox.identity.winbind import Proven

PASSWORD = "correct horse battery"
NT_HASH = bytes.fromhex("3d211b74dd729be1e552b4727594f3eb")
"""MD4 of that password in UTF-16, which is what a domain controller keeps."""

Key = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


class Certificate(Struct, frozen=True):
    """A self-signed certificate in two files, and what a TLS channel that ends at it is bound to."""

    path: Path
    key: Path
    binding: GssChannelBindings


def certificate(folder: Path, host: str, name: str = "front", *, key: Key | None = None) -> Certificate:
    """A new one, with a key on P-256 unless given another."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256())
    )
    path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Certificate(path, key_path, bound_to(made.public_bytes(Encoding.DER)))


def bound_to(der: bytes) -> GssChannelBindings:
    """The `tls-server-end-point` binding of a certificate signed with SHA-256 (RFC 5929)."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return GssChannelBindings(application_data=b"tls-server-end-point:" + digest.finalize())


class Domain:
    """A `Verifier` that knows the password of some accounts of the domain CORP, and computes as a controller does."""

    def __init__(self, *accounts: str) -> None:
        self._accounts = {account.casefold(): f"S-1-5-21-1-2-3-{1000 + n}" for n, account in enumerate(accounts)}
        self.asked = 0

    async def target(self) -> Target:
        pairs = {1: "FILESRV", 2: "CORP", 3: "filesrv.corp.test", 4: "corp.test"}
        return Target(
            name="CORP", is_domain=True, pairs={kind: text.encode("utf-16-le") for kind, text in pairs.items()}
        )

    async def response(self, domain: str, account: str, *, challenge: bytes, response: bytes) -> Proven | None:
        self.asked += 1
        sid = self._accounts.get(account.casefold()) if domain.casefold() == "corp" else None
        owner = hmac.new(NT_HASH, (account.upper() + domain).encode("utf-16-le"), "md5").digest()
        proof = hmac.new(owner, challenge + response[16:], "md5").digest()
        if sid is None or proof != response[:16]:
            return None
        return Proven(sid, hmac.new(owner, proof, "md5").digest())

    async def password(self, domain: str, account: str, password: str) -> Proven | None:
        self.asked += 1
        sid = self._accounts.get(account.casefold()) if domain.casefold() == "corp" else None
        return None if sid is None or password != PASSWORD else Proven(sid)


class Windows:
    """A client of NTLM at `host`, over a TLS channel bound as `binding` says."""

    def __init__(
        self,
        account: str = "CORP\\alice",
        password: str = PASSWORD,
        *,
        host: str = "ai.example",
        binding: GssChannelBindings | None = None,
    ) -> None:
        self._context = spnego.client(
            account, password, hostname=host, service="http", protocol="ntlm", channel_bindings=binding
        )

    def first(self) -> bytes:
        """The type 1 message."""
        return self._context.step() or b""

    def third(self, second: bytes) -> bytes:
        """The type 3 message to this type 2."""
        return self._context.step(second) or b""

    async def sign_in(self, http: httpx.AsyncClient) -> httpx.Response:
        """The whole handshake, on the connection of `http`."""
        return await send(http, self.third(second_of(await send(http, self.first()))))


async def send(http: httpx.AsyncClient, message: bytes) -> httpx.Response:
    """A request with one NTLM message."""
    return await http.post("/egauth/ntlm", headers={"Authorization": f"NTLM {base64.b64encode(message).decode()}"})


def second_of(answer: httpx.Response) -> bytes:
    """The type 2 message of an answer."""
    assert (answer.status_code, answer.json()["code"]) == (401, "ntlm_challenge"), answer.text
    scheme, message = answer.headers["www-authenticate"].split()
    assert scheme == "NTLM"
    return base64.b64decode(message, validate=True)


def nonce_of(second: bytes) -> bytes:
    """The server's challenge in a type 2 message."""
    return second[24:32]


def with_flags(message: bytes, at: int, *, clear: int = 0, put: int = 0) -> bytes:
    """A message with other flags, as someone in between would change them."""
    (flags,) = struct.unpack_from("<I", message, at)
    return message[:at] + struct.pack("<I", flags & ~clear | put) + message[at + 4 :]

"""Key rings and envelope encryption: secrets and artifacts are sealed under tenant keys that the master key wraps.

Text form (identity.md, "Secrets keyring"): `v2:<kid>:<12-byte IV>:<tag>:<ciphertext>`, base64 parts, AES-256-GCM, with
(`aibox.secret/2`, tenant, owner, field, kid) as length-prefixed associated data: moved to another row it does not open.
A data key belongs to (tenant, subject); destroying it erases whatever was sealed for that subject.
"""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aibox.core.errors import AIBoxError, BootRefused

RING_NAMES = ("principal", "captoken", "token", "apikey", "cookie", "secrets", "audit")
_KID = re.compile(r"[a-z0-9-]{1,32}")
_EXAMPLES = (b"aibox-audit-signing-key-change-me", b"change-me", b"changeme", b"secret", b"example")


def _ring(env: str, purpose: str) -> msgspec.Meta:
    return msgspec.Meta(
        description=f"`kid:base64,…` for {purpose}; empty: generated into the data folder",
        extra={"env": env, "secret": True},
    )


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Key rings. Each has keys of at least 32 bytes of its own; the first signs, all verify."""

    principal: Annotated[str, _ring("AIBOX_PRINCIPAL_KEYS", "signed principals")] = ""
    captoken: Annotated[str, _ring("AIBOX_CAPTOKEN_KEYS", "capability tokens")] = ""
    token: Annotated[str, _ring("AIBOX_TOKEN_KEYS", "access tokens (Ed25519 seeds)")] = ""
    apikey: Annotated[str, _ring("AIBOX_APIKEY_KEYS", "API keys")] = ""
    cookie: Annotated[str, _ring("AIBOX_COOKIE_KEYS", "web sessions and CSRF")] = ""
    secrets: Annotated[str, _ring("SECRETS_MASTER_KEY", "stored secrets")] = ""
    audit: Annotated[str, _ring("AUDIT_SIGNING_KEY", "checkpoints (32-byte seeds)")] = ""

    @property
    def given(self) -> dict[str, str]:
        """Ring texts by name, empty ones included."""
        return {name: getattr(self, name) for name in RING_NAMES}


class SecretUnreadable(AIBoxError):
    """A sealed value does not open: wrong key, wrong row, or altered."""

    status = 500
    code = "secret_unreadable"
    sentence = "A stored secret cannot be opened with the present keys."


class Ring(msgspec.Struct, frozen=True):
    """Keys of one purpose by key id; the first signs, all verify."""

    name: str
    keys: tuple[tuple[str, bytes], ...]

    @property
    def current(self) -> tuple[str, bytes]:
        return self.keys[0]

    def get(self, kid: str) -> bytes | None:
        """The key named `kid`; compares in constant time, unknown ids included."""
        found: bytes | None = None
        for name, key in self.keys:
            if hmac.compare_digest(name.encode(), kid.encode()):
                found = key
        return found


class Rings(msgspec.Struct, frozen=True):
    """All rings of the installation. No key stands in two of them."""

    rings: dict[str, Ring]

    def __getitem__(self, name: str) -> Ring:
        return self.rings[name]


def parse_ring(name: str, text: str) -> Ring:
    """`kid:base64,…` as a Ring. Refuses short, malformed and example keys with `boot_bad_key`."""
    keys: list[tuple[str, bytes]] = []
    for entry in text.split(","):
        kid, _, encoded = entry.strip().partition(":")
        if not _KID.fullmatch(kid):
            raise BootRefused("boot_bad_key", f"Key ring {name}: a key id must match [a-z0-9-]{{1,32}}.")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise BootRefused("boot_bad_key", f"Key ring {name}: key {kid} is not base64.") from None
        if len(key) < 32:
            raise BootRefused("boot_bad_key", f"Key ring {name}: key {kid} is shorter than 32 bytes.")
        if any(key.lower().startswith(example) for example in _EXAMPLES) or len(set(key)) < 8:
            raise BootRefused("boot_bad_key", f"Key ring {name}: key {kid} is an example; generate a new one.")
        if kid in dict(keys):
            raise BootRefused("boot_bad_key", f"Key ring {name}: key id {kid} stands twice.")
        keys.append((kid, key))
    return Ring(name, tuple(keys))


def load_rings(path: Path, given: Mapping[str, str]) -> Rings:
    """The rings of the settings (`given`: name -> text), the others from the key file, made there when missing.

    The file is created with mode 0600; a wider one refuses the start, as does a key that stands in two rings.
    """
    given = {name: text for name, text in given.items() if text}
    texts = {**_read_key_file(path), **given}
    if any(name not in texts for name in RING_NAMES):
        with _alone(path.parent):  # two first starts at once: the second finds the first one's keys
            stored = _read_key_file(path)
            missing = [name for name in RING_NAMES if name not in stored and name not in given]
            stored |= {name: f"k1:{base64.b64encode(os.urandom(32)).decode()}" for name in missing}
            _write_key_file(path, stored)
        texts = {**stored, **given}
    rings = {name: parse_ring(name, texts[name]) for name in RING_NAMES}
    seen: dict[bytes, str] = {}
    for ring in rings.values():
        for _, key in ring.keys:
            other = seen.setdefault(hashlib.sha256(key).digest(), ring.name)
            if other != ring.name:
                raise BootRefused("boot_bad_key", f"Key rings {other} and {ring.name} share a key.")
    return Rings(rings)


def add_key(path: Path, ring: str) -> str:
    """Put a new key first in a ring of the key file; its id. `BootRefused` when the ring is set elsewhere."""
    with _alone(path.parent):
        stored = _read_key_file(path)
        known = _known_ring(path, stored, ring)
        number = next(n for n in range(1, len(known.keys) + 2) if known.get(f"k{n}") is None)
        stored[ring] = f"k{number}:{base64.b64encode(os.urandom(32)).decode()},{stored[ring]}"
        _write_key_file(path, stored)
    return f"k{number}"


def drop_old_keys(path: Path, ring: str) -> list[str]:
    """Keep only the first key of a ring of the key file; the ids of those that went."""
    with _alone(path.parent):
        stored = _read_key_file(path)
        old = [kid for kid, _ in _known_ring(path, stored, ring).keys[1:]]
        stored[ring] = stored[ring].split(",", 1)[0]
        _write_key_file(path, stored)
    return old


def _known_ring(path: Path, stored: Mapping[str, str], ring: str) -> Ring:
    if ring not in stored:
        raise BootRefused("boot_bad_key", f"Ring {ring} is not in {path}: change it where you set it.")
    return parse_ring(ring, stored[ring])


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """No other process is in this block for the same folder, whose entries are on disk at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)  # which unlocks


def _read_key_file(path: Path) -> dict[str, str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return {}
    if mode & 0o077:
        raise BootRefused("boot_bad_key", f"Run `chmod 600 {path}`: the key file may be read by its owner only.")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.DecodeError:
        raise BootRefused("boot_bad_key", f"{path} is not a key file; restore it from your backup.") from None


def _write_key_file(path: Path, texts: Mapping[str, str]) -> None:
    draft = path.with_suffix(".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(texts), indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class DataKey(msgspec.Struct, frozen=True):
    """An unwrapped data key of one (tenant, subject)."""

    kid: str
    key: bytes
    tenant: UUID

    label: ClassVar[bytes] = b"aibox.secret/2"

    def seal(self, plain: bytes, *, owner: str, field: str) -> str:
        """`plain` sealed for `owner`'s `field`; opens nowhere else."""
        iv = os.urandom(12)
        sealed = AESGCM(self.key).encrypt(iv, plain, self._associated(owner, field))
        cipher, tag = sealed[:-16], sealed[-16:]
        parts = (base64.b64encode(part).decode() for part in (iv, tag, cipher))
        return ":".join(("v2", self.kid, *parts))

    def open(self, sealed: str, *, owner: str, field: str) -> bytes:
        """The plain bytes; `SecretUnreadable` when key, owner, field or bytes are not those it was sealed with."""
        try:
            version, kid, iv, tag, cipher = sealed.split(":")
            if version != "v2" or kid != self.kid:
                raise SecretUnreadable()
            return AESGCM(self.key).decrypt(
                _decoded(iv), _decoded(cipher) + _decoded(tag), self._associated(owner, field)
            )
        except (ValueError, binascii.Error, InvalidTag):
            raise SecretUnreadable() from None

    def seal_bytes(self, plain: bytes, *, owner: str, field: str) -> bytes:
        """The compact form for artifacts: IV || ciphertext || tag."""
        iv = os.urandom(12)
        return iv + AESGCM(self.key).encrypt(iv, plain, self._associated(owner, field))

    def open_bytes(self, sealed: bytes, *, owner: str, field: str) -> bytes:
        """The inverse of `seal_bytes`; raises `SecretUnreadable`."""
        try:
            return AESGCM(self.key).decrypt(sealed[:12], sealed[12:], self._associated(owner, field))
        except (ValueError, InvalidTag):
            raise SecretUnreadable() from None

    def _associated(self, owner: str, field: str) -> bytes:
        parts = (self.label, str(self.tenant).encode(), owner.encode(), field.encode(), self.kid.encode())
        return b"".join(len(part).to_bytes(4) + part for part in parts)


def _decoded(part: str) -> bytes:
    """Base64 in its one canonical form: the decoder itself would overlook changed trailing bits. Raises ValueError."""
    decoded = base64.b64decode(part, validate=True)
    if base64.b64encode(decoded).decode() != part:
        raise ValueError("not the canonical form")
    return decoded


def wrap(master: Ring, tenant: UUID, kid: str, key: bytes) -> str:
    """A data key wrapped by the current master key."""
    master_kid, master_key = master.current
    return DataKey(master_kid, master_key[:32], tenant).seal(key, owner="core.data_key", field=kid)


def unwrap(master: Ring, tenant: UUID, kid: str, wrapped: str) -> DataKey:
    """The data key in `wrapped`; raises `SecretUnreadable` when no master key of the ring opens it."""
    master_key = master.get(wrapped.split(":")[1]) if wrapped.count(":") == 4 else None
    if master_key is None:
        raise SecretUnreadable()
    opened = DataKey(wrapped.split(":")[1], master_key[:32], tenant).open(wrapped, owner="core.data_key", field=kid)
    return DataKey(kid, opened, tenant)

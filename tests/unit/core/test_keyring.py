"""Key rings and sealed values: what opens, and what must not."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from aibox.core.errors import BootRefused
from aibox.core.keyring import DataKey, Ring, SecretUnreadable, load_rings, parse_ring, unwrap, wrap

TENANT = UUID(int=7)


def ring_text(key: bytes, kid: str = "k1") -> str:
    return f"{kid}:{base64.b64encode(key).decode()}"


def test_keys_are_generated_once_into_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second = load_rings(path, {}), load_rings(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert first == second


def test_a_key_file_that_others_may_read_refuses_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    load_rings(path, {})
    path.chmod(0o644)
    with pytest.raises(BootRefused, match="chmod 600"):
        load_rings(path, {})


@pytest.mark.parametrize(
    "text",
    [
        ring_text(b"short"),
        ring_text(b"aibox-audit-signing-key-change-me"),
        ring_text(b"\x00" * 32),
        "k1:not base64",
        f"UPPER:{base64.b64encode(os.urandom(32)).decode()}",
        ",".join([ring_text(os.urandom(32)), ring_text(os.urandom(32))]),
    ],
    ids=["short", "example", "constant", "no base64", "bad id", "id twice"],
)
def test_a_bad_key_refuses_the_start(text: str) -> None:
    with pytest.raises(BootRefused) as refused:
        parse_ring("audit", text)
    assert refused.value.code == "boot_bad_key"


def test_a_key_in_two_rings_refuses_the_start(tmp_path: Path) -> None:
    text = ring_text(os.urandom(32))
    with pytest.raises(BootRefused, match="share a key"):
        load_rings(tmp_path / "keys.json", {"audit": text, "token": text})


def test_a_sealed_value_opens_for_its_owner_and_field_only() -> None:
    key = DataKey("k", os.urandom(32), TENANT)
    sealed = key.seal(b"sk-123", owner="provider:1", field="key")
    assert sealed.startswith("v2:k:")
    assert key.open(sealed, owner="provider:1", field="key") == b"sk-123"
    for owner, field in [("provider:2", "key"), ("provider:1", "url")]:
        with pytest.raises(SecretUnreadable):
            key.open(sealed, owner=owner, field=field)


def test_a_sealed_value_does_not_open_in_another_tenant() -> None:
    secret = os.urandom(32)
    sealed = DataKey("k", secret, TENANT).seal(b"x", owner="o", field="f")
    with pytest.raises(SecretUnreadable):
        DataKey("k", secret, UUID(int=8)).open(sealed, owner="o", field="f")


def test_every_changed_character_of_a_sealed_value_is_noticed() -> None:
    key = DataKey("k", os.urandom(32), TENANT)
    sealed = key.seal(b"attack at dawn", owner="o", field="f")
    for at in range(len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(SecretUnreadable):
            key.open(changed, owner="o", field="f")


def test_a_data_key_unwraps_with_the_ring_that_wrapped_it_after_rotation_too() -> None:
    old, new, plain = os.urandom(32), os.urandom(32), os.urandom(32)
    wrapped = wrap(Ring("secrets", (("a", old),)), TENANT, "d1", plain)
    assert unwrap(Ring("secrets", (("b", new), ("a", old))), TENANT, "d1", wrapped).key == plain
    with pytest.raises(SecretUnreadable):
        unwrap(Ring("secrets", (("b", new),)), TENANT, "d1", wrapped)


def test_first_starts_at_the_same_time_use_the_same_keys(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from aibox.core import keyring; print(keyring.load_rings(pathlib.Path(sys.argv[1]), {}))"
    )
    path = tmp_path / "data" / "keys.json"
    starts = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({start.communicate()[0] for start in starts}) == 1
    assert [start.returncode for start in starts] == [0] * 4

"""Checkpoints as C2SP writes them: keys and ids as published, and no second way to write a note."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from aibox.audit import notes
from aibox.audit.notes import Algorithm, NoteError, Signer, VerifierKey

ORIGIN = "aibox.example/audit/l/k7dq2x5m/2026"
SIGNER = Signer.derive(ORIGIN, bytes(range(32)), bytes(range(32, 64)))
ROOT = bytes.fromhex("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")
NOTE = SIGNER.sign(20_852_163, ROOT, at_seconds=1_780_000_000)


def test_the_verifier_key_of_the_go_checksum_database_reads_and_writes_back() -> None:
    published = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

    key = VerifierKey.parse(published)

    assert (key.name, key.algorithm, key.id.hex()) == ("sum.golang.org", Algorithm.ED25519, "033de0ae")
    assert str(key) == published


@pytest.mark.parametrize("key", SIGNER.keys)
def test_our_verifier_keys_read_and_write_back(key: VerifierKey) -> None:
    assert VerifierKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("+", "", 1),
        lambda text: text.replace(ORIGIN, "aibox.example/other"),
        lambda text: text.upper(),
        lambda text: text + "=",
        lambda text: text[:-4],
        lambda text: " " + text,
        lambda text: "",
        lambda text: ORIGIN + "++",
    ],
)
def test_a_bent_verifier_key_is_refused(edit: object) -> None:
    assert callable(edit)
    for key in SIGNER.keys:
        with pytest.raises(NoteError):
            VerifierKey.parse(edit(str(key)))


def test_a_verifier_key_of_an_unknown_type_is_refused() -> None:
    material = b"\x04" + SIGNER.keys[0].public

    with pytest.raises(NoteError):
        VerifierKey.parse(f"{ORIGIN}+{SIGNER.keys[0].id.hex()}+{base64.b64encode(material).decode()}")


def test_a_signed_head_is_a_c2sp_note_of_two_signatures() -> None:
    body, signatures = NOTE.split("\n\n")

    assert body == f"{ORIGIN}\n20852163\n{base64.b64encode(ROOT).decode()}"
    first, second = (line.split(" ") for line in signatures.splitlines())
    assert (first[0], first[1], second[0], second[1]) == ("—", ORIGIN, "—", ORIGIN)
    assert len(base64.b64decode(first[2])) == 4 + 64
    assert len(base64.b64decode(second[2])) == 4 + 8 + 2420


def test_the_signatures_are_over_the_bytes_that_c2sp_names() -> None:
    lines = NOTE.split("\n")
    first, second = (base64.b64decode(line.split(" ")[2]) for line in lines[4:6])

    ed25519, ml_dsa = SIGNER.keys
    Ed25519PublicKey.from_public_bytes(ed25519.public).verify(first[4:], "\n".join([*lines[:3], ""]).encode())
    message = b"subtree/v1\n\0" + bytes([35]) + ORIGIN.encode() + (1_780_000_000).to_bytes(8)
    message += bytes([35]) + ORIGIN.encode() + bytes(8) + (20_852_163).to_bytes(8) + ROOT
    MLDSA44PublicKey.from_public_bytes(ml_dsa.public).verify(second[12:], message)


def test_a_head_reads_back_with_its_time() -> None:
    checkpoint = notes.verify_checkpoint(NOTE, SIGNER.keys)

    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 20_852_163, ROOT)
    assert notes.signed_at(checkpoint) == 1_780_000_000


def test_a_head_with_any_byte_changed_is_refused() -> None:
    data = NOTE.encode()

    for at in range(len(data)):
        for bit in (0x01, 0x80):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            with pytest.raises((NoteError, UnicodeDecodeError)):
                notes.verify_checkpoint(changed.decode(), SIGNER.keys)


def test_a_head_by_another_log_or_with_a_line_more_or_less_is_refused() -> None:
    other = Signer.derive(ORIGIN, bytes(32), bytes(32))
    lines = NOTE.split("\n")
    bent = [
        other.sign(20_852_163, ROOT, at_seconds=1),
        "\n".join(lines[:5]) + "\n",
        "\n".join([*lines[:4], lines[5], lines[4], ""]),
        NOTE + lines[4] + "\n",
        NOTE + "\n",
        NOTE[:-1],
        "\n".join([*lines[:3], "an extension line", *lines[3:]]),
        NOTE.replace("\n20852163\n", "\n020852163\n"),
        NOTE.replace("\n", "\r\n"),
        "",
        "\n\n",
    ]

    for note in bent:
        with pytest.raises(NoteError):
            notes.verify_checkpoint(note, SIGNER.keys)


def test_an_origin_with_a_space_or_a_plus_cannot_sign() -> None:
    for origin in ("a log", "a+log", "", "ä", "x" * 256):
        with pytest.raises(NoteError):
            Signer.derive(origin, bytes(32), bytes(32))

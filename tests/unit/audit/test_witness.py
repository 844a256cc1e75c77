"""The witness: what it cosigns, what it refuses and how, and that it forgets nothing over a restart."""

import base64
import json
from pathlib import Path

import pytest

from aibox.audit import merkle, notes, witness
from aibox.audit.notes import Signer
from aibox.audit.witness import Witness, WitnessError, open_witness, request

ORIGIN = "aibox.test/audit/l/abc/2026"
LOG = Signer.derive(ORIGIN, bytes(32), bytes(range(32)))
TREE = merkle.Tree(merkle.node_hash(bytes([n]), b"") for n in range(20))
NAME = "witness.test/w"
NOON = 1_780_000_000


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"logs": [{"origin": ORIGIN, "vkeys": [str(key) for key in LOG.keys]}]}))
    return path


@pytest.fixture
def asked(tmp_path: Path, policy: Path) -> Witness:
    return open_witness(tmp_path / "w", NAME, policy)


def head(size: int, *, root: bytes | None = None) -> str:
    return LOG.sign(size, root or TREE.root(size), at_seconds=NOON)


def ask(one: Witness, old: int, new: int, *, root: bytes | None = None) -> witness.Answer:
    proof = TREE.consistency(old, new) if 0 < old <= new else []
    return one.add_checkpoint(request(old, proof, head(new, root=root)), at_seconds=NOON)


def test_a_first_head_is_cosigned_with_both_keys(asked: Witness) -> None:
    answer = ask(asked, 0, 5)

    assert answer.status == 200
    checkpoint = notes.parse_checkpoint(head(5))
    for key, line in zip(asked.cosigner.keys, answer.text.splitlines(), strict=True):
        notes.verify_cosignature(checkpoint, key, line)


def test_a_head_that_continues_the_last_one_is_cosigned(asked: Witness) -> None:
    assert [ask(asked, old, new).status for old, new in ((0, 5), (5, 6), (6, 16), (16, 16), (16, 20))] == [200] * 5


def test_a_smaller_or_unknown_old_size_is_answered_with_the_size_it_has(asked: Witness) -> None:
    ask(asked, 0, 9)

    for old, new in ((0, 12), (5, 12), (12, 15), (0, 3)):
        answer = ask(asked, old, new)
        assert (answer.status, answer.text, answer.media_type) == (409, "9\n", "text/x.tlog.size")


def test_another_head_of_the_same_size_is_refused(asked: Witness) -> None:
    ask(asked, 0, 9)

    assert ask(asked, 9, 9, root=bytes(32)).status == 409


def test_a_rewritten_log_is_refused_and_changes_nothing(asked: Witness) -> None:
    ask(asked, 0, 9)

    assert ask(asked, 9, 12, root=bytes(32)).status == 422
    assert asked.add_checkpoint(request(9, [], head(12)), at_seconds=NOON).status == 422
    assert ask(asked, 9, 12).status == 200


def test_a_log_it_does_not_know_is_not_found(asked: Witness) -> None:
    other = Signer.derive("aibox.test/audit/l/other/2026", bytes(32), bytes(32))

    assert ask_note(asked, other.sign(3, TREE.root(3), at_seconds=NOON)).status == 404


def test_a_head_that_its_log_did_not_sign_with_both_keys_is_forbidden(asked: Witness) -> None:
    forged = Signer.derive(ORIGIN, bytes(range(32)), bytes(32)).sign(3, TREE.root(3), at_seconds=NOON)
    half = "\n".join(head(3).split("\n")[:5]) + "\n"

    assert [ask_note(asked, note).status for note in (forged, half)] == [403, 403]
    assert ask(asked, 0, 3).status == 200


def test_lines_by_others_in_a_checkpoint_say_nothing(asked: Witness) -> None:
    first = ask(asked, 0, 3).text

    assert ask_note(asked, head(3) + first, old=3).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"old 0\n\n",
        b"old -1\n\n" + head(3).encode(),
        b"old 00\n\n" + head(3).encode(),
        b"new 0\n\n" + head(3).encode(),
        b"old 4\n\n" + head(3).encode(),
        b"old 0\nAAAA\n\n" + head(3).encode(),
        b"old 0\n" + b"\n".join([base64.b64encode(bytes(32))] * 64) + b"\n\n" + head(3).encode(),
        b"old 0\n\n" + head(3).encode()[:-1],
        b"old 0\n\n" + head(3).replace("\n3\n", "\n03\n").encode(),
    ],
)
def test_what_is_no_request_is_a_bad_one(asked: Witness, body: bytes) -> None:
    assert asked.add_checkpoint(body, at_seconds=NOON).status == 400


def test_a_restarted_witness_has_its_keys_and_its_memory(tmp_path: Path, policy: Path) -> None:
    first = witness.open_witness(tmp_path / "w", NAME, policy)
    ask(first, 0, 9)
    keys = list(map(str, first.cosigner.keys))
    forget_lock(tmp_path / "w")

    again = open_witness(tmp_path / "w", NAME, policy)

    assert list(map(str, again.cosigner.keys)) == keys
    assert ask(again, 0, 12).text == "9\n"
    assert ask(again, 9, 12).status == 200


def test_two_processes_are_not_one_witness(tmp_path: Path, policy: Path) -> None:
    open_witness(tmp_path / "w", NAME, policy)

    with pytest.raises(WitnessError, match="Another process"):
        open_witness(tmp_path / "w", NAME, policy)


@pytest.mark.parametrize("damage", ["", "{", '{"x":1}', None])
def test_a_witness_that_lost_its_memory_does_not_start(tmp_path: Path, policy: Path, damage: str | None) -> None:
    ask(open_witness(tmp_path / "w", NAME, policy), 0, 9)
    forget_lock(tmp_path / "w")
    heads = tmp_path / "w/heads.json"
    heads.unlink() if damage is None else heads.write_text(damage)

    with pytest.raises(WitnessError, match="A witness that forgets"):
        open_witness(tmp_path / "w", NAME, policy)


def test_a_memory_whose_keys_are_gone_does_not_start_either(tmp_path: Path, policy: Path) -> None:
    open_witness(tmp_path / "w", NAME, policy)
    forget_lock(tmp_path / "w")
    (tmp_path / "w/keys.json").unlink()

    with pytest.raises(WitnessError, match="not its keys"):
        open_witness(tmp_path / "w", NAME, policy)


def test_a_witness_keeps_its_name_and_wants_a_policy(tmp_path: Path, policy: Path) -> None:
    open_witness(tmp_path / "w", NAME, policy)
    forget_lock(tmp_path / "w")
    with pytest.raises(WitnessError, match="keeps its name"):
        open_witness(tmp_path / "w", "another", policy)
    forget_lock(tmp_path / "w")
    policy.write_text('{"logs":[{"origin":"x","vkeys":["a","b"]}]}')
    with pytest.raises(WitnessError, match="not a policy"):
        open_witness(tmp_path / "w", NAME, policy)


def test_its_keys_are_for_its_owner_alone(tmp_path: Path, policy: Path) -> None:
    open_witness(tmp_path / "w", NAME, policy)

    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "w").iterdir()} == dict.fromkeys(
        ("keys.json", "heads.json", "lock"), 0o600
    )


def ask_note(one: Witness, note: str, *, old: int = 0) -> witness.Answer:
    return one.add_checkpoint(request(old, [], note), at_seconds=NOON)


def forget_lock(folder: Path) -> None:
    """As the end of a process does: the lock goes with its file."""
    (folder / "lock").unlink()

"""The stand-alone verifier: the frozen vectors, mutations of every byte, its command line, and its independence."""

import ast
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.audit import verifier
from aibox.audit.verifier import form, verify
from tests.vectors import make
from tests.vectors.mutations import mutations, substance

INDEX: list[dict[str, Any]] = json.loads((make.FOLDER / "index.json").read_bytes())
SMALL = (make.FOLDER / "valid/two-events.json").read_bytes()
STEPS = ["form", "events", "signature", "key", "chain", "inclusion", "checkpoint", "addenda", "openings", "trust"]


def read(path: str) -> bytes:
    return (make.FOLDER / path).read_bytes()


@pytest.mark.parametrize("case", INDEX, ids=lambda case: case.get("policy", case.get("pin", case["receipt"])))
def test_each_vector_is_accepted_or_refused_at_its_steps_alone(case: dict[str, Any]) -> None:
    policy, pin = (read(case[kind]) if kind in case else None for kind in ("policy", "pin"))

    verdict = verify(read(case["receipt"]), policy, pin)

    assert [step.name for step in verdict.steps if not step.ok] == case["refused"]
    assert verdict.ok == (not case["refused"])
    assert verdict.summary.startswith(f"Refused at {case['refused'][0]}: " if case["refused"] else "Verified: turn ")


def test_the_vectors_are_what_their_generator_makes() -> None:
    made = make.make()

    assert {path: data == read(path) for path, data in made.items()} == dict.fromkeys(made, True)
    assert {path.name for path in (make.FOLDER / "valid").iterdir()} == {f"{name}.json" for name in make.VALID}
    assert {path.name for path in (make.FOLDER / "invalid").iterdir()} == {f"{name}.json" for name in make.INVALID}


def test_a_valid_receipt_passes_ten_named_steps() -> None:
    assert [step.name for step in verify(SMALL).steps] == STEPS


def test_without_a_policy_the_verdict_says_that_the_keys_are_the_receipts_own() -> None:
    trust = verify(SMALL).steps[-1]

    assert trust.ok
    vkeys = json.loads(SMALL)["vkeys"]
    fingerprint = hashlib.sha256(f"{vkeys[0]}\n{vkeys[1]}\n".encode()).hexdigest()
    assert trust.detail.startswith(
        f"no policy given: the keys are those that the receipt itself states, fingerprint {fingerprint}"
    )


def test_a_forged_receipt_that_holds_together_is_refused_by_a_policy_only() -> None:
    forged = make.Case(signer=make.signer(make.ORIGIN, "forger")).build()

    assert verify(forged).ok
    assert [step.name for step in verify(forged, read("policies/policy.json")).steps if not step.ok] == ["trust"]


def test_no_flip_of_any_byte_is_accepted() -> None:
    accepted = []
    for at in range(len(SMALL)):
        for mask in (0x01, 0x20):
            changed = bytearray(SMALL)
            changed[at] ^= mask
            if verify(bytes(changed)).ok:
                accepted.append((at, mask))

    assert not accepted


def test_no_mutated_receipt_is_accepted_and_none_surprises_the_verifier() -> None:
    for data in mutations(seed=1, count=2000):
        verdict = verify(data)
        assert not verdict.ok
        assert verdict.steps, verdict.summary  # without steps it was not foreseen


@pytest.mark.parametrize("left", [0, 1])
def test_a_holder_may_name_fewer_of_the_artifacts_that_a_tombstone_proves_and_no_other(left: int) -> None:
    whole = read("valid/erased-next-year.json")
    fewer, other = json.loads(whole), json.loads(whole)
    del fewer["erased"][0]["arts"][1 - left]
    other["erased"][0]["arts"] = [{**other["erased"][0]["arts"][left], "art": 1 - left}]

    assert verify(make.encode(fewer)).ok
    assert substance(make.encode(fewer)) == substance(whole)
    assert not verify(make.encode(other)).ok
    assert substance(make.encode(other)) != substance(whole)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    verdict = verify(data, data)

    assert not verdict.ok
    assert verdict.steps


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_json_in_any_field_gets_a_verdict(value: object) -> None:
    bundle = json.loads(SMALL)
    for name in bundle:
        data = json.dumps(bundle | {name: value}, sort_keys=True, separators=(",", ":")).encode()
        assert verify(data).steps


def test_what_is_no_bytes_at_all_is_refused_too() -> None:
    verdict = verify(None)  # type: ignore[arg-type]

    assert not verdict.ok
    assert "the verifier failed on it" in verdict.summary


def test_a_receipt_beyond_the_size_limit_is_refused_unread() -> None:
    verdict = verify(b" " * (form.MAX_BYTES + 1))

    assert [step.detail for step in verdict.steps] == ["the receipt is larger than 64 MiB"]


def test_a_copy_of_the_folder_alone_verifies(tmp_path: Path) -> None:
    shutil.copytree(Path(verifier.__file__).parent, tmp_path / "verifier")
    (tmp_path / "receipt.json").write_bytes(SMALL)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "verifier", "receipt.json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == verify(SMALL).summary


def test_the_verifier_imports_nothing_of_aibox_and_little_else() -> None:
    imported = set()
    for path in Path(verifier.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).split(".")[0])

    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aibox.audit.verifier", *arguments]
    return subprocess.run(command, cwd=make.FOLDER, capture_output=True, text=True, check=False)


def test_the_command_prints_each_step_and_exits_0_for_a_receipt_that_holds() -> None:
    done = run("valid/small.json", "--policy", "policies/policy.json")

    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[:-1]] == [["ok", step] for step in STEPS]


def test_the_command_exits_1_and_names_the_step_that_failed() -> None:
    done = run("invalid/chain-hash-missing.json")

    assert done.returncode == 1
    assert "FAIL  chain " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Refused at chain: ")


def test_the_command_exits_2_without_a_readable_file() -> None:
    assert run("no-such-file.json").returncode == 2
    assert run().returncode == 2


def test_a_verdict_takes_milliseconds() -> None:
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        verify(SMALL)
        times.append(time.perf_counter() - begun)

    assert sorted(times)[25] < 0.02  # the bar is 2 ms, measured by `make bench`; this is for a busy machine

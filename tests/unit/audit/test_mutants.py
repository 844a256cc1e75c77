"""Mutation testing of the verifier: a sample of what `make mutants` does whole, and the mutator itself."""

import ast
from pathlib import Path

import pytest

from tests.mutants.mutate import mutants
from tests.mutants.oracle import SOURCE, Oracle
from tests.mutants.run import equivalent, every

EVERY = 45
"""One mutant in so many is tried here."""


@pytest.mark.timeout(300)
def test_the_frozen_receipts_notice_each_of_a_sample_of_mutants() -> None:
    oracle, known = Oracle(), equivalent()

    tried = {
        mutant.name: oracle.killer(module, mutant.compile())
        for number, (module, mutant) in enumerate(every())
        if number % EVERY == 0 and mutant.name not in known
    }

    assert len(tried) > 25
    assert [name for name, killer in tried.items() if killer is None] == []


def test_the_unchanged_verifier_survives_all_questions() -> None:
    oracle = Oracle()

    assert all(oracle.killer(module, code) is None for module, code in oracle.codes.items())


def test_a_mutant_that_does_not_end_is_noticed() -> None:
    endless = compile(f"while True: pass\n{(SOURCE / 'tree.py').read_text()}", "tree.py", "exec")

    assert Oracle().killer("tree", endless) == "it does not end"


def test_every_equivalent_mutant_exists_and_has_a_reason() -> None:
    names = {mutant.name for _, mutant in every()}

    assert equivalent().keys() <= names
    assert all(equivalent().values())


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("a < b", ["a <= b", "a >= b", "pass"]),
        ("a == b", ["a != b", "pass"]),
        ("x = 7", ["8", "6", "pass"]),
        ("x = True", ["False", "pass"]),
        ("a and b", ["a or b", "a", "b", "pass"]),
        ("not a", ["a", "pass"]),
        ("a[1:]", [":", "2", "0", "pass"]),
        ("raise a", ["pass"]),
        ("if a:\n    b()", ["if True: b()", "if False: b()", "pass"]),
        ("[a for a in b if c]", ["for a in b", "pass"]),
        ("all(a)", ["any(a)", "pass"]),
        ("f(a, strict=b)", ["f(a)", "pass"]),
        ("'''what it is for'''", []),
        ("import a", []),
        ("def f(a: int) -> int: return a", ["return"]),
        ("def f(): return False", ["True"]),
    ],
)
def test_the_mutator_makes_each_small_change_once(tmp_path: Path, code: str, changes: list[str]) -> None:
    (tmp_path / "code.py").write_text(code)

    made = [mutant.name.split(" → ")[1] for mutant in mutants(tmp_path / "code.py")]

    assert sorted(made) == sorted(changes)


def test_a_compiled_mutant_leaves_the_next_one_unchanged(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\ny = 2\n")
    made = list(mutants(tmp_path / "code.py"))

    results = []
    for mutant in made:
        names: dict[str, int] = {}
        exec(mutant.compile(), names)
        results.append({name: names.get(name) for name in ("x", "y")})

    assert results == [
        {"x": None, "y": 2},
        {"x": 2, "y": 2},
        {"x": 0, "y": 2},
        {"x": 1, "y": None},
        {"x": 1, "y": 3},
        {"x": 1, "y": 1},
    ]
    assert ast.unparse(made[0].tree) == "x = 1\ny = 2"

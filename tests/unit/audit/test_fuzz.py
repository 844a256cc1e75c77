"""The fuzzer itself: a fault of either verifier is seen, and a mutation that both refuse alike is none."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from aibox.audit.verifier import verify
from tests.vectors import make
from tests.vectors.fuzz import CRASH, judged
from tests.vectors.varied import varied

REFUSED: dict[str, Any] = {**asdict(verify(b"{}")), "steps": [{"name": "form", "ok": False, "detail": "x"}]}
ACCEPTED = asdict(verify((make.FOLDER / "valid/small.json").read_bytes()))
CRASHED = {"ok": False, "steps": [], "summary": f"{CRASH} (KeyError)."}


@pytest.mark.parametrize(
    ("verdicts", "faults"),
    [
        ([REFUSED, REFUSED], []),
        ([ACCEPTED, REFUSED], ["accepted", "judged differently"]),
        ([REFUSED, ACCEPTED], ["accepted by the browser's", "judged differently"]),
        ([ACCEPTED, ACCEPTED], ["accepted", "accepted by the browser's"]),
        ([CRASHED, REFUSED], ["crashed", "judged differently"]),
        ([REFUSED, CRASHED], ["crashed the browser's", "judged differently"]),
        ([REFUSED, {**REFUSED, "summary": "Refused at events: x."}], ["judged differently"]),
    ],
)
def test_a_fault_of_either_verifier_is_counted(verdicts: list[dict[str, Any]], faults: list[str]) -> None:
    assert judged(verdicts) == faults


def test_a_valid_receipt_that_one_of_them_refuses_is_a_fault_too() -> None:
    assert judged([ACCEPTED, ACCEPTED], valid=True) == []
    assert judged([ACCEPTED, REFUSED], valid=True) == ["refused by the browser's", "judged differently"]
    assert judged([REFUSED, REFUSED], valid=True) == ["refused", "refused by the browser's"]


def test_varied_receipts_are_valid_and_carry_everything_a_receipt_may() -> None:
    made = list(varied(seed=5, count=60))

    assert [verify(receipt).summary for receipt in made if not verify(receipt).ok] == []
    bundles = [json.loads(receipt) for receipt in made]
    for name in ("witnesses", "consistency", "erased"):
        assert 5 < sum(name in bundle for bundle in bundles) < 55
    for name in ("openings", "chain", "inclusion"):
        assert sum(bool(bundle[name]) for bundle in bundles) > 5
    assert 5 < sum(any("leaf" in event for event in bundle["events"]) for bundle in bundles) < 55

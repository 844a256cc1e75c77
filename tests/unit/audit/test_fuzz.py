"""The fuzzer itself: a fault of either verifier is seen, and a mutation that both refuse alike is none."""

from dataclasses import asdict
from typing import Any

import pytest

from aibox.audit.verifier import verify
from tests.vectors import make
from tests.vectors.fuzz import CRASH, judged

REFUSED: dict[str, Any] = {**asdict(verify(b"{}")), "steps": [{"name": "form", "ok": False, "detail": "x"}]}
ACCEPTED = asdict(verify((make.FOLDER / "valid/small.json").read_bytes()))
CRASHED = {"ok": False, "steps": [], "summary": f"{CRASH} (KeyError)."}


@pytest.mark.parametrize(
    ("verdicts", "faults"),
    [
        ([REFUSED, REFUSED], []),
        ([ACCEPTED, REFUSED], ["accepted", "differ"]),
        ([REFUSED, ACCEPTED], ["accepted by the browser's", "differ"]),
        ([ACCEPTED, ACCEPTED], ["accepted", "accepted by the browser's"]),
        ([CRASHED, REFUSED], ["crashed", "differ"]),
        ([REFUSED, CRASHED], ["crashed the browser's", "differ"]),
        ([REFUSED, {**REFUSED, "summary": "Refused at events: x."}], ["differ"]),
    ],
)
def test_a_fault_of_either_verifier_is_counted(verdicts: list[dict[str, Any]], faults: list[str]) -> None:
    assert judged(verdicts) == faults

"""The short form of `make conformance`: every shape of recording once, and some of the rest, through every pair."""

import pytest

from tests.conformance.corpus import missing, recordings, sample
from tests.conformance.run import run


def test_recordings_lose_nothing_in_any_pair_of_dialect_and_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    if (why := missing()) is not None:
        pytest.skip(why)
    taken = sample(recordings(), one_in=12)
    report = run(taken, every_cut=False)
    with capsys.disabled():
        print(f"\n{report.summary()}")
    assert not report.failures
    pairs = {(one, other) for (what, one, other) in report.counts if what.endswith(" told")}
    assert len(pairs) == 9

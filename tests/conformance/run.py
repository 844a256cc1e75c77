"""Replays recordings through every pair and counts what became of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from tests.conformance.corpus import Recording
from tests.conformance.replaying import (
    ADAPTER_OF,
    choices,
    is_answer,
    replay_answer,
    replay_embeddings,
    replay_request,
    require_cuts,
    require_no_crash,
)

OUT = ("chat_completions", "responses", "messages")


class Report:
    """Counts by (what, in, out), and what failed."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.failures: list[str] = []

    def table(self) -> str:
        """The counts, a line each."""
        lines = [
            f"{what:42} {one:20} {other:20} {count:7}" for (what, one, other), count in sorted(self.counts.items())
        ]
        head = f"{'what':42} {'recorded as':20} {'told or asked as':20} {'count':>7}"
        return "\n".join([head, "-" * len(head), *lines])

    def summary(self) -> str:
        """One line."""
        told = sum(count for (what, _, _), count in self.counts.items() if what.endswith(" told"))
        asked = sum(
            count for (what, _, _), count in self.counts.items() if what in ("request passed", "request translated")
        )
        cut = sum(count for (what, _, _), count in self.counts.items() if what == "ways to cut")
        return f"conformance: {told} answers told, {asked} requests asked, {cut} cuts, {len(self.failures)} failures"


def run(recorded: Iterable[Recording], *, every_cut: bool) -> Report:
    """Replay each of `recorded` in every way that fits it."""
    report = Report()
    for recording in recorded:
        if recording.spoken in OUT:
            _answer(report, recording, every_cut=every_cut)
            _request(report, recording)
        elif recording.spoken == "embeddings" and recording.status == 200 and recording.request is not None:
            _try(report, recording, ("embeddings passed", "embeddings", ""), partial(replay_embeddings, recording))
        else:
            _try(
                report,
                recording,
                ("another vendor's or an error, refused", recording.spoken, "any"),
                partial(require_no_crash, recording),
            )
    return report


def _answer(report: Report, recording: Recording, *, every_cut: bool) -> None:
    if not is_answer(recording):
        _try(
            report,
            recording,
            ("an error, read without a crash", recording.spoken, "any"),
            partial(require_no_crash, recording),
        )
        return
    form = "stream" if recording.is_stream else "whole"
    for out in OUT:
        if choices(recording) != 1:
            report.counts[(f"{form} of several answers, only passed on", recording.spoken, recording.spoken)] += 1
            break
        _try(report, recording, (f"{form} told", recording.spoken, out), partial(replay_answer, recording, out))
    if recording.is_stream:

        def cut() -> None:
            report.counts[("ways to cut", recording.spoken, "")] += require_cuts(recording.body, every=every_cut)

        _try(report, recording, ("stream cut", recording.spoken, ""), cut)


def _request(report: Report, recording: Recording) -> None:
    if recording.request is None or recording.status != 200:
        return
    for adapter in ADAPTER_OF.values():

        def ask(adapter: str = adapter) -> None:
            assert recording.request is not None
            became = replay_request(recording, adapter)
            report.counts[(f"request {became}", recording.spoken, adapter)] += 1

        _try(report, recording, ("requests", recording.spoken, adapter), ask)


def _try(report: Report, recording: Recording, key: tuple[str, str, str], act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the report names every recording that failed, in whatever way
        said = " ".join(str(error).split())[:300]
        report.failures.append(f"{recording.name} {key}: {type(error).__name__} {said}")
        return
    report.counts[key] += 1

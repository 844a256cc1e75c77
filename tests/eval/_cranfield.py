"""The Cranfield collection (1,400 abstracts, 225 questions, judgements), read from its three files, and nDCG."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.eval import need

_MARK = re.compile(r"\.([ITABW])(?: (\d+))?")


class Abstract(Struct, frozen=True):
    """A document of the collection; some have no text."""

    number: int
    title: str
    text: str


class Collection(Struct, frozen=True):
    """Questions are numbered from 1; `relevant` are the documents that answer each, by question."""

    abstracts: list[Abstract]
    questions: dict[int, str]
    relevant: dict[int, set[int]]


def read(folder: Path) -> Collection:
    """The collection in `folder`. Raises `Absent`."""
    documents = [
        Abstract(number, _joined(parts.get("T", "")), _joined(parts.get("W", "")))
        for number, parts in _records(need(folder / "cran.all.1400"))
    ]
    # The questions' own numbers skip; the judgements count them.
    asked = enumerate(_records(need(folder / "cran.qry")), 1)
    questions = {place: _joined(parts.get("W", "")) for place, (_, parts) in asked}
    relevant: dict[int, set[int]] = {}
    for line in need(folder / "cranqrel").read_text().splitlines():
        parts = line.split()
        if len(parts) >= 3 and int(parts[2]) > 0:
            relevant.setdefault(int(parts[0]), set()).add(int(parts[1]))
    return Collection(documents, questions, relevant)


def ndcg(ranked: Sequence[int], relevant: set[int], *, at: int = 10) -> float:
    """Normalised discounted cumulative gain of a ranking, each relevant document counting the same."""
    gain = sum(1 / math.log2(place + 1) for place, number in enumerate(ranked[:at], 1) if number in relevant)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(at, len(relevant)) + 1))
    return gain / best if best else 0.0


def _records(path: Path) -> list[tuple[int, dict[str, str]]]:
    records: list[tuple[int, dict[str, str]]] = []
    member = ""
    for line in path.read_text(errors="replace").splitlines():
        mark = _MARK.fullmatch(line.rstrip())
        if mark and mark[1] == "I":
            records.append((int(mark[2]), {}))
        elif mark:
            member = mark[1]
        elif records:
            parts = records[-1][1]
            parts[member] = f"{parts.get(member, '')}{line}\n"
    return records


def _joined(text: str) -> str:
    return " ".join(text.split())

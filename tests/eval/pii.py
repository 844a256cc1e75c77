"""Personal data and secrets: recall per kind, precision over all, and what a look costs."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aibox.guardrail import MASKS
from aibox.guardrail.engine import NAMED, Engine
from aibox.guardrail.text import SECRET, Span, settle
from tests.eval import Figure, need
from tests.eval._secrets import secrets_in_texts

BARS = {
    "PERSON": 0.80,
    "PHONE_NUMBER": 0.90,
    "CREDIT_CARD": 0.97,
    "STREET_ADDRESS": 0.60,
    "EMAIL_ADDRESS": 1.0,
    "IBAN_CODE": 1.0,
    "US_SSN": 1.0,
    "IP_ADDRESS": 1.0,
}


def measure(data: Path) -> Iterator[Figure]:
    engine = Engine()
    rows = json.loads(need(data / "pii" / "synth_v2.json").read_text())
    yield from _recall(engine, rows)
    yield from _secrets(engine)
    yield from _times(engine)


def _recall(engine: Engine, rows: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """A labelled span counts as found when a span of its kind overlaps it; a found one is right when it overlaps any
    labelled one, since a company in `PERSON` is masked to no harm."""
    labelled: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    found = right = 0
    for row in rows:
        spans = settle(engine.find(row["full_text"], MASKS))
        for label in row["spans"]:
            labelled[label["entity_type"]] += 1
            hit[label["entity_type"]] += any(
                span.kind == label["entity_type"] and _overlaps(span, label) for span in spans
            )
        found += len(spans)
        right += sum(any(_overlaps(span, label) for label in row["spans"]) for span in spans)
    for kind, bar in BARS.items():
        yield Figure(
            name=f"recall of {kind}", value=hit[kind] / labelled[kind], bar=bar, of=f"{labelled[kind]} labelled"
        )
    yield Figure(name="precision over all kinds", value=right / found, bar=0.80, of=f"{found} found")


def _overlaps(span: Span, label: dict[str, Any]) -> bool:
    return bool(span.start < label["end_position"] and label["start_position"] < span.end)


def _secrets(engine: Engine) -> Iterator[Figure]:
    texts = secrets_in_texts(2000)
    missed: Counter[str] = Counter()
    for name, text, secret in texts:
        start = text.index(secret)
        spans = settle(engine.find(text, [SECRET]))
        if not any(span.kind == SECRET and span.start <= start and start + len(secret) <= span.end for span in spans):
            missed[name] += 1
    found = 1 - missed.total() / len(texts)
    yield Figure(name="recall of secrets, whole", value=found, bar=0.95, of=f"{len(texts)} made after 50 formats")


def _times(engine: Engine) -> Iterator[Figure]:
    letter = (
        "Dear Mr. Smith, the committee met on 12 March and discussed the budget of 20,931 euros for the coming year. "
        "Nobody objected. Call 415 555 2671 or write to anna@example.com before the next meeting in Berlin. "
    )
    text = (letter + "The committee went on to speak about the new building and its costs. " * 9) * 3
    formed = [kind for kind in MASKS if kind not in NAMED]
    for name, kinds, bar in (("patterns", [*formed, SECRET], 10.0), ("patterns and names", [*MASKS, SECRET], 80.0)):
        engine.find(text, kinds)
        spent = []
        for number in range(21):
            begun = time.process_time()
            engine.find(f"{number} {text}"[:2048], kinds)
            spent.append((time.process_time() - begun) * 1000)
        yield Figure(
            name=f"CPU time for 2 KB, {name}, median", value=sorted(spent)[10], bar=bar, at_most=True, unit=" ms"
        )

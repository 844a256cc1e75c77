"""Trains the injection classifier: `python -m tests.eval._train_injection --data FOLDER`.

It writes aibox/guardrail/injection.json. From FOLDER it reads the train parts of the s-labs set (MIT) and of
neuralchemy (Apache-2.0, MIT and CC BY 4.0; its WildGuard part, for research only, is left out), half of yanismiraoui's
attacks in seven languages (Apache-2.0), and as benign texts half of the recorded chats (MIT, Apache-2.0), half of
presidio-research's (MIT) and half of benign.txt (ours). The other halves and the validation parts are for `make eval`.
Logistic regression by Adam on whole batches: the same data give the same weights.
"""

import argparse
import base64
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aibox.guardrail import classifier
from aibox.guardrail.classifier import BUCKETS, Weights, buckets
from aibox.guardrail.rules import fold
from tests.eval._injection_sets import attacks_in_languages, benign, chats, is_held_out, neuralchemy, pii_texts, s_labs

THRESHOLD = 2.0
"""Log-odds from which a text is flagged."""
ABOUT = (
    "Trained by tests/eval/_train_injection.py on s-labs (MIT), neuralchemy without WildGuard (Apache-2.0, MIT, CC BY"
    " 4.0), yanismiraoui/prompt_injections (Apache-2.0), presidio-research (MIT), recorded chats (MIT, Apache-2.0)."
)
ROUNDS, RATE, DECAY = 400, 0.5, 1e-5


class Sample(NamedTuple):
    """A text, whether it is an attack, and how much it counts."""

    text: str
    is_attack: bool
    weight: float = 1.0


def samples(data: Path) -> list[Sample]:
    """All that is trained on."""
    return [
        *(Sample(case.text, case.is_attack) for case in s_labs(data, "train")),
        *(Sample(case.text, case.is_attack) for case in neuralchemy(data, "train") if "wildguard" not in case.source),
        *(Sample(text, True, 3.0) for text in attacks_in_languages(data) if not is_held_out(text)),
        *(Sample(text, False, 3.0) for text in chats(data) if not is_held_out(text)),
        *(Sample(text, False, 0.5) for text in pii_texts(data) if not is_held_out(text)),
        *(Sample(case.text, False, 3.0) for case in benign() if not is_held_out(case.text)),
    ]


def train(given: Sequence[Sample]) -> Weights:
    """The weights, rounded to signed bytes."""
    found = [np.fromiter(buckets(fold(sample.text)[: classifier.WINDOW * 5]), dtype=np.int64) for sample in given]
    row = np.repeat(np.arange(len(found)), [len(one) for one in found])
    column = np.concatenate(found)
    value = np.concatenate([np.full(len(one), 1 / np.sqrt(max(len(one), 1))) for one in found])
    wanted = np.array([sample.is_attack for sample in given], dtype=float)
    share = np.array([sample.weight for sample in given])
    share /= share.sum()
    weights, bias = np.zeros(BUCKETS), 0.0
    mean, spread = np.zeros(BUCKETS + 1), np.zeros(BUCKETS + 1)
    for step in range(1, ROUNDS + 1):
        odds = np.bincount(row, weights=value * weights[column], minlength=len(found)) + bias
        error = (1 / (1 + np.exp(-odds)) - wanted) * share
        slope = np.bincount(column, weights=value * error[row], minlength=BUCKETS) + DECAY * weights
        slope = np.append(slope, error.sum())
        mean = 0.9 * mean + 0.1 * slope
        spread = 0.999 * spread + 0.001 * slope**2
        change = RATE * (mean / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.999**step)) + 1e-8)
        weights -= change[:-1]
        bias -= float(change[-1])
    scale = float(np.abs(weights).max() / 127)
    raw = np.round(weights / scale).astype(np.int8).tobytes()
    return Weights(
        about=ABOUT,
        scale=scale,
        bias=round(bias, 6),
        threshold=THRESHOLD,
        weights=base64.b85encode(zlib.compress(raw, 9)).decode(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.eval._train_injection")
    parser.add_argument("--data", type=Path, required=True)
    target = Path(classifier.__file__).with_name("injection.json")
    target.write_bytes(
        msgspec.json.format(msgspec.json.encode(train(samples(parser.parse_args().data))), indent=1) + b"\n"
    )


if __name__ == "__main__":
    main()

"""What the mutants are shown: all frozen receipts, and what is too large or strange to freeze, each with the verdict.

The verdict is the unchanged verifier's, word for word. That is no circle: the browser's verifier, which shares no line
with it, must say the same of the same bytes (tests/unit/audit/test_agreement.py), and index.json says what it must be.
"""

import contextlib
import importlib.util
import io
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from aibox.audit import verifier
from tests.vectors import make

SOURCE = Path(verifier.__file__).parent
MODULES = ("tree", "form", "heads", "entries", "trust", "__init__", "__main__")
PACKAGE = "mutated_verifier"
CPU_SECONDS = 3.0

Judge = Callable[..., Any]


@dataclass(frozen=True)
class Question:
    """What is asked of a verifier: a name, and the call that answers it."""

    name: str
    ask: Callable[[ModuleType], object]


class TooLongError(BaseException):
    """The verifier did not answer. Not an Exception, so that its own `except` cannot swallow it."""


class Oracle:
    """Asks a verifier all questions and compares the answers with the unchanged one's."""

    def __init__(self) -> None:
        self.codes = {name: compile((SOURCE / f"{name}.py").read_text(), f"{name}.py", "exec") for name in MODULES}
        self.questions = [*frozen(), *small(), *large()]
        self._answers: dict[str, object] = {}

    @cached_property
    def unchanged(self) -> ModuleType:
        return load(self.codes)

    def answer(self, question: Question) -> object:
        """What the unchanged verifier says."""
        if question.name not in self._answers:
            self._answers[question.name] = question.ask(self.unchanged)
        return self._answers[question.name]

    def killer(self, module: str, code: CodeType) -> str | None:
        """The first question that tells the mutant from the verifier; None when it survives."""
        for question in self.questions:
            self.answer(question)
        try:
            with limited(CPU_SECONDS):
                mutant = load({**self.codes, module: code})
                for question in self.questions:
                    if question.ask(mutant) != self.answer(question):
                        # What kills most goes first.
                        self.questions.remove(question)
                        self.questions.insert(0, question)
                        return question.name
        except TooLongError:
            return "it does not end"
        except (Exception, SystemExit) as why:  # noqa: BLE001 - a mutant may fail in any way, and is then noticed
            return type(why).__name__
        return None


def load(codes: dict[str, CodeType]) -> ModuleType:
    """The verifier made of these codes, as a package of its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    made = {}
    for name in MODULES:
        full = PACKAGE if name == "__init__" else f"{PACKAGE}.{name}"
        spec = importlib.util.spec_from_loader(full, loader=None, is_package=name == "__init__")
        assert spec is not None
        made[name] = importlib.util.module_from_spec(spec)
        sys.modules[full] = made[name]
    for name in MODULES:
        exec(codes[name], made[name].__dict__)
    made["__init__"].codes = codes  # type: ignore[attr-defined]  # for who runs it as a program
    return made["__init__"]


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLongError in the block after so many seconds of the processor's time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def frozen() -> Iterator[Question]:
    """The vectors."""
    for case in json.loads((make.FOLDER / "index.json").read_bytes()):
        given = [
            (make.FOLDER / case[kind]).read_bytes() if kind in case else None for kind in ("receipt", "policy", "pin")
        ]
        yield Question(" ".join(case.get(kind, "-") for kind in ("receipt", "policy", "pin")), judge(*given))


def small() -> Iterator[Question]:
    """Bytes that are no receipt, and the command line."""
    for number, data in enumerate([None, b"", b"{}", b"null", b"[]", b"1", b'{"@":"aibox.receipt/1"}', b"\xff"]):
        yield Question(f"nonsense {number}", judge(data))
    nested = b"[" * 100_000
    yield Question("a policy nested without end", judge((make.FOLDER / "valid/small.json").read_bytes(), nested))
    small, forged = make.FOLDER / "valid/small.json", make.FOLDER / "invalid/wrong-root.json"
    policy, pin = make.FOLDER / "policies/policy.json", make.FOLDER / "pins/pin.txt"
    for arguments in (
        [small],
        [small, "--policy", policy],
        [small, "--pin", pin],
        [forged],
        [make.FOLDER / "none.json"],
        [small, "--policy", make.FOLDER / "none.json"],
        [],
        ["--help"],
    ):
        yield Question(f"command {' '.join(map(str, arguments))}", command([str(one) for one in arguments]))


def large() -> Iterator[Question]:
    """What is at the limit of size, and beyond it."""
    limit = 64 * 1024 * 1024
    yield Question("a receipt at the limit", judge(b"\xff" * limit))
    yield Question("a receipt beyond the limit", judge(b"\xff" * (limit + 1)))


def judge(data: bytes | None, policy: bytes | None = None, pin: bytes | None = None) -> Callable[[ModuleType], object]:
    def ask(module: ModuleType) -> object:
        verdict = module.verify(data, policy, pin)
        return verdict.ok, verdict.summary, [(step.name, step.ok, step.detail) for step in verdict.steps]

    return ask


def command(arguments: list[str]) -> Callable[[ModuleType], object]:
    def ask(module: ModuleType) -> object:
        out, before = io.StringIO(), sys.argv
        sys.argv = ["program", *arguments]
        program = {"__name__": "__main__", "__package__": PACKAGE}
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                exec(module.codes["__main__"], program)
        except SystemExit as stop:
            return stop.code, out.getvalue()
        finally:
            sys.argv = before
        return "it did not exit", out.getvalue()

    return ask

"""Quality figures, measured against their bars on data that is read from a path: `make eval`.

Each module here is a group: its `measure(data)` yields figures, and raises `Absent` for a set that is not there.
`python -m tests.eval` runs them, prints what it measured, and keeps each group's section of docs/quality.md when it is
told to (`--write`).
"""

from pathlib import Path

from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """Something measured. `bar` is what it must reach, or stay under when `at_most`; None: it is only told."""

    name: str
    value: float | int
    bar: float | None = None
    at_most: bool = False
    unit: str = ""
    of: str = ""
    """On what it was measured: `857 names`."""

    @property
    def is_met(self) -> bool:
        if self.bar is None:
            return True
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    @property
    def shown(self) -> str:
        """The value with its unit: counts whole, all else to four places."""
        return f"{f'{self.value:d}' if isinstance(self.value, int) else f'{self.value:.4g}'}{self.unit}"

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        bar = "" if self.bar is None else f"  (bar {sign} {self.bar:g}{self.unit})"
        verdict = "  " if self.bar is None else "ok" if self.is_met else "NOT MET"
        return f"{verdict:>8}  {self.name}: {self.shown}{bar}{f'  of {self.of}' if self.of else ''}"


class Absent(Exception):
    """A data set is not there; its figures are missing, and nothing counts as passed."""


def need(path: Path) -> Path:
    """`path`, when something is there. Raises `Absent`."""
    if not path.exists():
        raise Absent(str(path))
    return path

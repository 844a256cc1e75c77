"""`make mutants`: make every mutant of the verifier and print those that nothing notices. SAMPLE=n takes every n-th.

equivalent.txt names the mutants that cannot be noticed, each with the reason. A mutant there that is noticed, or that
does not exist any more, fails the run too.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from tests.mutants.mutate import Mutant, mutants
from tests.mutants.oracle import MODULES, SOURCE, Oracle

EQUIVALENT = Path(__file__).parent / "equivalent.txt"
SHARE = 50
"""Mutants that a process takes at a time."""


def main() -> int:
    """Exit 0 if every mutant is killed or known to be equivalent."""
    sample, workers = int(os.environ.get("SAMPLE", "1")), int(os.environ.get("WORKERS", "0")) or os.cpu_count() or 1
    begun = time.monotonic()
    jobs = range(0, sum(1 for _ in every()), SHARE)
    found: list[tuple[str, str | None]] = []
    with get_context("spawn").Pool(workers) as pool:
        for part in pool.imap_unordered(partial(judged, sample=sample), jobs):
            found += part
            print(f"{len(found):>6,} after {time.monotonic() - begun:.0f} s", file=sys.stderr)
    survivors = {name for name, killer in found if killer is None}
    known, made = equivalent(), {name for name, _ in found}
    faults = [f"survived: {name}" for name in sorted(survivors - known.keys())]
    faults += [f"listed as equivalent, but noticed: {name}" for name in sorted(known.keys() & made - survivors)]
    if sample == 1:
        faults += [f"listed as equivalent, but there is none: {name}" for name in sorted(known.keys() - made)]
    seconds, reasons = time.monotonic() - begun, Counter(known[name] for name in survivors & known.keys())
    print(
        f"{len(found):,} mutants in {seconds:.0f} s: {len(found) - len(survivors):,} killed, "
        f"{sum(reasons.values())} equivalent, {len(survivors - known.keys())} survived"
    )
    print("\n".join(faults))
    return 1 if faults else 0


def judged(begin: int, *, sample: int = 1) -> list[tuple[str, str | None]]:
    """The name and the killer of every mutant, or every n-th, in the share that begins at number `begin`."""
    return [
        (mutant.name, oracle().killer(module, mutant.compile()))
        for number, (module, mutant) in enumerate(every())
        if begin <= number < begin + SHARE and number % sample == 0
    ]


@cache
def oracle() -> Oracle:
    """One a process: it learns which questions kill most."""
    return Oracle()


def every() -> Iterator[tuple[str, Mutant]]:
    """All mutants, with the module each is of."""
    for module in MODULES:
        for mutant in mutants(SOURCE / f"{module}.py"):
            yield module, mutant


def equivalent() -> dict[str, str]:
    """The reason for each mutant that is known to be equivalent: in the file a reason, then its mutants indented."""
    known: dict[str, str] = {}
    reason = ""
    for line in EQUIVALENT.read_text().splitlines():
        if line.startswith("  "):
            known[line.strip()] = reason
        elif line and not line.startswith("#"):
            reason = line
    return known


if __name__ == "__main__":
    sys.exit(main())

"""`make conformance`: every recording through every pair, every cut; prints what was replayed and what failed."""

import sys
import time

from tests.conformance.corpus import missing, recordings
from tests.conformance.run import run


def main() -> int:
    """The exit status."""
    if (why := missing()) is not None:
        print(f"skipped: {why}")
        return 1
    began = time.monotonic()
    report = run(recordings(), every_cut=True)
    print(report.table())
    print(f"{time.monotonic() - began:.0f} s")
    for failure in report.failures:
        print(f"FAILED {failure}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())

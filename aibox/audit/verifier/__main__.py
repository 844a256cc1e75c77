"""`python -m aibox.audit.verifier receipt.json [--policy FILE] [--pin FILE]`: one line a step, exit 0 if all held."""

import argparse
import sys
from pathlib import Path

from . import verify


def main() -> int:
    """Read the files, verify, print one line a step."""
    parser = argparse.ArgumentParser(prog="verifier", description="Verify an AIBox receipt offline.")
    parser.add_argument("receipt", type=Path, help="receipt.json as it was downloaded, byte for byte")
    parser.add_argument("--policy", type=Path, help="the keys you pin for the log, obtained apart from the receipt")
    parser.add_argument("--pin", type=Path, help="a checkpoint of the log that you saw before and kept")
    arguments = parser.parse_args()
    try:
        data = arguments.receipt.read_bytes()
        policy, pin = (path.read_bytes() if path else None for path in (arguments.policy, arguments.pin))
    except OSError as why:
        parser.error(str(why))
    verdict = verify(data, policy, pin)
    for step in verdict.steps:
        print(f"{'ok  ' if step.ok else 'FAIL'}  {step.name:<10}  {step.detail}")
    print(verdict.summary)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())

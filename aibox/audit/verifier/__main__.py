"""`python -m aibox.audit.verifier receipt.json [--policy FILE]`: one line a step, exit 0 if all held."""

import argparse
import sys
from pathlib import Path

from . import verify


def main() -> int:
    """Read the files, verify, print one line a step."""
    parser = argparse.ArgumentParser(prog="verifier", description="Verify an AIBox receipt offline.")
    parser.add_argument("receipt", type=Path, help="receipt.json as it was downloaded, byte for byte")
    parser.add_argument("--policy", type=Path, help="the keys you pin for the log, obtained apart from the receipt")
    arguments = parser.parse_args()
    try:
        data, policy = (
            arguments.receipt.read_bytes(),
            arguments.policy.read_bytes() if arguments.policy else None,
        )
    except OSError as why:
        parser.error(str(why))
    verdict = verify(data, policy)
    for step in verdict.steps:
        print(f"{'ok  ' if step.ok else 'FAIL'}  {step.name:<10}  {step.detail}")
    print(verdict.summary)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())

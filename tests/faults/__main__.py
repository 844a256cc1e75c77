"""`make faults`: 10,000 schedules of failing providers. `FAULTS` sets their number, `SEED` the seed (random if unset).

`python -m tests.faults --seed 7 --only 1234` plays one schedule again and says what it is.
"""

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from aibox.core import telemetry
from aibox.core.connections import Settings
from aibox.core.telemetry import Settings as LogSettings
from aibox.stores import postgres
from tests.faults.driver import Report, play
from tests.faults.schedules import schedule


def main() -> int:
    """Play, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Failing providers, by the thousand.")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbelow(1_000_000)))
    parser.add_argument("--schedules", type=int, default=int(os.environ.get("FAULTS") or 10_000))
    parser.add_argument("--only", type=int, help="play this schedule alone")
    options = parser.parse_args()
    numbers = range(options.schedules) if options.only is None else range(options.only, options.only + 1)
    if options.only is not None:
        print(schedule(options.seed, options.only))
    telemetry.configure(LogSettings(level="error"))
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the stub, when its caller has left
    began = time.monotonic()
    report = uvloop.run(_run(options.seed, numbers))
    print(report)
    print(f"  {time.monotonic() - began:.0f} s")
    return 1 if report.problems else 0


async def _run(seed: int, numbers: range) -> Report:
    with tempfile.TemporaryDirectory(prefix="aibox-faults-") as folder:
        data = Path(folder)
        await asyncio.to_thread(data.chmod, 0o755)
        async with postgres.open_postgres(Settings(), data) as urls:
            return await play(urls, data, seed=seed, numbers=numbers)


if __name__ == "__main__":
    sys.exit(main())

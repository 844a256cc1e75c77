"""`make crash`: KILLS=500 lives that end violently and TURNS=100000 acknowledged turns, then the invariants I1 to I6.

Most lives are of the kernel and the audit module in a process that is forked anew in a moment (worker.py); SERVERS=50
are of the whole `aibox serve`, which takes turns over HTTP in front of a stub provider (server.py). SEED picks places
and moments. Prints JSON; exits with 1 when an invariant was violated.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.crash import outside
from tests.crash.server import kill_servers
from tests.crash.world import World, short_folder, world

KILLS = int(os.environ.get("KILLS", "500"))
TURNS = int(os.environ.get("TURNS", "100000"))
SERVERS = int(os.environ.get("SERVERS", str(KILLS // 10)))
SEED = int(os.environ.get("SEED", "1"))


async def kill_workers(folder: Path, *, kills: int, turns: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Lives of the kernel and the audit module until both numbers are reached."""
    async with world(folder, seed=seed) as one:
        while one.killed < kills or len(one.told.ended) < turns:
            await one.live_and_die()
            _progress(one)
        wrong = await one.judge()
        connection = await one.connect()
        report = {
            "kills": one.killed,
            "acknowledged_turns": len(one.told.ended),
            "acknowledged_events": len(one.told.events),
            "acts": len(one.told.acts),
            **await outside.counts(connection),
            "ends": dict(sorted(one.kills.items())),
        }
        await connection.close()
    return report, wrong


def _progress(one: World) -> None:
    if one.lives % 25 == 0:
        line = f"{one.killed} kills, {len(one.told.ended)} turns, {len(one.violations)} violations"
        print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Kill, judge, print."""
    begin = time.monotonic()
    with short_folder() as folder:
        servers, wrong = asyncio.run(kill_servers(folder / "s", kills=SERVERS, seed=SEED))
        turns = TURNS - servers["acknowledged_turns"]
        workers, more = asyncio.run(kill_workers(folder / "w", kills=KILLS - SERVERS, turns=turns, seed=SEED))
    report = {
        "seed": SEED,
        "kills": workers["kills"] + servers["kills"],
        "acknowledged_turns": workers["acknowledged_turns"] + servers["acknowledged_turns"],
        "violations": [*wrong, *more],
        "seconds": round(time.monotonic() - begin),
        "worker": workers,
        "server": servers,
    }
    print(json.dumps(report, indent=1))
    sys.exit(bool(report["violations"]))


if __name__ == "__main__":
    main()

"""Bends the valid vectors at random and shows each result to both verifiers: `make fuzz-receipts N=1000000`.

Each must be refused by both, with one verdict, word for word. Anything else is kept in build/fuzz-receipts.
"""

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from aibox.audit.verifier import verify
from tests.vectors import make
from tests.vectors.mutations import mutations

HOUSE = make.FOLDER.parents[1]
KEPT = HOUSE / "build/fuzz-receipts"
CHUNK = 5000
CRASH = "Refused: the verifier failed on it"


def main() -> int:
    """Run N mutations from SEED in WORKERS processes, print the counts, exit 0 if each was refused alike by both."""
    count, seed = int(os.environ.get("N", "1000000")), int(os.environ.get("SEED", "1"))
    workers = int(os.environ.get("WORKERS", "0")) or os.cpu_count() or 1
    total: Counter[str] = Counter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=HOUSE / "web/node_modules") as folder:
        judge = build_judge(Path(folder))
        chunks = [
            (seed + number, min(CHUNK, count - CHUNK * number), judge) for number in range((count + CHUNK - 1) // CHUNK)
        ]
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for done, found in enumerate(pool.imap_unordered(attempt, chunks), 1):
                total += found
                if done % 25 == 0:
                    print(f"{total['mutations']:>9,} after {time.monotonic() - begun:.0f} s", file=sys.stderr)
    faults = {
        name: total[name] for name in ("accepted", "accepted by the browser's", "crashed", "crashed the browser's")
    }
    print(f"{total['mutations']:,} mutations from seed {seed} in {time.monotonic() - begun:.0f} s, both verifiers:")
    print(", ".join(f"{amount} {name}" for name, amount in [*faults.items(), ("judged differently", total["differ"])]))
    steps = {name: amount for name, amount in total.most_common() if name.startswith("at ")}
    print("refused " + ", ".join(f"{name}: {amount:,}" for name, amount in steps.items()))
    return 1 if any(faults.values()) or total["differ"] else 0


def build_judge(folder: Path) -> Path:
    """The browser's verifier as a program for Node. It lies beside its libraries, which it imports."""
    command = ["node", "node_modules/vite/bin/vite.js", "build", "--ssr", "src/verifier/judge.ts"]
    options = ["--outDir", str(folder), "--emptyOutDir", "--logLevel", "warn"]
    subprocess.run([*command, *options], cwd=HOUSE / "web", check=True)
    return folder / "judge.js"


def attempt(job: tuple[int, int, Path]) -> Counter[str]:
    """Count what both verifiers say of `count` mutations from `seed`."""
    seed, count, judge = job
    mutants = list(mutations(seed=seed, count=count))
    found: Counter[str] = Counter(mutations=count)
    with (
        subprocess.Popen(["node", str(judge)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node,
        ThreadPoolExecutor(2) as threads,
    ):
        assert node.stdin
        assert node.stdout
        asked = threads.submit(ask, node.stdin, mutants)
        answered = threads.submit(node.stdout.readlines)
        ours = [asdict(verify(mutant)) for mutant in mutants]
        asked.result()
        theirs = [json.loads(line) for line in answered.result()]
    # A browser's verifier that died has answered less than it was asked.
    theirs += [{"ok": False, "steps": [], "summary": CRASH}] * (count - len(theirs))
    for mutant, one, other in zip(mutants, ours, theirs, strict=True):
        faults = judged([one, other])
        found.update(faults)
        found[f"at {next((step['name'] for step in one['steps'] if not step['ok']), 'none')}"] += 1
        if faults:
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{hashlib.sha256(mutant).hexdigest()[:16]}.json").write_bytes(mutant)
    return found


def judged(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with the two verdicts on a mutation; both refuse it in the same words when nothing is."""
    faults = []
    for verdict, of in zip(verdicts, ("", " by the browser's"), strict=True):
        faults += [f"accepted{of}"] * verdict["ok"]
        faults += [f"crashed{of.replace(' by', '')}"] * verdict["summary"].startswith(CRASH)
    one, other = ({**verdict, "steps": list(verdict["steps"])} for verdict in verdicts)
    return [*faults, *["differ"] * (one != other)]


def ask(pipe: IO[bytes], mutants: Sequence[bytes]) -> None:
    """Write the receipts, each after its length, and say that there are no more."""
    with pipe:
        for mutant in mutants:
            pipe.write(len(mutant).to_bytes(4) + mutant)


if __name__ == "__main__":
    sys.exit(main())

"""Bends the valid vectors at random and shows each result to both verifiers: `make fuzz-receipts N=1000000`.

Each must be refused by both, with one verdict, word for word. Before that, VALID receipts of all kinds that were not
bent must be accepted by both alike. Anything else is kept in build/fuzz-receipts.
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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from aibox.audit.verifier import verify
from tests.vectors import make
from tests.vectors.mutations import mutations
from tests.vectors.varied import varied

HOUSE = make.FOLDER.parents[1]
KEPT = HOUSE / "build/fuzz-receipts"
CHUNK = 5000
CRASH = "Refused: the verifier failed on it"
FAULTS = {
    kind: [wrong, f"{wrong} by the browser's", "crashed", "crashed the browser's", "judged differently"]
    for kind, wrong in (("valid", "refused"), ("bent", "accepted"))
}


def main() -> int:
    """Judge VALID valid receipts and N bent ones, from SEED in WORKERS processes; 0 if both verifiers are right."""
    count, seed = int(os.environ.get("N", "1000000")), int(os.environ.get("SEED", "1"))
    valid = int(os.environ.get("VALID", str(min(count, 10_000))))
    workers = int(os.environ.get("WORKERS", "0")) or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=HOUSE / "web/node_modules") as folder:
        judge = build_judge(Path(folder))
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            results = [
                report(pool.imap_unordered(attempt, jobs(kind, seed, amount, judge)), kind, seed)
                for kind, amount in (("valid", valid), ("bent", count))
            ]
    return 0 if all(results) else 1


def jobs(kind: str, seed: int, count: int, judge: Path) -> list[tuple[str, int, int, Path]]:
    """Shares of the work, each with a seed of its own."""
    return [
        (kind, seed + number, min(CHUNK, count - CHUNK * number), judge)
        for number in range((count + CHUNK - 1) // CHUNK)
    ]


def report(shares: Iterable[Counter[str]], kind: str, seed: int) -> bool:
    """Add up and print what was found; whether it is as it must be."""
    total: Counter[str] = Counter()
    begun = time.monotonic()
    for done, found in enumerate(shares, 1):
        total += found
        if done % 25 == 0:
            print(f"{total['receipts']:>9,} after {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(
        f"{total['receipts']:,} {kind} receipts from seed {seed} in {time.monotonic() - begun:.0f} s, both verifiers:"
    )
    print(", ".join(f"{total[name]} {name}" for name in FAULTS[kind]))
    steps = {name: amount for name, amount in total.most_common() if name.startswith("at ")}
    if kind == "bent":
        print("refused " + ", ".join(f"{name}: {amount:,}" for name, amount in steps.items()), flush=True)
    return not any(total[name] for name in FAULTS[kind])


def build_judge(folder: Path) -> Path:
    """The browser's verifier as a program for Node. It lies beside its libraries, which it imports."""
    command = ["node", "node_modules/vite/bin/vite.js", "build", "--ssr", "src/verifier/judge.ts"]
    options = ["--outDir", str(folder), "--emptyOutDir", "--logLevel", "warn"]
    subprocess.run([*command, *options], cwd=HOUSE / "web", check=True)
    return folder / "judge.js"


def attempt(job: tuple[str, int, int, Path]) -> Counter[str]:
    """Count what both verifiers say of `count` receipts of a kind from `seed`."""
    kind, seed, count, judge = job
    receipts = list((varied if kind == "valid" else mutations)(seed=seed, count=count))
    found: Counter[str] = Counter(receipts=count)
    with (
        subprocess.Popen(["node", str(judge)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node,
        ThreadPoolExecutor(2) as threads,
    ):
        assert node.stdin
        assert node.stdout
        asked = threads.submit(ask, node.stdin, receipts)
        answered = threads.submit(node.stdout.readlines)
        ours = [asdict(verify(receipt)) for receipt in receipts]
        asked.result()
        theirs = [json.loads(line) for line in answered.result()]
    # A browser's verifier that died has answered less than it was asked.
    theirs += [{"ok": False, "steps": [], "summary": CRASH}] * (count - len(theirs))
    for receipt, one, other in zip(receipts, ours, theirs, strict=True):
        faults = judged([one, other], valid=kind == "valid")
        found.update(faults)
        found[f"at {next((step['name'] for step in one['steps'] if not step['ok']), 'none')}"] += 1
        if faults:
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{hashlib.sha256(receipt).hexdigest()[:16]}.json").write_bytes(receipt)
    return found


def judged(verdicts: Sequence[dict[str, Any]], *, valid: bool = False) -> list[str]:
    """What is wrong with the two verdicts: both accept what is valid and refuse what is bent, in the same words."""
    faults = []
    for verdict, of in zip(verdicts, ("", " by the browser's"), strict=True):
        faults += [f"{'refused' if valid else 'accepted'}{of}"] * (verdict["ok"] != valid)
        faults += [f"crashed{of.replace(' by', '')}"] * verdict["summary"].startswith(CRASH)
    one, other = ({**verdict, "steps": list(verdict["steps"])} for verdict in verdicts)
    return [*faults, *["judged differently"] * (one != other)]


def ask(pipe: IO[bytes], receipts: Sequence[bytes]) -> None:
    """Write the receipts, each after its length, and say that there are no more."""
    with pipe:
        for receipt in receipts:
            pipe.write(len(receipt).to_bytes(4) + receipt)


if __name__ == "__main__":
    sys.exit(main())

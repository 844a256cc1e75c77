"""`python -m tests.eval [--data FOLDER] [--write] [GROUP…]`: measure, print, and fail where a bar is not met."""

import argparse
import importlib
import os
import pkgutil
import re
import sys
import time
from pathlib import Path

from tests import eval as groups
from tests.eval import Absent, Figure

QUALITY = Path(__file__).parents[2] / "docs" / "quality.md"


def main() -> int:
    """0 when all figures meet their bars and no set was absent."""
    known = sorted(module.name for module in pkgutil.iter_modules(groups.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m tests.eval")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(known))
    parser.add_argument("--data", type=Path, default=Path("eval-data"), help="the folder with the data sets")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/quality.md")
    asked = parser.parse_args()
    unknown = set(asked.groups) - set(known)
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    failed = False
    for name in asked.groups or known:
        print(f"── {name}", flush=True)
        begun, used = time.perf_counter(), time.process_time()
        figures, absent = _measure(name, asked.data)
        seconds, cpu, load = time.perf_counter() - begun, time.process_time() - used, os.getloadavg()[0]
        # On a machine that others use, times by the clock say little without these.
        print(f"          {seconds:.0f} s, {cpu:.0f} s of CPU without PostgreSQL's, load {load:.1f}", flush=True)
        failed = failed or absent is not None or not all(figure.is_met for figure in figures)
        if asked.write and absent is None:
            _keep(name, figures)
    return int(failed)


def _measure(name: str, data: Path) -> tuple[list[Figure], Absent | None]:
    figures: list[Figure] = []
    try:
        for figure in importlib.import_module(f"tests.eval.{name}").measure(data):
            print(figure, flush=True)
            figures.append(figure)
    except Absent as absent:
        print(f"  ABSENT  {absent}: nothing was measured on it. Give the folder of the data sets with DATA=…")
        return figures, absent
    return figures, None


def _keep(name: str, figures: list[Figure]) -> None:
    """Replace the group's table, between its two marks, in docs/quality.md."""
    rows = "".join(f"| {f.name} | {_value(f)} | {_bar(f)} | {f.of} |\n" for f in figures)
    table = f"<!-- {name} -->\n| figure | measured | bar | of |\n|---|---|---|---|\n{rows}<!-- /{name} -->"
    text = QUALITY.read_text()
    mark = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if not mark.search(text):
        sys.exit(f"docs/quality.md has no place for {name}: add the lines <!-- {name} --> and <!-- /{name} -->")
    QUALITY.write_text(mark.sub(lambda _: table, text))


def _value(figure: Figure) -> str:
    return f"{figure.shown}{'' if figure.is_met else ', not met'}"


def _bar(figure: Figure) -> str:
    return "" if figure.bar is None else f"{'≤' if figure.at_most else '≥'} {figure.bar:g}{figure.unit}"


if __name__ == "__main__":
    sys.exit(main())

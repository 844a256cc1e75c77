"""The parser's process: one task in, one answer out. Confines itself before it looks at the document."""

import itertools
import sys
from pathlib import Path

import msgspec

from aibox.knowledge.parser import Block, Parsed, Refused, RefusedError, Task
from aibox.knowledge.parser.chunks import chunks
from aibox.knowledge.parser.confine import confine
from aibox.knowledge.parser.kinds import read

BATCH = 50
"""Chunks a line: who reads decodes no long line at once."""


def main() -> None:
    """Answer the task on standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    confine(memory=task.memory, seconds=task.seconds, folder=Path(task.path).parent)
    answer, blocks = _answer(task)
    _say(answer)
    if isinstance(answer, Parsed):
        found = chunks(blocks, words=task.words, overlap=task.overlap)
        while batch := list(itertools.islice(found, BATCH)):
            _say(batch)
        _say([])


def _answer(task: Task) -> tuple[Parsed | Refused, list[Block]]:
    """What the document is and says, or why that cannot be said."""
    try:
        return read(task)
    except RefusedError as refused:
        return Refused(problem=refused.problem, detail=refused.detail), []
    except (MemoryError, RecursionError):
        return Refused(problem="too_complex", detail="reading it takes too much memory"), []
    except Exception as error:  # noqa: BLE001
        # The parent relies on an answer: whatever a library raises on a damaged document, the document is damaged.
        return Refused(problem="broken", detail=f"it seems to be damaged ({type(error).__name__})"), []


def _say(answer: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

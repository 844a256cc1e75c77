"""Reads a document in a process of its own, within limits of memory and time, and says plainly why it cannot."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from aibox.knowledge import (
    DocumentEmpty,
    DocumentEncrypted,
    DocumentMismatch,
    DocumentTooComplex,
    DocumentUnreadable,
    DocumentUnsupported,
    OcrMissing,
    Settings,
)
from aibox.knowledge.parser import Chunk, Parsed, Problem, Refused, Task

log = structlog.get_logger("aibox.knowledge.parsing")

MOST_LINE = 16 << 20
"""Bytes of a line: fifty chunks, whatever their words are made of."""

MOST_CHUNKS = 50_000

GRACE_SECONDS = 10.0
"""The child's own limit counts its CPU; this much longer it may take by the clock before it is killed."""

PROBLEMS: dict[Problem, type[DocumentUnreadable]] = {
    "encrypted": DocumentEncrypted,
    "unsupported": DocumentUnsupported,
    "mismatch": DocumentMismatch,
    "broken": DocumentUnreadable,
    "empty": DocumentEmpty,
    "too_complex": DocumentTooComplex,
    "ocr_missing": OcrMissing,
}


class Read(Struct, frozen=True):
    """A document as it was read."""

    document: Parsed
    chunks: list[Chunk]


async def parse(path: Path, name: str, settings: Settings, *, charset: str = "", everything: bool = False) -> Read:
    """What the document at `path` says; its folder is the child's to use. Raises `DocumentUnreadable` of all kinds.

    `everything`: what no passage needs too, such as running titles.
    """
    task = Task(
        path=str(path),
        name=name,
        charset=charset,
        words=settings.chunk_words,
        overlap=settings.overlap_words,
        memory=settings.parser_memory_mb << 20,
        seconds=settings.parser_seconds,
        ocr_languages=settings.ocr_languages,
        everything=everything,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "aibox.knowledge.parser",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=MOST_LINE,
        cwd=path.parent,
        start_new_session=True,  # so that it is killed with what it started
        env=_environment(),
    )
    try:
        async with asyncio.timeout(settings.parser_seconds + GRACE_SECONDS):
            return await _ask(process, task)
    except TimeoutError:
        raise DocumentTooComplex("The document cannot be read: it takes too long.") from None
    except EndedError:
        await process.wait()
        log.warning("parser.died", code=process.returncode)
        raise DocumentTooComplex(
            "The document cannot be read: it takes more memory or time than a document may."
        ) from None
    finally:
        await _end(process)


class EndedError(Exception):
    """The child ended before its answer did."""


async def _ask(process: asyncio.subprocess.Process, task: Task) -> Read:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it ended already: no answer will come
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        await process.stdin.drain()
    answer = await _line(process, Parsed | Refused)
    if isinstance(answer, Refused):
        raise PROBLEMS[answer.problem](f"The document cannot be read: {answer.detail}.")
    chunks: list[Chunk] = []
    while batch := await _line(process, list[Chunk]):
        chunks += batch
        if len(chunks) > MOST_CHUNKS:
            raise DocumentTooComplex(f"The document cannot be read: it has more than {MOST_CHUNKS} passages.")
    return Read(answer, chunks)


async def _line(process: asyncio.subprocess.Process, kind: Any) -> Any:
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
    except ValueError:  # longer than the limit
        raise EndedError from None
    if not line.endswith(b"\n"):
        raise EndedError
    return msgspec.json.decode(line, type=kind)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _environment() -> dict[str, str]:
    """Nothing of ours but what finds libraries: our environment may hold secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

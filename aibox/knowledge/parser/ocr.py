"""Text in pictures, by Tesseract where it is installed (Debian: `apt-get install tesseract-ocr`)."""

import shutil
import subprocess
from pathlib import Path

from aibox.knowledge.parser import Document, RefusedError, Task

PAGE_SECONDS = 60


def read_image(path: Path, document: Document, task: Task) -> None:
    document.add(text_of(path, task))


def text_of(path: Path, task: Task) -> str:
    """What is written in the picture at `path`. Raises `RefusedError` without Tesseract."""
    program = shutil.which("tesseract")
    if program is None:
        raise RefusedError("ocr_missing", "it is a picture, and Tesseract is not installed on the server")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the path is ours
            [program, str(path), "stdout", "-l", task.ocr_languages, "--psm", "3"],
            capture_output=True,
            timeout=PAGE_SECONDS,
            check=False,
            # One thread: Tesseract's own are slower together than apart on a busy machine.
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "OMP_THREAD_LIMIT": "1", "LANG": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise RefusedError("too_complex", "reading its pictures takes too long") from None
    if done.returncode != 0:
        if b"Error opening data file" in done.stderr:
            raise RefusedError("ocr_missing", f"Tesseract lacks the language data for {task.ocr_languages}")
        raise RefusedError("broken", "Tesseract cannot read this picture")
    return done.stdout.decode("utf-8", "replace").replace("\x0c", "")

"""Reads untrusted documents. It runs as a process of its own (`python -m aibox.knowledge.parser`) and knows no module.

The parent writes a line of JSON (`Task`) and reads lines back: `Refused`, or `Parsed`, then lists of `Chunk`, an empty
one at the end. Whatever a document does to this process (memory, time, a crash in a library) ends the process and
nothing else.
"""

from typing import Literal

from msgspec import Struct

Problem = Literal["encrypted", "unsupported", "mismatch", "broken", "empty", "too_complex", "ocr_missing"]


class Block(Struct, frozen=True, array_like=True):
    """A piece of a document in reading order: a heading (`level` from 1) or text (0); `page` where there are pages."""

    text: str
    level: int = 0
    page: int | None = None


class Chunk(Struct, frozen=True, array_like=True):
    """A passage: its text, the headings above it, and the page where it begins."""

    text: str
    section: str = ""
    page: int | None = None


class Task(Struct, frozen=True, kw_only=True):
    """What to read and how much it may cost. `name` is the file's as its owner gave it: its ending is a claim."""

    path: str
    name: str
    charset: str = ""
    words: int = 200
    overlap: int = 30
    memory: int = 1 << 30
    seconds: int = 120
    ocr_languages: str = "eng"
    everything: bool = False
    """Running titles and page numbers too, which are no part of a passage."""


class Parsed(Struct, frozen=True, kw_only=True, tag="parsed"):
    """What the document is. `title` is its own, where it has one."""

    media_type: str
    title: str = ""
    pages: int | None = None


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """Why there is no text; `detail` completes the sentence."""

    problem: Problem
    detail: str = ""


class RefusedError(Exception):
    """Raised by a reader; the child says it as `Refused`."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem: Problem = problem
        self.detail = detail


MAX_CHARACTERS = 10_000_000
"""More text than this is no document that anyone will ask about."""


class Document:
    """The blocks found so far. Raises `RefusedError` when they grow too large."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self.pages: int | None = None
        self._room = MAX_CHARACTERS

    def add(self, text: str, *, level: int = 0, page: int | None = None) -> None:
        """Append a block; blank ones are left out, and a heading is one line."""
        text = text.replace("\x00", "").strip()
        if level:
            text = " ".join(text.split())[:300]
        if not text:
            return
        self._room -= len(text)
        if self._room < 0:
            raise RefusedError("too_complex", f"it has more than {MAX_CHARACTERS:,} characters")
        self.blocks.append(Block(text, level, page))

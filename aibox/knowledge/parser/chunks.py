"""Cuts a document into passages: whole sentences under their headings, with some words of the passage before."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from aibox.knowledge.parser import Block, Chunk

SMALL = 50
"""A section of fewer words does not end a passage: the next one joins it, its heading as a line between."""

MOST_HEADINGS = 4

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÀ-ÖØ-Þ0-9])")


class Piece(Struct, frozen=True):
    """A sentence, a line or a part of one, and what stands between it and the piece before."""

    words: tuple[str, ...]
    join: str
    section: str
    page: int | None


def chunks(blocks: Iterable[Block], *, words: int, overlap: int) -> Iterator[Chunk]:
    """Passages of at most `words` words, of which up to `overlap` repeat the end of the passage before.

    A passage names the headings above its beginning (`section`) and the page where it begins.
    """
    passage: list[Piece] = []
    fresh = 0
    """Words that no passage before has."""
    for piece, begins in _pieces(blocks, most=words):
        if begins and fresh >= SMALL:
            yield _chunk(passage)
            passage, fresh = [], 0
        elif fresh and _count(passage) + len(piece.words) > words:
            yield _chunk(passage)
            passage, fresh = _end(passage, most=min(overlap, words - len(piece.words))), 0
        passage.append(piece)
        fresh += len(piece.words)
    if fresh:
        yield _chunk(passage)


def _pieces(blocks: Iterable[Block], *, most: int) -> Iterator[tuple[Piece, bool]]:
    """Every piece in order, and whether a section begins with it."""
    headings: list[tuple[int, str]] = []
    for block in blocks:
        if block.level:
            headings = [(level, text) for level, text in headings if level < block.level][-MOST_HEADINGS + 1 :]
            headings.append((block.level, block.text))
            section = _path(headings)
            # The heading itself is a line of the passage: a section that joins another keeps its name.
            yield Piece(tuple(block.text.split()[:most]), "\n\n", section, block.page), True
            continue
        section = _path(headings)
        for text, join in _sentences(block.text):
            found = text.split()
            for start in range(0, len(found), most):
                yield Piece(tuple(found[start : start + most]), join if start == 0 else " ", section, block.page), False


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    join = "\n\n"
    for line in text.split("\n"):
        for sentence in _SENTENCE.split(line):
            if sentence.strip():
                yield sentence, join
                join = " "
        join = "\n"


def _path(headings: Iterable[tuple[int, str]]) -> str:
    return " › ".join(text for _, text in headings)


def _count(pieces: Iterable[Piece]) -> int:
    return sum(len(piece.words) for piece in pieces)


def _end(passage: list[Piece], *, most: int) -> list[Piece]:
    """The last sentences of a passage that have at most `most` words together; else its last words."""
    kept: list[Piece] = []
    for piece in reversed(passage):
        if _count(kept) + len(piece.words) > most:
            break
        kept.insert(0, piece)
    if not kept and most > 0:
        last = passage[-1]
        kept = [Piece(last.words[-most:], last.join, last.section, last.page)]
    return kept


def _chunk(passage: list[Piece]) -> Chunk:
    text = "".join(f"{piece.join}{' '.join(piece.words)}" for piece in passage).strip()
    return Chunk(text=text, section=passage[0].section, page=passage[0].page)

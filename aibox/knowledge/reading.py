"""Reads documents in messages, in the same confined process as those that are kept, and keeps nothing of them."""

import asyncio
import tempfile
from pathlib import Path

from msgspec.structs import replace

from aibox.knowledge import DocumentTooComplex, Settings
from aibox.knowledge.parser import Chunk
from aibox.knowledge.parsing import parse

AT_ONCE = 2
MOST_SECONDS = 30
"""Someone waits for the answer: reading may take no longer, whatever a document that is kept may."""

MOST_CHARACTERS = 200_000
"""More text than this is more than is judged in the time that a request has."""


class MessageReader:
    """`DocumentReader` by the parser's process. `folder` holds a document while it is read."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = replace(
            settings,
            chunk_words=1000,
            overlap_words=0,
            parser_seconds=min(settings.parser_seconds, MOST_SECONDS),
        )
        self._folder = folder
        self._places = asyncio.Semaphore(AT_ONCE)

    async def text_of(self, data: bytes, name: str) -> str:
        """See `DocumentReader.text_of`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        async with self._places:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                path = Path(folder) / "document"
                await asyncio.to_thread(path.write_bytes, data)
                read = await parse(path, name, self._settings, everything=True)
        text = _joined(read.document.title, read.chunks)
        if len(text) > MOST_CHARACTERS:
            raise DocumentTooComplex(f"The document cannot be read: it has more than {MOST_CHARACTERS:,} characters.")
        return text


def _joined(title: str, chunks: list[Chunk]) -> str:
    """The passages in order, each heading above the first that stands under it."""
    lines = [title] if title else []
    section = ""
    for chunk in chunks:
        if chunk.section not in ("", section):
            section = chunk.section
            lines.append(section)
        lines.append(chunk.text)
    return "\n\n".join(lines)

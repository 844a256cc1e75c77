"""Plain text and Markdown."""

import re
from pathlib import Path

from aibox.knowledge.parser import Document, Task

_ATX = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")
_BLANK = re.compile(r"\n[ \t]*\n")


def read_text(path: Path, document: Document, task: Task) -> None:
    """Paragraphs, divided by blank lines."""
    for paragraph in _BLANK.split(decoded(path.read_bytes(), task.charset)):
        document.add(paragraph)


def read_markdown(path: Path, document: Document, task: Task) -> None:
    """Headings and paragraphs; code between fences is one block, whatever it looks like."""
    paragraph: list[str] = []
    fence = ""

    def end() -> None:
        document.add("\n".join(paragraph))
        paragraph.clear()

    for line in decoded(path.read_bytes(), task.charset).split("\n"):
        if fence:
            paragraph.append(line)
            if line.strip().startswith(fence):
                fence = ""
                end()
        elif opened := _FENCE.match(line):
            end()
            fence = opened[1]
            paragraph.append(line)
        elif heading := _ATX.match(line):
            end()
            document.add(heading[2], level=len(heading[1]))
            document.title = document.title or heading[2]
        elif paragraph and re.fullmatch(r"(=+|-{2,})[ \t]*", line):
            text = " ".join(paragraph)
            paragraph.clear()
            document.add(text, level=1 if line[0] == "=" else 2)
        elif line.strip():
            paragraph.append(line)
        else:
            end()
    end()


def decoded(data: bytes, charset: str = "") -> str:
    """`data` as text, by its mark, as it was said, as UTF-8, or as what Windows writes; line ends are line feeds."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return _lines(data.decode(name, "replace"))
    for name in (charset, "utf-8"):
        try:
            return _lines(data.decode(name or "utf-8"))
        except (UnicodeDecodeError, LookupError):
            continue
    return _lines(data.decode("cp1252", "replace"))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

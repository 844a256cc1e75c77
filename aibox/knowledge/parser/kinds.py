"""Which kind of document a file is, by its content; its name only decides between kinds of text."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from aibox.knowledge.parser import Block, Document, Parsed, RefusedError, Task

TEXTS = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".eml": "message/rfc822",
}
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ENDINGS = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".docm": DOCX,
    ".pptx": PPTX,
    ".pptm": PPTX,
    ".xlsx": XLSX,
    ".xlsm": XLSX,
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
}
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
PARTS = {"word/document.xml": DOCX, "ppt/presentation.xml": PPTX, "xl/workbook.xml": XLSX}
NEAR = 1 << 20
"""So many bytes of a compound file are looked at, from its beginning and from where it says its directory is."""

_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MARKUP = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_HEADERS = re.compile(rb"(?:[!-9;-~]+:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){2,}")
_KNOWN_HEADER = re.compile(rb"^(from|received|message-id|mime-version|date|subject):", re.IGNORECASE | re.MULTILINE)


def read(task: Task) -> tuple[Parsed, list[Block]]:
    """What the document is, and what it says. Raises `RefusedError`, and what a library raises on a damaged file."""
    document = Document()
    path = Path(task.path)
    media_type = kind_of(path, task.name)
    reader_of(media_type)(path, document, task)
    if not document.blocks:
        raise RefusedError("empty", "it has no text")
    return Parsed(media_type=media_type, title=document.title, pages=document.pages), document.blocks


def kind_of(path: Path, name: str) -> str:
    """The media type. Raises `RefusedError` for a file that is not what its name says, or nothing that can be read."""
    with path.open("rb") as file:
        head = file.read(64 * 1024)
    if not head.strip():
        raise RefusedError("empty", "it is empty")
    found, claimed = _by_content(path, head), _claimed(name)
    if claimed in ENDINGS.values() and found != claimed and not (found or "text/").startswith("image/"):
        raise RefusedError("mismatch", f"its name ends as {Path(name).suffix.lower()}, its content is not of that kind")
    if found is not None:
        return found
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RefusedError("unsupported", "it is of a kind that cannot be read here")
    if claimed is not None:
        return claimed
    if _MARKUP.match(head):
        return "text/html"
    if (headers := _HEADERS.match(head)) and len(_KNOWN_HEADER.findall(headers[0])) >= 2:
        return "message/rfc822"
    return "text/plain"


def _claimed(name: str) -> str | None:
    ending = Path(name).suffix.lower()
    return ENDINGS.get(ending) or TEXTS.get(ending)


def _by_content(path: Path, head: bytes) -> str | None:
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(_COMPOUND):
        if _is_locked(path, head):
            raise RefusedError("encrypted", "it is protected by a password")
        raise RefusedError("unsupported", "it is in an old Office format; save it as DOCX, XLSX or PPTX")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
        found = next((kind for part, kind in PARTS.items() if part in names), None)
        if found is None:
            raise RefusedError("unsupported", "it is an archive; upload the files in it")
        return found
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def _is_locked(path: Path, head: bytes) -> bool:
    """Whether Office encrypted it: then it is an old compound file (MS-CFB) whose directory names this stream."""
    sector = 1 << min(int.from_bytes(head[30:32], "little"), 12)
    directory = (int.from_bytes(head[48:52], "little") + 1) * sector
    name = "EncryptedPackage".encode("utf-16-le")
    with path.open("rb") as file:
        if name in file.read(NEAR):
            return True
        file.seek(directory)  # in a large document it may stand behind
        return name in file.read(NEAR)


Reader = Callable[[Path, Document, Task], None]


def reader_of(media_type: str) -> Reader:
    """What reads this kind. Each is imported when it is needed: a text needs no library."""
    # ruff: noqa: PLC0415
    match media_type:
        case "application/pdf":
            from aibox.knowledge.parser.pdf import read_pdf

            return read_pdf
        case _ if media_type == DOCX:
            from aibox.knowledge.parser.office import read_docx

            return read_docx
        case _ if media_type == PPTX:
            from aibox.knowledge.parser.office import read_pptx

            return read_pptx
        case _ if media_type == XLSX:
            from aibox.knowledge.parser.office import read_xlsx

            return read_xlsx
        case "text/html":
            from aibox.knowledge.parser.html import read_html

            return read_html
        case "text/markdown":
            from aibox.knowledge.parser.texts import read_markdown

            return read_markdown
        case "message/rfc822":
            from aibox.knowledge.parser.mail import read_mail

            return read_mail
        case _ if media_type.startswith("image/"):
            from aibox.knowledge.parser.ocr import read_image

            return read_image
        case _:
            from aibox.knowledge.parser.texts import read_text

            return read_text

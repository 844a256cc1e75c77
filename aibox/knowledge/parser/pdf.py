"""PDF by PDFium: text by page, headings by the size of their letters; pages that are pictures by OCR."""

import ctypes
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from aibox.knowledge.parser import Document, RefusedError, Task
from aibox.knowledge.parser.ocr import text_of

MOST_PAGES = 5000
HEADING_FACTOR = 1.15
"""A line whose letters are so many times larger than most is a heading."""

REPEATED = 0.5
"""A line at the edge of so many pages is a running title or a page number."""

MOST_PICTURES = 200
OCR_SCALE = 200 / 72
"""200 dots an inch."""

PASSWORD_ERROR = 4


class Line(Struct, frozen=True):
    """A line of a page and the size of its letters, 0 when nobody says."""

    text: str
    size: float


def read_pdf(path: Path, document: Document, task: Task) -> None:
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == PASSWORD_ERROR:
            raise RefusedError("encrypted", "it is protected by a password") from None
        raise RefusedError("broken", "it seems to be damaged") from None
    with pdf:
        count = document.pages = len(pdf)
        if count > MOST_PAGES:
            raise RefusedError("too_complex", f"it has more than {MOST_PAGES} pages")
        document.title = pdf.get_metadata_value("Title").strip()[:300]
        pages = [_lines(pdf, number) for number in range(count)]
        if not task.everything:
            pages = _without_repeated(pages)
        body = _usual_size(pages)
        pictures = 0
        for number, lines in enumerate(pages):
            if lines:
                _add(document, lines, body, page=number + 1)
            elif pictures < MOST_PICTURES and _has_picture(pdf[number]):
                pictures += 1
                document.add(_recognised(pdf[number], path.parent, task), page=number + 1)


def _lines(pdf: pypdfium2.PdfDocument, number: int) -> list[Line]:
    page = pdf[number]
    try:
        text = page.get_textpage()
        try:
            return _lines_of(text)
        finally:
            text.close()
    finally:
        page.close()


def _lines_of(page: pypdfium2.PdfTextPage) -> list[Line]:
    found = []
    position = 0
    for raw in page.get_text_range().split("\n"):
        line = raw.strip()
        if line:
            begin = position + len(raw) - len(raw.lstrip())
            found.append(Line(line, round(float(pdfium.FPDFText_GetFontSize(page.raw, begin)), 1)))
        position += len(raw) + 1
    return found


def _without_repeated(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without the first and last lines that most of them share, whatever their numbers."""
    if len(pages) < 4:
        return pages
    edges = Counter(key for lines in pages for key in {_key(line) for line in (*lines[:1], *lines[-1:])})
    repeated = {key for key, count in edges.items() if count > REPEATED * len(pages)}

    def kept(lines: list[Line]) -> list[Line]:
        return [
            line for place, line in enumerate(lines) if not (_key(line) in repeated and place in (0, len(lines) - 1))
        ]

    return [kept(lines) for lines in pages]


def _key(line: Line) -> str:
    return re.sub(r"\d+", "#", line.text)


def _usual_size(pages: list[list[Line]]) -> float:
    letters: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            letters[line.size] += len(line.text)
    return letters.most_common(1)[0][0] if letters else 0.0


def _add(document: Document, lines: list[Line], body: float, *, page: int) -> None:
    paragraph: list[str] = []
    for before, line in pairwise([Line("", 0.0), *lines]):
        is_heading = body > 0 and line.size >= body * HEADING_FACTOR and len(line.text) < 200
        if is_heading:
            document.add(_joined(paragraph), page=page)
            paragraph.clear()
            document.add(line.text, level=1 if line.size >= body * 1.5 else 2, page=page)
        elif paragraph and before.text.endswith((".", ":", "?", "!")) and len(before.text) < 60:
            # A short last line ends a paragraph.
            document.add(_joined([*paragraph]), page=page)
            paragraph[:] = [line.text]
        else:
            paragraph.append(line.text)
    document.add(_joined(paragraph), page=page)


def _joined(lines: list[str]) -> str:
    """The lines as one text; a word that was divided at a line's end is one word again."""
    return re.sub(r"(\w)[\u00ad\u2010-]\n(?=[a-zà-ÿ])", r"\1", "\n".join(lines)).replace("\n", " ")


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    return any(item.type == pdfium.FPDF_PAGEOBJ_IMAGE for item in page.get_objects(max_depth=3))


def _recognised(page: pypdfium2.PdfPage, folder: Path, task: Task) -> str:
    """The page as a picture in the simplest format that Tesseract reads (PGM), and what it reads there."""
    width, height = page.get_size()
    scale = min(OCR_SCALE, 5000 / max(width, height, 1))
    bitmap = page.render(scale=scale, grayscale=True)
    rows = ctypes.string_at(bitmap.buffer, bitmap.stride * bitmap.height)
    pixels = b"".join(rows[y * bitmap.stride : y * bitmap.stride + bitmap.width] for y in range(bitmap.height))
    picture = folder / "page.pgm"
    picture.write_bytes(b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + pixels)
    try:
        return text_of(picture, task)
    finally:
        picture.unlink()

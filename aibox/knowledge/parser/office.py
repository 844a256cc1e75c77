"""DOCX, PPTX and XLSX: the XML in their archives, read piece by piece within limits."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree  # expat limits entities; memory and time of this process are limited anyway

import python_calamine

from aibox.knowledge.parser import Document, RefusedError, Task

MOST_BYTES = 512 << 20
"""Of an archive's parts together, unpacked, as it declares them; zipfile reads no more than declared."""

MOST_CELLS = 2_000_000

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
DC = "{http://purl.org/dc/elements/1.1/}"
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def read_docx(path: Path, document: Document, _: Task) -> None:
    with _opened(path) as archive:
        document.title = _title(archive)
        levels = _heading_levels(archive)
        page = 1
        for element in _children(archive, "word/document.xml", f"{W}body"):
            if element.tag == f"{W}tbl":
                document.add(_table(element, f"{W}tr", f"{W}tc"), page=page)
            else:
                for paragraph in _paragraphs(element):
                    before, after = _breaks(paragraph)
                    page += before
                    document.add(_words(paragraph), level=_level(paragraph, levels), page=page)
                    page += after
        document.pages = page if page > 1 else None
        for part in ("word/footnotes.xml", "word/endnotes.xml"):
            for note in _children(archive, part, None):
                document.add(_words(note))


def read_pptx(path: Path, document: Document, _: Task) -> None:
    with _opened(path) as archive:
        document.title = _title(archive)
        slides = _slides(archive)
        document.pages = len(slides)
        for number, slide in enumerate(slides, 1):
            tree = _tree(archive, slide)
            for shape in tree.iter():
                if shape.tag in (f"{P}sp", f"{P}graphicFrame"):
                    _add_shape(document, shape, page=number)
            notes = next((to for kind, to in _relations(archive, slide).values() if kind.endswith("/notesSlide")), None)
            if notes is not None:
                spoken = [
                    _words_of_shape(shape) for shape in _tree(archive, notes).iter(f"{P}sp") if _role(shape) == "body"
                ]
                document.add("Notes: " + "\n".join(spoken) if any(spoken) else "", page=number)


def read_xlsx(path: Path, document: Document, _: Task) -> None:
    with _opened(path):
        pass  # its limits are checked; calamine opens it again
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.PasswordError:
        raise RefusedError("encrypted", "it is protected by a password") from None
    document.pages = len(book.sheet_names)
    room = MOST_CELLS
    for number, name in enumerate(book.sheet_names, 1):
        sheet = book.get_sheet_by_name(name)
        room -= sheet.total_height * sheet.total_width
        if room < 0:
            raise RefusedError("too_complex", f"it has more than {MOST_CELLS:,} cells")
        document.add(name, level=1, page=number)
        for row in sheet.iter_rows():
            document.add(" | ".join(_cell(cell) for cell in row).strip(" |"), page=number)


def _cell(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def _opened(path: Path) -> zipfile.ZipFile:
    """The archive. Raises `RefusedError` for one that unpacks to too much, or is encrypted."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise RefusedError("broken", "it seems to be damaged") from None
    parts = archive.infolist()
    if sum(part.file_size for part in parts) > MOST_BYTES or len(parts) > 20_000:
        raise RefusedError("too_complex", "it unpacks to too much")
    if any(part.flag_bits & 1 for part in parts):
        raise RefusedError("encrypted", "it is protected by a password")
    return archive


def _tree(archive: zipfile.ZipFile, part: str) -> ElementTree.Element:
    with archive.open(part) as file:
        return ElementTree.parse(file).getroot()  # noqa: S314 - see the import


def _children(archive: zipfile.ZipFile, part: str, parent: str | None) -> Iterator[ElementTree.Element]:
    """The children of `parent` (of the root when None) one by one, so that a long document is never held whole."""
    if part not in archive.NameToInfo:
        return
    with archive.open(part) as file:
        path: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(file, ("start", "end")):  # noqa: S314
            if event == "start":
                path.append(element)
                continue
            path.pop()
            if path and (path[-1].tag == parent if parent else len(path) == 1):
                yield element
                path[-1].remove(element)


def _title(archive: zipfile.ZipFile) -> str:
    if "docProps/core.xml" not in archive.NameToInfo:
        return ""
    return " ".join((_tree(archive, "docProps/core.xml").findtext(f"{DC}title") or "").split())[:300]


def _heading_levels(archive: zipfile.ZipFile) -> dict[str, int]:
    """Heading levels by style id: ids are in the author's language, names are English everywhere."""
    levels = {}
    for style in _children(archive, "word/styles.xml", None):
        name = style.find(f"{W}name")
        outline = style.find(f"{W}pPr/{W}outlineLvl")
        said = "" if name is None else name.get(f"{W}val", "")
        if heading := _HEADING.fullmatch(said):
            levels[style.get(f"{W}styleId", "")] = int(heading[1])
        elif said.lower() == "title":
            levels[style.get(f"{W}styleId", "")] = 1
        elif outline is not None and outline.get(f"{W}val", "9").isdigit() and int(outline.get(f"{W}val", "9")) < 6:
            levels[style.get(f"{W}styleId", "")] = int(outline.get(f"{W}val", "9")) + 1
    return levels


def _level(paragraph: ElementTree.Element, levels: dict[str, int]) -> int:
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    outline = paragraph.find(f"{W}pPr/{W}outlineLvl")
    if outline is not None and outline.get(f"{W}val", "9") in "012345":
        return int(outline.get(f"{W}val", "0")) + 1
    return levels.get(style.get(f"{W}val", ""), 0) if style is not None else 0


def _paragraphs(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The element itself, or those within a content control."""
    if element.tag == f"{W}p":
        yield element
    elif element.tag == f"{W}sdt":
        yield from element.iter(f"{W}p")


def _breaks(paragraph: ElementTree.Element) -> tuple[int, int]:
    """How many pages end before the paragraph's first word, and after it: as Word last drew them."""
    before = after = 0
    has_words = False
    for element in paragraph.iter():
        if element.tag == f"{W}t" and element.text:
            has_words = True
        elif element.tag == f"{W}lastRenderedPageBreak" or (
            element.tag == f"{W}br" and element.get(f"{W}type") == "page"
        ):
            after += has_words
            before += not has_words
    return before, after


def _words(element: ElementTree.Element) -> str:
    """The text in it; what was deleted under tracking is not there, and a shape's stand-in is not said twice."""
    said: list[str] = []

    def walk(node: ElementTree.Element) -> None:
        if node.tag == FALLBACK:
            return
        if node.tag in (f"{W}t", f"{A}t"):
            said.append(node.text or "")
        elif node.tag in (f"{W}tab", f"{W}cr", f"{W}br", f"{A}br"):
            said.append("\t" if node.tag == f"{W}tab" else "\n")
        for child in node:
            walk(child)
        if node.tag in (f"{W}p", f"{A}p"):
            said.append("\n")

    walk(element)
    return "".join(said).strip()


def _table(table: ElementTree.Element, row: str, cell: str) -> str:
    rows = (" | ".join(" ".join(_words(item).split()) for item in line.iter(cell)) for line in table.iter(row))
    return "\n".join(line for line in rows if line.strip(" |"))


def _slides(archive: zipfile.ZipFile) -> list[str]:
    """The slides' parts in the order in which they are shown."""
    relations = _relations(archive, "ppt/presentation.xml")
    listed = _tree(archive, "ppt/presentation.xml").iter(f"{P}sldId")
    return [relations[slide.get(f"{R}id", "")][1] for slide in listed if slide.get(f"{R}id", "") in relations]


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Kind and target by id, of the part's relations within the archive."""
    folder, name = PurePosixPath(part).parent, PurePosixPath(part).name
    listed = f"{folder}/_rels/{name}.rels"
    if listed not in archive.NameToInfo:
        return {}
    found = {}
    for relation in _tree(archive, listed).iter(RELATION):
        target = relation.get("Target", "")
        if relation.get("TargetMode") != "External":
            path = _resolved(target if target.startswith("/") else f"{folder}/{target}")
            if path in archive.NameToInfo:
                found[relation.get("Id", "")] = (relation.get("Type", ""), path)
    return found


def _resolved(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _role(shape: ElementTree.Element) -> str:
    placeholder = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
    return "" if placeholder is None else placeholder.get("type", "body")


def _add_shape(document: Document, shape: ElementTree.Element, *, page: int) -> None:
    if shape.tag == f"{P}graphicFrame":
        for table in shape.iter(f"{A}tbl"):
            document.add(_table(table, f"{A}tr", f"{A}tc"), page=page)
    elif _role(shape) not in ("sldNum", "dt", "ftr"):
        level = 1 if _role(shape) in ("title", "ctrTitle") else 0
        document.add(_words_of_shape(shape), level=level, page=page)


def _words_of_shape(shape: ElementTree.Element) -> str:
    body = shape.find(f"{P}txBody")
    return "" if body is None else "\n".join(filter(None, (_words(line) for line in body.iter(f"{A}p"))))

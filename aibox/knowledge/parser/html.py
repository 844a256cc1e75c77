"""HTML: headings, paragraphs, lists and tables as a reader sees them, without scripts and menus."""

import re
from html.parser import HTMLParser
from pathlib import Path

from aibox.knowledge.parser import Document, Task
from aibox.knowledge.parser.texts import decoded

HIDDEN = {"script", "style", "noscript", "template", "svg", "nav", "iframe", "object", "select", "button"}
BREAKING = {
    "p", "div", "section", "article", "main", "header", "footer", "aside", "ul", "ol", "dl", "table", "blockquote",
    "figure", "figcaption", "form", "fieldset", "address", "details", "summary", "pre", "hr", "body", "html",
}  # fmt: skip
LINES = {"li", "tr", "dt", "dd", "br", "caption"}
CELLS = {"td", "th"}
VOID = {"br", "hr", "img", "input", "meta", "link", "source", "wbr", "area", "base", "col", "embed", "param", "track"}
_HEADING = re.compile(r"h([1-6])")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def read_html(path: Path, document: Document, task: Task) -> None:
    data = path.read_bytes()
    declared = _CHARSET.search(data[:4096])
    add_html(decoded(data, task.charset or (declared[1].decode() if declared else "")), document)


def add_html(text: str, document: Document) -> None:
    """Append what `text` shows."""
    page = _Page(document)
    page.feed(text)
    page.close()
    page.flush()


class _Page(HTMLParser):
    def __init__(self, document: Document) -> None:
        super().__init__(convert_charrefs=True)
        self._document = document
        self._hidden: list[str] = []
        self._level = 0
        self._in_title = False
        self._is_preformatted = False
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden:
            if tag == self._hidden[0]:
                self._hidden.append(tag)
            return
        is_hidden = tag in HIDDEN or any(
            name == "hidden" or (name, value) == ("aria-hidden", "true") for name, value in attrs
        )
        if is_hidden and tag not in VOID:
            self._hidden = [tag]
        elif tag == "title":
            self._in_title = True
        elif heading := _HEADING.fullmatch(tag):
            self.flush()
            self._level = int(heading[1])
        elif tag in BREAKING:
            self.flush()
            self._is_preformatted = tag == "pre"
        elif tag in LINES:
            self._text.append("\n- " if tag == "li" else "\n")
        elif tag in CELLS:
            self._text.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[0]:
                self._hidden.pop()
        elif tag == "title":
            self._in_title = False
        elif tag in BREAKING or _HEADING.fullmatch(tag):
            self.flush()
            self._level = 0
            self._is_preformatted = False

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._in_title:
            self._document.title = " ".join(f"{self._document.title} {data}".split())[:300]
            return
        self._text.append(data if self._is_preformatted else re.sub(r"\s+", " ", data))

    def flush(self) -> None:
        """End the block that is being read."""
        text = "".join(self._text)
        self._text.clear()
        if not self._is_preformatted:
            lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n"))
            text = "\n".join(line.removeprefix("| ") for line in lines if line not in ("", "|", "-"))
        self._document.add(text, level=self._level)

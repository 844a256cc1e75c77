"""Documents are read in a process of their own: what they say, and how the odd and the hostile ones are refused."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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
from aibox.knowledge.parsing import Read, parse
from tests.unit.knowledge import papers

SETTINGS = Settings(parser_memory_mb=512, parser_seconds=30)
NEEDS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")


async def read(folder: Path, name: str, data: bytes, settings: Settings = SETTINGS) -> Read:
    path = folder / "document"
    path.write_bytes(data)
    return await parse(path, name, settings)


def said(found: Read) -> str:
    return "\n".join(chunk.text for chunk in found.chunks)


async def test_a_pdf_keeps_its_pages_and_its_headings(tmp_path: Path) -> None:
    pages = [
        [("Heat pumps", 20), *[(f"A heat pump moves warmth, sentence {n} of many.", 10) for n in range(30)]],
        [("Maintenance", 20), *[(f"Clean the filter each month, rule {n} of many.", 10) for n in range(30)]],
    ]

    found = await read(tmp_path, "manual.pdf", papers.pdf(pages, title="The manual"))

    assert (found.document.media_type, found.document.title, found.document.pages) == (
        "application/pdf",
        "The manual",
        2,
    )
    assert {(chunk.section, chunk.page) for chunk in found.chunks} == {("Heat pumps", 1), ("Maintenance", 2)}


async def test_a_running_title_of_a_pdf_is_not_repeated_in_its_passages(tmp_path: Path) -> None:
    pages = [
        [
            ("ACME confidential", 10),
            (f"On this page we speak of topic number {n}0 and nothing else.", 10),
            (f"Page {n}", 10),
        ]
        for n in range(1, 9)
    ]

    found = await read(tmp_path, "report.pdf", papers.pdf(pages))

    assert "topic number 50" in said(found)
    assert "ACME" not in said(found)
    assert "Page 5" not in said(found)


async def test_a_word_document_keeps_headings_in_any_language_and_tables(tmp_path: Path) -> None:
    style = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    table = "<w:tbl><w:tr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr></w:tbl>"
    body = (
        papers.paragraph("Garantie", style="berschrift1")
        + papers.paragraph("Die Pumpe hat zwei Jahre Garantie.")
        + "<w:p><w:del><w:r><w:delText>Gelöschtes</w:delText></w:r></w:del></w:p>"
        + table.format(papers.paragraph("Modell"), papers.paragraph("MAGNA3"))
    )

    found = await read(tmp_path, "vertrag.docx", papers.docx(body, styles=style))

    assert found.chunks[0].section == "Garantie"
    assert said(found) == "Garantie\n\nDie Pumpe hat zwei Jahre Garantie.\n\nModell | MAGNA3"


async def test_slides_come_in_their_shown_order_with_their_notes(tmp_path: Path) -> None:
    slides = [("First", "Revenue grew.", "Mention the new office."), ("Second", "Costs fell.", "")]

    found = await read(tmp_path, "talk.pptx", papers.pptx(slides))

    assert found.document.pages == 2
    assert said(found) == "First\n\nRevenue grew.\n\nNotes: Mention the new office.\n\nSecond\n\nCosts fell."


async def test_a_sheet_is_read_row_by_row(tmp_path: Path) -> None:
    found = await read(tmp_path, "stock.xlsx", papers.xlsx([["Part", "Count"], ["Valve", 12.0]], sheet="Stock"))

    assert found.chunks[0].section == "Stock"
    assert said(found) == "Stock\n\nPart | Count\n\nValve | 12"


async def test_a_web_page_is_read_without_scripts_and_menus(tmp_path: Path) -> None:
    page = (
        "<!doctype html><html><head><meta charset=iso-8859-1><title>The &amp; Shop</title><script>steal()</script>"
        "</head><body><nav>Home</nav><h1>Öffnungszeiten</h1><p>Mo\n bis <b>Fr</b></p><ul><li>neun<li>zehn</ul>"
        "<div hidden>secret</div><table><tr><td>a<td>b</table></body></html>"
    )

    found = await read(tmp_path, "shop.html", page.encode("latin-1"))

    assert found.document.title == "The & Shop"
    assert said(found) == "Öffnungszeiten\n\nMo bis Fr\n\n- neun\n- zehn\n\na | b"


async def test_markdown_keeps_code_whole_and_headings_out_of_it(tmp_path: Path) -> None:
    text = "# Setup\n\nRun this:\n\n```sh\n# not a heading\nmake up\n```\n\nDone\n====\nAll is well."

    found = await read(tmp_path, "readme.md", text.encode())

    assert found.document.title == "Setup"
    assert said(found) == "Setup\n\nRun this:\n\n```sh\n# not a heading\nmake up\n```\n\nDone\n\nAll is well."


async def test_a_mail_is_read_with_its_attachments(tmp_path: Path) -> None:
    attached = papers.docx(papers.paragraph("The price is 300 euros."))
    data = papers.mail("Offer", "Please find our offer.", ("offer.docx", attached), ("run.exe", b"MZ\x00\x01"))

    found = await read(tmp_path, "mail.eml", data)

    assert found.document.title == "Offer"
    assert "From: Ada <ada@example.com>" in said(found)
    assert "The price is 300 euros." in said(found)
    assert "run.exe" in said(found)
    assert "(This attachment was not read: it is of a kind that cannot be read here.)" in said(found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_text_is_read_in_the_usual_encodings(tmp_path: Path, encoding: str) -> None:
    found = await read(tmp_path, "notes.txt", "Grüße – aus Köln".encode(encoding))

    assert said(found) == "Grüße – aus Köln"


@NEEDS_TESSERACT
async def test_a_picture_and_a_scanned_pdf_are_read_by_ocr(tmp_path: Path) -> None:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (900, 200), 255)
    ImageDraw.Draw(picture).text((40, 60), "Invoice number 4711", fill=0, font_size=60)
    picture.save(tmp_path / "scan.png")

    alone = await read(tmp_path, "scan.png", (tmp_path / "scan.png").read_bytes())
    scanned = await read(tmp_path, "scan.pdf", papers.pdf_of_picture(tmp_path / "scan.png"))

    assert "4711" in said(alone)
    assert "4711" in said(scanned)
    assert scanned.chunks[0].page == 1


async def test_without_tesseract_a_picture_is_refused_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(OcrMissing, match="Tesseract is not installed"):
        await read(tmp_path, "scan.png", b"\x89PNG\r\n\x1a\n" + b"0" * 100)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("locked.pdf", papers.pdf([[("secret", 10)]], password="key"), DocumentEncrypted),
        (
            "locked.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            DocumentEncrypted,
        ),
        ("large-locked.docx", papers.locked_office(megabytes=12), DocumentEncrypted),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, DocumentUnsupported),
        ("broken.pdf", b"%PDF-1.7\n" + b"\x00garbage" * 100, DocumentUnreadable),
        ("broken.docx", papers.docx(papers.paragraph("x"))[:-60], DocumentUnreadable),
        ("bad-xml.docx", papers.docx("<w:p>"), DocumentUnreadable),
        ("fake.pdf", b"just some text", DocumentMismatch),
        ("fake.docx", papers.pdf([[("text", 10)]]), DocumentMismatch),
        ("program.txt", b"MZ\x90\x00\x03\x00\x00", DocumentUnsupported),
        ("archive.zip", papers._zip({"a.txt": "hello"}), DocumentUnsupported),
        ("empty.txt", b" \n ", DocumentEmpty),
        ("blank.pdf", papers.pdf([[]]), DocumentEmpty),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_read_is_refused_with_its_code(
    tmp_path: Path, name: str, data: bytes, error: type[DocumentUnreadable]
) -> None:
    with pytest.raises(DocumentUnreadable) as refused:
        await read(tmp_path, name, data)

    assert type(refused.value) is error
    assert str(refused.value).startswith("The document cannot be read: ")


@pytest.mark.parametrize(
    "data",
    [papers.zip_bomb(600), papers.one_huge_paragraph(500)],
    ids=["unpacks to more than is allowed", "needs more memory than is allowed"],
)
async def test_a_zip_bomb_is_refused_within_its_memory(tmp_path: Path, data: bytes) -> None:
    assert len(data) < 2_000_000
    before = _own_memory()

    with pytest.raises(DocumentTooComplex):
        await read(tmp_path, "bomb.docx", data)

    assert _own_memory() - before < 50_000_000


async def test_a_document_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    slow = papers.zip_bomb(400)

    with pytest.raises(DocumentTooComplex):
        await read(tmp_path, "slow.docx", slow, Settings(parser_memory_mb=512, parser_seconds=1))


async def test_the_event_loop_stays_free_while_a_document_is_read(tmp_path: Path) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await asyncio.sleep(0)
            longest = max(longest, clock() - began)

    watching = asyncio.create_task(watch())
    busy = threading.active_count()
    found = await read(tmp_path, "long.txt", b"A sentence of six words here. " * 40_000)
    watching.cancel()

    assert len(found.chunks) > 1000
    assert threading.active_count() <= busy + 2
    assert longest < 5  # generous: this machine may be busy; docs/quality.md has what was measured


ATTACK = """
import json, os, socket, sys
from pathlib import Path
from aibox.knowledge.parser.confine import confine

confine(memory=512 << 20, seconds=10, folder=Path(sys.argv[1]))
told = {}
for name, act in {
    "connect": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), 1),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "read": lambda: Path(sys.argv[2]).read_text(),
    "write": lambda: Path(sys.argv[2]).write_text("changed"),
    "list": lambda: os.listdir(Path(sys.argv[2]).parent),
    "memory": lambda: bytearray(1 << 30),
    "own": lambda: (Path(sys.argv[1]) / "draft").write_text("ours"),
}.items():
    try:
        act()
        told[name] = "done"
    except (OSError, MemoryError) as error:
        told[name] = type(error).__name__
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the confinement is Linux's")
def test_the_parser_reaches_neither_the_network_nor_other_files(tmp_path: Path) -> None:
    folder, secret = tmp_path / "work", tmp_path / "keys.json"
    folder.mkdir()
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", ATTACK, str(folder), str(secret), str(server.getsockname()[1])],
            capture_output=True,
            text=True,
            check=True,
        )

    assert done.stdout.strip() == (
        '{"connect": "PermissionError", "unix": "PermissionError", "read": "PermissionError",'
        ' "write": "PermissionError", "list": "PermissionError", "memory": "MemoryError", "own": "done"}'
    )


def _own_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

"""Real documents, made here: what an office, a mail program and a browser would write, and what an attacker would."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path

from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.pdfencrypt import StandardEncryption  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

Page = Sequence[tuple[str, int]]
"""Lines and the size of their letters."""


def pdf(pages: Sequence[Page], *, title: str = "", password: str | None = None) -> bytes:
    """A PDF with these lines on its pages."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, encrypt=StandardEncryption(password) if password else None)
    canvas.setTitle(title)
    for lines in pages:
        y = 800
        for line, size in lines:
            canvas.setFont("Helvetica", size)
            canvas.drawString(50, y, line)
            y -= size + 4
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def pdf_of_picture(picture: Path) -> bytes:
    """A scanned page: a PDF that holds nothing but a picture."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.drawImage(str(picture), 50, 500, width=500, height=200)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def docx(body: str, *, styles: str = "") -> bytes:
    """A Word document with this body."""
    return _zip(
        {
            "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
            "word/styles.xml": f"<w:styles {W}>{styles}</w:styles>",
        }
    )


def paragraph(text: str, *, style: str = "") -> str:
    kind = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{kind}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pptx(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """Slides of a title, a text and notes. Their parts are numbered backwards, as after a rearrangement."""
    parts = {}
    listed = relations = ""
    for number, (title, text, notes) in enumerate(slides, 1):
        part = len(slides) + 1 - number
        listed += f'<p:sldId id="{255 + number}" r:id="rId{number}"/>'
        relations += f'<Relationship Id="rId{number}" Type="{OFFICE}/slide" Target="slides/slide{part}.xml"/>'
        shapes = _shape("title", title) + _shape("body", text)
        parts[f"ppt/slides/slide{part}.xml"] = _slide("sld", shapes)
        parts[f"ppt/slides/_rels/slide{part}.xml.rels"] = (
            f'<Relationships {RELS}><Relationship Id="rId1" Type="{OFFICE}/notesSlide"'
            f' Target="../notesSlides/notesSlide{part}.xml"/></Relationships>'
        )
        parts[f"ppt/notesSlides/notesSlide{part}.xml"] = _slide("notes", _shape("body", notes))
    return _zip(
        {
            "ppt/presentation.xml": f"<p:presentation {P} {R}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": f"<Relationships {RELS}>{relations}</Relationships>",
            **parts,
        }
    )


def xlsx(rows: Sequence[Sequence[str | float]], *, sheet: str = "Sheet1") -> bytes:
    """A workbook with one sheet."""
    cells = "".join(f"<row>{''.join(_cell(value) for value in row)}</row>" for row in rows)
    content = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return _zip(
        {
            "[Content_Types].xml": (
                '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                f'<Override PartName="/xl/workbook.xml" ContentType="{content}.sheet.main+xml"/>'
                f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{content}.worksheet+xml"/></Types>'
            ),
            "_rels/.rels": (
                f'<Relationships {RELS}><Relationship Id="rId1" Type="{OFFICE}/officeDocument"'
                ' Target="xl/workbook.xml"/></Relationships>'
            ),
            "xl/workbook.xml": (
                f'<workbook {S} {R}><sheets><sheet name="{sheet}" sheetId="1" r:id="rId1"/></sheets></workbook>'
            ),
            "xl/_rels/workbook.xml.rels": (
                f'<Relationships {RELS}><Relationship Id="rId1" Type="{OFFICE}/worksheet"'
                ' Target="worksheets/sheet1.xml"/></Relationships>'
            ),
            "xl/worksheets/sheet1.xml": f"<worksheet {S}><sheetData>{cells}</sheetData></worksheet>",
        }
    )


def mail(subject: str, text: str, *attachments: tuple[str, bytes]) -> bytes:
    """A message from Ada to Ben."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ada <ada@example.com>", "ben@example.com", subject
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message.set_content(text)
    for name, data in attachments:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def locked_office(megabytes: int) -> bytes:
    """A compound file as Office keeps an encrypted document in: its directory stands behind the content."""
    sector = 512
    content = b"\x5a" * (megabytes << 20)
    head = bytearray(sector)
    head[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    head[30:32] = (9).to_bytes(2, "little")
    head[48:52] = (len(content) // sector).to_bytes(4, "little")
    entries = ("Root Entry", "EncryptionInfo", "\x06DataSpaces", "Version", "EncryptedPackage")
    return bytes(head) + content + b"".join(name.encode("utf-16-le").ljust(128, b"\x00") for name in entries)


def zip_bomb(megabytes: int) -> bytes:
    """A Word document of a few kilobytes that unpacks to this much."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        part.write(f"<w:document {W}><w:body>".encode())
        for _ in range(megabytes):
            part.write(b"<w:p/>" * ((1 << 20) // 6))
        part.write(b"</w:body></w:document>")
    return out.getvalue()


def one_huge_paragraph(megabytes: int) -> bytes:
    """A Word document whose one text, unpacked, is larger than the memory that a document may take."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        part.write(f"<w:document {W}><w:body><w:p><w:r><w:t>".encode())
        for _ in range(megabytes):
            part.write(b"a" * (1 << 20))
        part.write(b"</w:t></w:r></w:p></w:body></w:document>")
    return out.getvalue()


def _zip(parts: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{text}')
    return out.getvalue()


def _slide(kind: str, shapes: str) -> str:
    return f"<p:{kind} {P} {A}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{kind}>"


def _shape(kind: str, text: str) -> str:
    return (
        f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        f"<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"

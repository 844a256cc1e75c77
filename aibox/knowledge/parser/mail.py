"""E-mail: who wrote to whom, the message, and the attachments that can be read."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from msgspec.structs import replace

from aibox.knowledge.parser import Document, RefusedError, Task
from aibox.knowledge.parser.html import add_html

HEADERS = ("From", "To", "Cc", "Date", "Subject")
MOST_ATTACHMENTS = 20
DEPTH = 3


def read_mail(path: Path, document: Document, task: Task, depth: int = DEPTH) -> None:
    # ruff: noqa: PLC0415 - the two need each other
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    subject = " ".join(str(message.get("Subject", "")).split())
    document.title = document.title or subject[:300]
    document.add(subject, level=1)
    document.add("\n".join(f"{name}: {message[name]}" for name in HEADERS if message.get(name)))
    body = message.get_body(("plain", "html"))
    if body is not None:
        text = body.get_content()
        if body.get_content_type() == "text/html":
            add_html(text, document)
        else:
            for paragraph in str(text).replace("\r\n", "\n").split("\n\n"):
                document.add(paragraph)
    for number, part in enumerate(message.iter_attachments()):
        if number < MOST_ATTACHMENTS and isinstance(part, EmailMessage):
            _add_attachment(part, number, path.parent, document, task, depth)


def _add_attachment(part: EmailMessage, number: int, folder: Path, document: Document, task: Task, depth: int) -> None:
    from aibox.knowledge.parser.kinds import kind_of, reader_of

    name = Path(part.get_filename() or f"attachment-{number + 1}").name
    document.add(f"Attachment: {name}", level=2)
    data = _data(part)
    if not data or depth == 0:
        return
    path = folder / f"attachment-{depth}-{number}"
    path.write_bytes(data)
    try:
        kind = kind_of(path, name)
        if kind == "message/rfc822":
            read_mail(path, document, task, depth - 1)
        else:
            title, pages = document.title, document.pages
            reader_of(kind)(path, document, replace(task, path=str(path), name=name))
            document.title, document.pages = title, pages
    except RefusedError as refused:
        if refused.problem == "too_complex":
            raise
        document.add(f"(This attachment was not read: {refused.detail}.)")
    finally:
        path.unlink()


def _data(part: EmailMessage) -> bytes:
    if part.get_content_type() == "message/rfc822":
        return bytes(part.get_content())
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""

"""What a message carries besides text, in every dialect: found, read where it can be, and named where it cannot.

A file that is text is judged where it stands. A document (PDF, Office, e-mail) is read by the parser's confined
process; where something in it must be masked, its masked text takes its place, for nothing can be masked in the file. A
picture is read by OCR when the policy asks for it. All else is named: audio, video, what lies elsewhere (we fetch
nothing) and what cannot be read.
"""

import asyncio
import base64
import binascii
import mimetypes
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from aibox.guardrail import PartUnmaskable
from aibox.knowledge import DocumentEmpty, DocumentReader, DocumentUnreadable

Kind = Literal["image", "audio", "video", "file"]

MOST_READ = 20
"""So many documents and pictures of a request are read; the others are named."""

URLS: dict[str, Kind] = {"image_url": "image", "audio_url": "audio", "video_url": "video", "file_url": "file"}
"""Members that hold a URL, or an object with one."""

SOURCED: dict[str, Kind] = {"image": "image", "document": "file", "audio": "audio", "video": "video"}
"""Types of parts that have what they carry in `source`."""

FILED: dict[str, Kind] = {"input_file": "file", "input_image": "image", "container_upload": "file"}
"""Types of parts that hold a file, or its id, themselves."""

TELLING = frozenset(URLS) | {"input_audio", "source", "file", "file_data", "file_id", "data"}
"""Without one of these members a part carries nothing: most are of text, and are passed over at once."""

NOT_LOOKED_INTO = frozenset({"tool_use", "server_tool_use", "thinking", "redacted_thinking", "reasoning", "compaction"})
"""Types of parts without attachments: a tool's arguments, which are judged as text, and what is a provider's own."""

DOCUMENTS = {
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "message/rfc822": ".eml",
}
"""Media types that are read as documents, and what their names end in."""

WRITTEN = frozenset({"application/json", "application/xml", "application/yaml", "application/javascript"})
"""Media types that are text besides `text/…` and those that end in `+json` or `+xml`."""


class Carried(Struct, frozen=True, kw_only=True):
    """Something that is no text: the part `holder[key]`, with its bytes encoded in `place[member]`.

    `place` is None where only a URL or an id is known.
    """

    kind: Kind
    holder: Any
    key: Any
    place: dict[str, Any] | None = None
    member: str = ""
    media_type: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """How a verdict names it."""
        return self.kind if self.place is not None else f"{self.kind}:remote"

    @property
    def is_picture(self) -> bool:
        return self.media_type.startswith("image/") and not self.is_written

    @property
    def is_written(self) -> bool:
        """Whether it says of itself that it is text."""
        kind = self.media_type
        if not kind and self.kind != "image":
            return not self.document_name
        return kind.startswith("text/") or kind in WRITTEN or kind.endswith(("+json", "+xml"))

    @property
    def document_name(self) -> str:
        """A name whose ending says what it is to be read as; empty for what no reader knows."""
        if self.is_picture:
            return f"picture.{self.media_type[6:]}"
        ending = DOCUMENTS.get(self.media_type) or PurePath(self.name).suffix.lower()
        return f"document{ending}" if self.kind != "audio" and ending in DOCUMENTS.values() else ""

    def decoded(self) -> bytes | None:
        """Its bytes, None when they are not encoded as they should be."""
        assert self.place is not None
        head, body = _parted(self.place[self.member])
        if head is not None and not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        try:
            return base64.b64decode("".join(body.split()), validate=True)
        except (binascii.Error, ValueError):
            return None

    def rewrite(self, text: str) -> None:
        """Put `text` in the place of the bytes."""
        assert self.place is not None
        head, _ = _parted(self.place[self.member])
        encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
        self.place[self.member] = encoded if head is None else f"data:{self.media_type};base64,{encoded}"

    def replace(self, text: str) -> None:
        """Put a part of `text` in the place of the whole part."""
        written = "input_text" if self.holder[self.key].get("type") in FILED else "text"
        self.holder[self.key] = {"type": written, "text": text}


class Read(Struct, frozen=True):
    """The text of something carried, judged as any text; `put` takes the masked one."""

    text: str
    put: Callable[[str], None]


class Attachments(Struct, frozen=True):
    """What a request carries: what could be read, and the labels of what could not."""

    read: tuple[Read, ...] = ()
    unscanned: tuple[str, ...] = ()


async def attachments(found: Iterable[Carried], reader: DocumentReader, *, reads_images: bool) -> Attachments:
    """Read what can be read."""
    read: list[Read] = []
    unscanned: set[str] = set()
    room = MOST_READ
    for one in found:
        is_read = (
            one.place is not None and (one.is_written or one.document_name) and (reads_images or not one.is_picture)
        )
        data = await asyncio.to_thread(one.decoded) if is_read else None
        if data is None:
            unscanned.add(one.label)
        elif one.is_written:
            text = _as_text(data)
            (unscanned.add(one.label) if text is None else read.append(Read(text, one.rewrite)))
        elif room == 0:
            unscanned.add(one.label)
        else:
            room -= 1
            try:
                text = await reader.text_of(data, one.document_name)
            except DocumentEmpty:
                continue  # it was looked at, and says nothing
            except DocumentUnreadable:
                unscanned.add(one.label)
                continue
            read.append(Read(text, _refuse if one.is_picture else one.replace))
    return Attachments(tuple(read), tuple(sorted(unscanned)))


def carried(tree: Any) -> Iterator[Carried]:
    """What stands in messages that is no text, at any depth."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, list):
            yield from carried(value)
        elif isinstance(value, dict) and value.get("type") not in NOT_LOOKED_INTO:
            found = _carried(value, tree, key)
            if found is None:
                yield from carried(value)
            else:
                yield found


def _carried(part: dict[str, Any], holder: Any, key: Any) -> Carried | None:
    """What `part` carries, which stands at `holder[key]`; None when it is no such part."""
    if key == "audio" and isinstance(part.get("id"), str):
        return Carried(kind="audio", holder=holder, key=key)  # what a model said before, which its provider keeps
    if TELLING.isdisjoint(part):
        return None
    type = part.get("type") if isinstance(part.get("type"), str) else ""
    for member, kind in URLS.items():
        match part.get(member):
            case str():
                return _located(kind, holder, key, part, member, name=_said(part, "filename"))
            case {"url": str()}:
                return _located(kind, holder, key, part[member], "url")
    match part:
        case {"input_audio": dict(place)}:
            return _located("audio", holder, key, place, "data", media_type=f"audio/{_said(place, 'format')}")
        case {"source": {"type": "text" | "content"}}:
            return None  # its text is judged where it stands
        case {"source": dict(place)} if type in SOURCED:
            given = _said(place, "media_type")
            return _located(SOURCED[type], holder, key, place, "data", media_type=given, name=_said(part, "title"))
        case {"file": dict(place)}:
            return _located("file", holder, key, place, "file_data", name=_said(place, "filename"))
        case {"file_data": str()}:
            return _located("file", holder, key, part, "file_data", name=_said(part, "filename"))
        case {"file_id": str()} if type in FILED:
            return Carried(kind=FILED[type], holder=holder, key=key)
        case {"data": str()} if type not in ("", "text"):
            # A type that is not known here. Whatever its `data` is, it is not judged as a text.
            return Carried(kind="file", holder=holder, key=key, place=part, member="data", media_type="unknown")
    return None


def _located(
    kind: Kind, holder: Any, key: Any, place: dict[str, Any], member: str, *, media_type: str = "", name: str = ""
) -> Carried:
    """What `place[member]` holds: a data URL or base64; any other URL is remote, and so is what is not there."""
    given = _said(place, member)
    head, _ = _parted(given)
    is_url = member == "url" or member in URLS
    if not given or (is_url and head is None):
        kind = _kind(kind, media_type, name or given.partition("?")[0])
        return Carried(kind=kind, holder=holder, key=key, media_type=media_type, name=name)
    if head is not None:
        media_type = head.partition(";")[0].strip() or "text/plain"
    media_type = media_type.lower()
    return Carried(
        kind=_kind(kind, media_type, name),
        holder=holder,
        key=key,
        place=place,
        member=member,
        media_type=media_type,
        name=name,
    )


def _kind(kind: Kind, media_type: str, name: str) -> Kind:
    """A file that says of itself, or by its name, that it is sound or film is named so."""
    said = media_type or (mimetypes.guess_type(name)[0] or "")
    match kind, said.partition("/")[0]:
        case "file", "audio":
            return "audio"
        case "file", "video":
            return "video"
    return kind


def _parted(given: str) -> tuple[str | None, str]:
    """The head and the body of a data URL (RFC 2397); no head for what is none."""
    if given[:5].lower() != "data:":
        return None, given
    head, _, body = given[5:].partition(",")
    return head, body


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _refuse(_: str) -> None:
    raise PartUnmaskable()


def _said(part: dict[str, Any], member: str) -> str:
    value = part.get(member)
    return value if isinstance(value, str) else ""

"""Fetches a document from a URL through the egress policy, into a file, within limits of size and time."""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from aibox.core.errors import TooLarge, ValidationFailed
from aibox.core.http import Broken, Client, Reply, Unreachable
from aibox.knowledge import SourceUnreachable

FETCH_SECONDS = 60.0
MOST_URL = 2000

ENDINGS = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
}


class Fetched(Struct, frozen=True):
    """A document that was fetched: what its address calls it, and its character set where the answer names one."""

    name: str
    charset: str


async def fetch(http: Client, url: str, path: Path, *, limit: int) -> Fetched:
    """Write the document at `url` to `path`. Raises `AddressRefused`, `SourceUnreachable`, `TooLarge`."""
    if len(url) > MOST_URL:
        raise ValidationFailed(fields=[{"field": "url", "error": f"at most {MOST_URL} characters"}])
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            reply = await http.send("GET", url)
            with contextlib.closing(reply):
                _require_document(reply)
                await _save(reply, path, limit=limit)
    except Unreachable as error:
        raise SourceUnreachable(f"The document could not be fetched: {error}.") from None
    except Broken:
        raise SourceUnreachable("The document could not be fetched: the connection broke.") from None
    except TimeoutError:
        raise SourceUnreachable("The document could not be fetched: it takes too long.") from None
    return Fetched(_name(url, reply.content_type), _charset(reply))


def _require_document(reply: Reply) -> None:
    if (target := reply.redirect) is not None:
        raise SourceUnreachable(f"The address redirects to {target}; use that one.")
    if reply.status != 200:
        raise SourceUnreachable(f"The document could not be fetched: the server answered {reply.status}.")


async def _save(reply: Reply, path: Path, *, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        while piece := await reply.read():
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The document is larger than {limit >> 20} MiB.")
            await asyncio.to_thread(file.write, piece)


def _name(url: str, content_type: str) -> str:
    """The last segment of the address, with an ending that tells the kind where it has none."""
    parts = urlsplit(url)
    name = Path(unquote(parts.path)).name or parts.hostname or "page"
    known = ENDINGS.get(content_type)
    return name if Path(name).suffix or known is None else f"{name}{known}"


def _charset(reply: Reply) -> str:
    _, _, parameters = reply.headers.get("Content-Type", "").partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"')[:40]
    return ""

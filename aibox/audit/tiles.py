"""A log as static files that anyone can audit without AIBox: tiles of 256 hashes and bundles of entries.

C2SP tlog-tiles: `tile/<L>/<N>` holds the hashes of level 8 L from number 256 N on, `tile/entries/<N>` the entries, each
after its length in two bytes; the last one of a level ends in `.p/<W>` while it has W < 256. Beside them, and in their
form, `tile/signatures/<N>` holds the signatures of the envelopes; an entry that is none has an empty one. They lie in
the object store beside the log's `checkpoint`, and are there before it.
"""

import re
from collections.abc import Iterator
from typing import Literal, Self

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit.logs import Connection, Log
from aibox.core.connections import Connections
from aibox.core.errors import NotFound
from aibox.stores import ObjectChanged, Objects

WIDTH = 256
HEIGHT = 8

BUNDLES: tuple[Literal["entries", "signatures"], ...] = ("entries", "signatures")
"""What is no hash: of each there are as many as leaves."""


class Tile(msgspec.Struct, frozen=True):
    """The place of a tile: its level, or what it is a bundle of; its number there; and how many things it holds."""

    level: int | Literal["entries", "signatures"]
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """`tile/0/x001/x234/067.p/3`."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{self.level}/{name}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """The tile of a path; NotFound for anything that is not spelled as `path` spells it."""
        match = re.fullmatch(
            r"tile/(entries|signatures|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", path
        )
        if not match or len(match[2]) > 23:
            raise NotFound()
        number = int(match[2].replace("x", "").replace("/", ""))
        level = next((kind for kind in BUNDLES if kind == match[1]), None)
        tile = cls(level or int(match[1]), number, int(match[3] or WIDTH))
        if tile.path != path:
            raise NotFound()
        return tile

    @property
    def begin(self) -> int:
        """The number of its first hash in its level, or of its first entry."""
        return self.number * WIDTH

    def is_in(self, size: int) -> bool:
        """Whether a log of `size` entries has all of it."""
        return self.begin + self.width <= _count(self.level, size)


def tiles(size: int, *, since: int = 0) -> Iterator[Tile]:
    """The tiles of a log of `size` entries that it did not have, or had narrower, at `since` entries."""
    for level in (*BUNDLES, *range(HEIGHT)):
        count, before = _count(level, size), _count(level, since)
        for number in range(before // WIDTH, -(-count // WIDTH)):
            width = min(WIDTH, count - number * WIDTH)
            if number * WIDTH + width > before:
                yield Tile(level, number, width)


def _count(level: int | str, size: int) -> int:
    """How many things a log of `size` entries has of a level, or of a kind of bundle."""
    return size >> HEIGHT * level if isinstance(level, int) else size


class TileCopies:
    """The logs' tiles in the object store, under the folder of the log."""

    def __init__(self, connections: Connections, objects: Objects) -> None:
        self._connections = connections
        self._objects = objects

    async def publish(self, head: Log) -> None:
        """Write what the log has more than last time. A tile never changes, so one that is there is left alone."""
        pool = self._connections.system
        since: int = await pool.fetchval("SELECT tiled FROM audit.log WHERE origin = $1", head.origin)
        folder = f"audit/{head.tenant}/{head.year}/{head.id}"
        for tile in tiles(head.size, since=since):
            data = await _content(pool, head.origin, tile)
            try:
                await self._objects.put(f"{folder}/{tile.path}", data, if_absent=True)
            except ObjectChanged:  # it is there already
                continue
            if tile.width == WIDTH:
                await self._forget_parts(f"{folder}/{tile.path}.p/")
        await pool.execute("UPDATE audit.log SET tiled = greatest(tiled, $2) WHERE origin = $1", head.origin, head.size)

    async def _forget_parts(self, prefix: str) -> None:
        """A whole tile stands for its parts (tlog-tiles allows it)."""
        for key in [key async for key in self._objects.keys(prefix)]:
            await self._objects.delete(key)


async def _content(connection: Connection, origin: str, tile: Tile) -> bytes:
    until = tile.begin + tile.width
    if not isinstance(tile.level, int):
        rows = await connection.fetch(ENTRIES, origin, tile.begin, until)
        return bundle([row[COLUMNS[tile.level]] or b"" for row in rows])
    rows = await connection.fetch(HASHES, origin, tile.level * HEIGHT, tile.begin, until)
    return b"".join(row["hash"] for row in rows)


async def stored_tile(session: AsyncSession, log_id: str, tile: Tile) -> bytes:
    """A tile of one of the tenant's logs, from the database. NotFound for one that it does not have whole."""
    row = (await session.execute(SIZE, {"id": log_id})).one_or_none()
    if row is None or not tile.is_in(row.size):
        raise NotFound()
    where = {"origin": row.origin, "begin": tile.begin, "until": tile.begin + tile.width}
    if not isinstance(tile.level, int):
        rows = (await session.execute(OWN_ENTRIES, where)).mappings()
        return bundle([row[COLUMNS[tile.level]] or b"" for row in rows])
    where["level"] = tile.level * HEIGHT
    return b"".join((await session.execute(OWN_HASHES, where)).scalars())


def bundle(entries: list[bytes]) -> bytes:
    """An entry bundle. An entry is never longer than its length can say: envelopes and leaves have fixed fields."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle; ValueError for what is none."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data) or at + 2 > len(data):
            raise ValueError("cut in the middle of an entry")
        entries.append(data[at + 2 : end])
        at = end
    return entries


COLUMNS = {"entries": "data", "signatures": "signature"}
ENTRIES = "SELECT data, signature FROM audit.entry WHERE origin = $1 AND idx >= $2 AND idx < $3 ORDER BY idx"
HASHES = "SELECT hash FROM audit.node WHERE origin = $1 AND level = $2 AND idx >= $3 AND idx < $4 ORDER BY idx"
SIZE = text("SELECT origin, size FROM audit.log WHERE id = :id")
OWN_ENTRIES = text("""
SELECT data, signature FROM audit.entry WHERE origin = :origin AND idx >= :begin AND idx < :until ORDER BY idx
""")
OWN_HASHES = text("""
SELECT hash FROM audit.node
WHERE origin = :origin AND level = :level AND idx >= :begin AND idx < :until ORDER BY idx
""")

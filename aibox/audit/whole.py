"""Audits a whole log from its files alone: every entry, signature, link and hash, against its head and pinned keys.

It needs no server and no database: the files are those of docs/receipts.md, in a folder or behind a web server.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from aibox.audit import notes
from aibox.audit.download import NotThere, UsageError, download
from aibox.audit.links import FaultFound, Key, Links, shape_of
from aibox.audit.merkle import Frontier
from aibox.audit.notes import Checkpoint, NoteError, VerifierKey
from aibox.audit.tiles import HEIGHT, WIDTH, Tile, unbundle
from aibox.audit.verifier.form import Refused
from aibox.audit.verifier.trust import read_policy

MAX_FILE = WIDTH * (2 + 0xFFFF)
"""The largest a bundle can be."""


class Files(Protocol):
    """Where a log's files are."""

    def read(self, path: str) -> bytes:
        """The file at `path`, such as `tile/0/000`. Raises `NotThere`, and `UsageError` when it cannot say."""
        ...


class Folder:
    """Files in a folder, also in one of an object store of files, which ends each name with `=`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, path: str) -> bytes:
        for name in (path, f"{path}="):
            try:
                with (self._path / name).open("rb") as file:
                    return file.read(MAX_FILE + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as why:
                raise UsageError(f"{self._path / name}: {why.strerror}") from None
        raise NotThere(path)


class Server:
    """Files behind a web server: `https://aibox.example/v1/audit/logs/<id>`, or wherever they were put."""

    def __init__(self, url: str, *, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def read(self, path: str) -> bytes:
        return download(f"{self._url}/{path}", key=self._key, limit=MAX_FILE + 1, what=path)


class Audit:
    """An audit of one log; `run` does it, and what it counted stands here afterwards."""

    def __init__(self, files: Files, origin: str, policy: bytes, pin: Checkpoint | None = None) -> None:
        """`policy` is the file that pins the log's keys, `pin` a head seen before."""
        self._files = files
        self._pin = pin
        self.head = self._signed_head(origin, policy)
        self._links = Links(origin, self.head.size)
        self.kinds: Counter[str] = Counter()
        """How many entries there are of each type."""
        self.at = 0
        """The entry that is looked at."""
        self._frontier = Frontier()
        self._pending: dict[int, list[bytes]] = {}
        """Hashes by the level of their tile that were computed and are not compared yet."""
        self._turns: set[str] = set()
        self._keys: dict[str, Key] = {}
        """The newest key leaf of each key."""

    @property
    def checked(self) -> int:
        """Entries that are sound."""
        return self._frontier.size

    def run(self) -> Iterator[int]:
        """How many entries are sound, after each bundle. Raises `FaultFound`; then `at` is where."""
        for number in range(-(-self.head.size // WIDTH)):
            width = min(WIDTH, self.head.size - number * WIDTH)
            entries, signatures = (self._bundle(Tile(kind, number, width)) for kind in ("entries", "signatures"))
            for data, signature in zip(entries, signatures, strict=True):
                self._take(data, signature)
            yield self.checked
        for level, hashes in self._pending.items():
            self._compare(level, hashes)
        if self._frontier.root() != self.head.root:
            raise FaultFound("the entries do not hash to the root of the signed head")
        if self._pin is not None and self._pin.size > self.head.size:
            raise FaultFound(f"the pinned head has {self._pin.size} entries, and the log fewer")

    def _signed_head(self, origin: str, policy: bytes) -> Checkpoint:
        """The head, by keys that the policy pins for the log."""
        pinned = [log["vkeys"] for log in _policy(policy)["logs"] if log["origin"] == origin]
        if not pinned:
            raise UsageError(f"the policy does not name the log {origin}")
        if self._pin is not None and self._pin.origin != origin:
            raise UsageError(f"the pinned head is of the log {self._pin.origin}")
        note = self._file("checkpoint").decode("utf-8", "replace")
        for vkeys in pinned:
            try:
                head = notes.parse_checkpoint(note)
                if notes.is_signed_by(head, [VerifierKey.parse(vkey) for vkey in vkeys]) and head.origin == origin:
                    return head
            except NoteError:
                continue
        raise FaultFound("the head is not signed by keys that the policy pins for this log")

    def _take(self, data: bytes, signature: bytes) -> None:
        """The next entry."""
        shape = shape_of(data)
        entry, leaf = self._links.take(data, shape)
        if entry["@"] == "aibox.key/1":
            self._keys[entry["kid"]] = Key.of(entry)
        if shape == "envelope":
            self._require_sealed(entry, data, signature)
        elif signature:
            raise FaultFound("an entry that is no envelope has a signature")
        self.kinds[entry["@"]] += 1
        for node in self._frontier.append(leaf):
            if node.level % HEIGHT == 0:
                self._keep(node.level // HEIGHT, node.hash)
        if self._pin is not None and self._pin.size == self.checked and self._frontier.root() != self._pin.root:
            raise FaultFound(f"the first {self._pin.size} entries are not those of the pinned head: it was rewritten")
        self.at = self._links.next

    def _require_sealed(self, entry: dict[str, str], data: bytes, signature: bytes) -> None:
        """The envelope is signed by a key that the log allows it, and the only one of its turn."""
        key = self._keys.get(entry["kid"])
        if key is None:
            raise FaultFound("no key leaf allows the envelope's key")
        key.require_signed(entry, data, signature)
        if entry["turn"] in self._turns:
            raise FaultFound("the turn was sealed before")
        self._turns.add(entry["turn"])

    def _keep(self, level: int, node: bytes) -> None:
        """A hash that a tile of `level` must have; once a tile is full it is compared."""
        hashes = self._pending.setdefault(level, [])
        hashes.append(node)
        if len(hashes) % WIDTH == 0:
            self._compare(level, hashes)
            self._pending[level] = []

    def _compare(self, level: int, hashes: Sequence[bytes]) -> None:
        """The tile that the newest `hashes` of a level fill is what was computed."""
        if not hashes:
            return
        number = ((self.checked >> HEIGHT * level) - 1) // WIDTH
        tile = Tile(level, number, len(hashes))
        data, is_longer = self._read(tile)
        if (data[: 32 * tile.width] if is_longer else data) != b"".join(hashes):
            raise FaultFound(f"the tile {tile.path} is not the hashes of what is below it")

    def _bundle(self, tile: Tile) -> list[bytes]:
        """The entries of a bundle, or their signatures."""
        data, is_longer = self._read(tile)
        try:
            found = unbundle(data)
        except ValueError:
            raise FaultFound(f"the file {tile.path} is not a bundle") from None
        if len(found) < tile.width or (len(found) > tile.width and not is_longer):
            raise FaultFound(f"the file {tile.path} has {len(found)} entries, and {tile.width} belong there")
        return found[: tile.width]

    def _read(self, tile: Tile) -> tuple[bytes, bool]:
        """The file of a tile; where the log has grown since its head was read, that of the whole one, and True."""
        is_longer = False
        try:
            data = self._files.read(tile.path)
        except NotThere:
            if tile.width == WIDTH:
                raise FaultFound(f"the file {tile.path} is missing") from None
            data, is_longer = self._file(Tile(tile.level, tile.number).path), True
        if len(data) > MAX_FILE:
            raise FaultFound(f"the file {tile.path} is larger than any tile")
        return data, is_longer

    def _file(self, path: str) -> bytes:
        try:
            return self._files.read(path)
        except NotThere:
            raise FaultFound(f"the file {path} is missing") from None


def _policy(data: bytes) -> dict[str, list[dict[str, str]]]:
    try:
        return read_policy(data)
    except Refused as why:
        raise UsageError(str(why)) from None

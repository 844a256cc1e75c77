"""Objects as files in a folder: written aside, flushed, renamed into place, so that a crash leaves old or new, whole.

A key's segments are percent-encoded and the last gets a `=`, which no encoded segment can end with: the keys `a` and
`a/b` live beside each other as they do in S3.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, unquote

from aibox.core import failpoints
from aibox.core.errors import StateUnavailable
from aibox.stores import ObjectChanged, ObjectMissing, StoredObject
from aibox.stores.objects.keys import require_key

LEAF = "="
SAFE = " ,+"
COPIED = 1 << 20
"""Bytes of a file that are in memory at a time."""

T = TypeVar("T")


class FileObjects:
    """`Objects` in `folder`. Several processes may share it: writes exclude each other by a lock file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drafts = folder / ".drafts"
        self._lock = folder / ".lock"

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        def prepare() -> None:
            self._drafts.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)

        await _in_thread(prepare)
        yield

    async def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, keep_days: int = 0
    ) -> str:
        if keep_days:
            raise ValueError("a folder can keep nothing from who owns it")
        path = self._path(key)

        def write() -> str:
            self._put(path, lambda draft: draft.write(data), if_match, if_absent)
            return _etag(data)

        return await _in_thread(write)

    async def can_keep(self) -> bool:
        return False

    async def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)

        def copy(draft: BinaryIO) -> None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, draft, COPIED)

        await _in_thread(lambda: self._put(target, copy, None, False))

    async def get(self, key: str) -> StoredObject:
        data = await _in_thread(lambda: _read(self._path(key)))
        if data is None:
            raise ObjectMissing()
        return StoredObject(data=data, etag=_etag(data))

    async def get_file(self, key: str, path: Path) -> None:
        source = self._path(key)

        def copy() -> bool:
            try:
                file = source.open("rb")
            except FileNotFoundError:
                return False
            with file, path.open("wb") as target:
                shutil.copyfileobj(file, target, COPIED)
            return True

        if not await _in_thread(copy):
            raise ObjectMissing()

    async def delete(self, key: str) -> None:
        path = self._path(key)

        def remove() -> None:
            with self._locked():
                path.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the folder was never made
                _flush_folder(path.parent)

        await _in_thread(remove)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        for key in await _in_thread(lambda: self._keys(prefix)):
            yield key

    def _path(self, key: str) -> Path:
        *folders, leaf = (quote(segment, safe=SAFE) for segment in require_key(key).split("/"))
        return self._folder.joinpath(*folders, leaf + LEAF)

    def _put(self, path: Path, write: Callable[[BinaryIO], object], if_match: str | None, if_absent: bool) -> None:
        failpoints.reach("objects.put")
        handle, draft = tempfile.mkstemp(dir=self._drafts)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            failpoints.reach("objects.drafted")
            made = self._make_folders(path.parent)
            with self._locked():
                _require(path, if_match, if_absent)
                Path(draft).replace(path)
            failpoints.reach("objects.replaced")
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        for folder in (path.parent, *made):
            _flush_folder(folder)

    def _make_folders(self, folder: Path) -> list[Path]:
        """Make `folder`; the folders whose entries changed by it, which must reach the disk too."""
        changed = []
        missing = folder
        while not missing.exists():
            missing = missing.parent
            changed.append(missing)
        folder.mkdir(parents=True, exist_ok=True)
        return changed

    def _keys(self, prefix: str) -> list[str]:
        found = []
        # Whole segments of the prefix are folders: only below them can a key begin with it.
        segments = prefix.split("/")[:-1]
        if not {".", ".."}.isdisjoint(segments):  # no key has them, and a path would leave the folder by them
            return []
        begin = self._folder.joinpath(*(quote(segment, safe=SAFE) for segment in segments))
        for folder, _, names in os.walk(begin):
            relative = Path(folder).relative_to(self._folder)
            for name in names:
                if name.endswith(LEAF):
                    key = "/".join(unquote(part) for part in (*relative.parts, name.removesuffix(LEAF)))
                    if key.startswith(prefix):
                        found.append(key)
        return sorted(found)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # which unlocks


def _require(path: Path, if_match: str | None, if_absent: bool) -> None:
    if not if_absent and if_match is None:
        return
    data = _read(path)
    present = None if data is None else _etag(data)
    if (if_absent and present is not None) or (if_match is not None and present != if_match):
        raise ObjectChanged()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _in_thread(act: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(act)
    except OSError as error:  # a full disk, a read-only or vanished volume
        raise StateUnavailable(f"The object folder cannot be used: {error.strerror}.") from error

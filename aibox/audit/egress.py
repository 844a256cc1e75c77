"""`aibox-egress`: reports to the audit log what an egress proxy judged, verdict by verdict, as its access log grows.

A small program of its own, run beside the proxy. The access log has a JSON object a line, as `deploy/squid/aibox.conf`
makes Squid write it. Each line becomes an act `external.egress_verdict`, sealed as a turn of its own. The place in the
log is kept in a file, and moved on once AIBox has acknowledged the act: whatever crashes or is away meanwhile, no
verdict is lost, and one at most is reported twice.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from aibox.audit.download import Unavailable, UsageError, post
from aibox.audit.durable import write_durably

KEY: Final = "AIBOX_API_KEY"
POLL_SECONDS: Final = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
MOST_LINE: Final = 64 * 1024
SHOWN: Final = 1000
"""Characters of a line that cannot be read which its act keeps."""


class Place(msgspec.Struct, frozen=True):
    """How far a log was reported: the file's inode, the bytes of it, and the last line's length and SHA-256.

    Inodes are used again; the line tells whether it is the same file.
    """

    inode: int
    offset: int
    length: int
    digest: str


class Line(msgspec.Struct, frozen=True):
    """A line of the log without its end, None where some were lost before they could be read; and the place after."""

    data: bytes | None
    after: Place


class Log:
    """The access log, followed through its rotations (`access.log`, then `access.log.0` or `.1`, and so on)."""

    def __init__(self, path: Path, place: Place | None) -> None:
        self._path = path
        self._place = place
        self._file: IO[bytes] | None = None

    def lines(self) -> Iterator[Line]:
        """What is there now, from the last place on. A line that is still being written waits for its end."""
        while True:
            if self._file is None and not (yield from self._open()):
                return
            yield from self._rest()
            if not self._turned():
                return

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> Generator[Line, None, bool]:
        """Open the log where it was left; whether there is one. Says when that place is gone."""
        files = self._files()
        if not files:
            return False
        if self._place is None:
            return self._begin(files[-1])
        for found in files:
            if found.inode != self._place.inode:
                continue
            if not self._begin(found):
                return False
            assert self._file is not None
            if _is_at(self._file, self._place):
                return True
        if not self._begin(files[0]):
            return False
        yield Line(None, self._at(0, b""))
        return True

    def _files(self) -> list["_Found"]:
        """The log and what it was rotated to, the oldest first, as far as it is not compressed."""
        found, again = self._scan(), self._scan()
        while [(one.path, one.inode) for one in found] != [(one.path, one.inode) for one in again]:
            found, again = again, self._scan()  # it is being rotated
        return sorted(again, key=lambda one: (one.path == self._path, one.changed))

    def _scan(self) -> list["_Found"]:
        name = re.compile(rf"{re.escape(self._path.name)}(\.\d+)?")
        found = []
        for path in sorted(self._path.parent.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if name.fullmatch(path.name):
                    known = path.stat()
                    found.append(_Found(path, known.st_ino, known.st_size, known.st_mtime_ns))
        return found

    def _begin(self, found: "_Found") -> bool:
        """Open the file; whether it is still the one that was found."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._file = found.path.open("rb")
            if _inode(self._file) == found.inode:
                return True
        self.close()
        return False

    def _rest(self) -> Iterator[Line]:
        assert self._file is not None
        if self._place is not None and self._place.inode == _inode(self._file) and not _is_at(self._file, self._place):
            self._file.seek(0)  # it was emptied in place
            yield Line(None, self._at(0, b""))
        at = self._file.tell()
        while data := self._file.readline():
            if not data.endswith(b"\n"):
                self._file.seek(at)
                return
            at += len(data)
            yield Line(data[:-1], self._at(at, data))

    def _at(self, offset: int, line: bytes) -> Place:
        assert self._file is not None
        digest = hashlib.sha256(line).hexdigest()
        self._place = Place(_inode(self._file), offset, len(line), digest)
        return self._place

    def _turned(self) -> bool:
        """Whether there is more to read: in the file that is open, or in a later one, which is open then.

        The proxy writes to one file at a time: a later one that has bytes says that the earlier one is whole.
        """
        assert self._file is not None
        files, inode = self._files(), _inode(self._file)
        inodes = [found.inode for found in files]
        later = files[inodes.index(inode) + 1 :] if inode in inodes else files
        following = next((found for found in later if found.size), None)
        if following is None:
            return False
        at = self._file.tell()
        if self._file.readline().endswith(b"\n"):  # it came since the last look
            self._file.seek(at)
            return True
        return self._begin(following)


class _Found(NamedTuple):
    """A file of the log; `changed` is its time of change in nanoseconds."""

    path: Path
    inode: int
    size: int
    changed: int


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _is_at(file: IO[bytes], place: Place) -> bool:
    """Go to the place; whether the line before it is the one that was reported last."""
    file.seek(place.offset - place.length)
    return hashlib.sha256(file.read(place.length)).hexdigest() == place.digest


def act(line: bytes | None) -> dict[str, Any]:
    """The body of `POST /v1/audit` for a line of the log. One that cannot be read is reported as such."""
    if line is None:
        return {"action": "egress_gap", "result": "lost", "detail": "The log was cut or rotated away unread."}
    try:
        said = msgspec.json.decode(line, type=dict[str, str]) if len(line) <= MOST_LINE else {}
        verdict, resource = said["verdict"], f"{said['host']}:{said['port']}"
    except (msgspec.DecodeError, KeyError):
        return {"action": "egress_unreadable", "result": "unreadable", "detail": line.decode(errors="replace")[:SHOWN]}
    return {
        "action": "egress_verdict",
        "resource_type": "host",
        "resource_id": resource[:200],
        "result": judged(verdict),
        "detail": said,
    }


def judged(verdict: str) -> str:
    """`denied`, `allowed`, or `failed` for a request that was never judged: of Squid's result code."""
    if "DENIED" in verdict:
        return "denied"
    return "allowed" if verdict.startswith("TCP_") else "failed"


def run(options: argparse.Namespace, *, key: str) -> None:
    """Report until ended, or with `once` what is there. Raises `UsageError`."""
    url = f"{options.server.rstrip('/')}/v1/audit"
    log = Log(options.log, _read_place(options.state))
    while True:
        for line in log.lines():
            _report(url, act(line.data), key=key)
            write_durably(options.state, msgspec.json.encode(line.after))
        if options.once:
            log.close()
            return
        time.sleep(POLL_SECONDS)


def _report(url: str, body: dict[str, Any], *, key: str) -> None:
    """Report one act, however long it takes."""
    pause, is_waiting = FIRST_PAUSE, False
    while True:
        try:
            post(url, body, key=key)
        except Unavailable as why:
            if not is_waiting:
                _say(f"AIBox does not take it: {why}. Trying until it does.")
                is_waiting = True
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if is_waiting:
                _say("AIBox takes it again.")
            return


def _read_place(path: Path) -> Place | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Place)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as why:
        raise UsageError(f"{path} cannot be read ({why}); without it, all of the log is reported anew") from None


def _alone(state: Path) -> None:
    """Hold the place for as long as the process lives: two readers would report everything twice."""
    lock = os.open(state.with_name(f"{state.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"another process reports from {state}") from None


def _say(sentence: str) -> None:
    print(f"aibox-egress: {sentence}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends the process with its exit code: 2 for what must be put right first."""
    parser = argparse.ArgumentParser(prog="aibox-egress", description="Report a proxy's verdicts to AIBox's audit log.")
    parser.add_argument("--log", type=Path, required=True, help="the proxy's access log, a JSON object a line")
    parser.add_argument("--server", required=True, help=f"AIBox's address; the API key stands in {KEY}")
    parser.add_argument(
        "--state", type=Path, default=Path("aibox-egress.json"), help="the place in the log (default ./%(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="report what is there, and end")
    options = parser.parse_args(arguments)
    try:
        key = os.environ.get(KEY, "")
        if not key:
            raise UsageError(f"put an API key with the scope audit:write into {KEY}")
        if not options.log.parent.is_dir():
            raise UsageError(f"there is no folder {options.log.parent}")
        _alone(options.state)
        run(options, key=key)
    except UsageError as why:
        _say(str(why))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

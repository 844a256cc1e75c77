"""A whole log audited from its files alone: what is published is sound, and whatever is changed in it is found."""

import argparse
import contextlib
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest

from aibox.audit import ExternalAct, notes
from aibox.audit.command import add_arguments, run
from aibox.audit.links import FaultFound
from aibox.audit.tiles import bundle, unbundle
from aibox.audit.whole import Audit, Folder
from aibox.core.turn import begin
from tests.integration.audit.conftest import ANN, Bench
from tests.integration.audit.test_erasure import erasure

COUNT = 2600


class Published(msgspec.Struct, frozen=True):
    """A log's files by their own names, and what one trusts."""

    folder: Path
    origin: str
    policy: bytes
    older: str
    """The head that was published before the last one."""

    def faulted(self, **given: str) -> tuple[int, str]:
        """The entry at fault, and what is wrong with it."""
        audit = self.audit(**given)
        with pytest.raises(FaultFound) as found:
            list(audit.run())
        return audit.at, str(found.value)

    def audit(self, *, pin: str | None = None) -> Audit:
        return Audit(Folder(self.folder), self.origin, self.policy, notes.parse_checkpoint(pin) if pin else None)


async def publish(bench: Bench, folder: Path) -> Published:
    """The files of Ann's log, which has turns, erased contents, late events, several heads, and two keys."""
    first = await bench.asked()
    await bench.many(COUNT)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    (older,) = [key async for key in bench.objects.keys("audit/") if key.endswith("/checkpoint")]
    note = (await bench.objects.get(older)).data.decode()
    by = begin(ANN)
    act = ExternalAct(action="paid", resource_type="", resource_id="", result="ok")
    await bench.trail.report(by, act, about=first.id)
    await erasure(bench).erase(by)
    await bench.kernel.log.end(by, "sealed")
    await bench.replica().sealer.seal_pending()
    await bench.audit.copy_heads_out()
    origin = (await bench.audit.receipt(first, first.id)).log or ""
    for key in [key async for key in bench.objects.keys("audit/")]:
        path = folder / Path(*key.split("/")[4:])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((await bench.objects.get(key)).data)
    return Published(folder, origin, msgspec.json.encode(await bench.audit.policy(first)), note)


@pytest.fixture
async def published(bench: Bench, tmp_path: Path) -> Published:
    return await publish(bench, tmp_path / "log")


async def test_every_entry_of_a_log_is_checked_from_its_files(published: Published) -> None:
    audit = published.audit(pin=published.older)

    seen = list(audit.run())

    assert seen[:2] == [256, 512]
    assert seen[-1] == audit.checked == audit.head.size > COUNT
    assert audit.kinds["aibox.turn/1"] == COUNT + 3  # the first, and two that the late event and the erasure left
    assert audit.kinds["aibox.tombstone/1"] == audit.kinds["aibox.addendum/1"] == 1
    assert audit.kinds["aibox.key/1"] > 5


def edited(path: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / path).write_bytes(edit((folder / path).read_bytes()))

    return act


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def entry(number: int, edit: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Change an entry of a bundle, or a signature."""

    def act(data: bytes) -> bytes:
        entries = unbundle(data)
        entries[number] = edit(entries[number])
        return bundle(entries)

    return act


def exchanged(data: bytes) -> bytes:
    entries = unbundle(data)
    entries[7], entries[8] = entries[8], entries[7]
    return bundle(entries)


TAMPERED: dict[str, tuple[Callable[[Path], object], int | None, str]] = {
    "an entry says another outcome": (
        edited("tile/entries/003", entry(5, lambda data: data.replace(b'"sealed"', b'"failed"', 1))),
        3 * 256 + 5,
        "the envelope's signature does not verify",
    ),
    "an entry is not canonical": (
        edited("tile/entries/003", entry(5, lambda data: data.replace(b",", b", ", 1))),
        3 * 256 + 5,
        "the entry is not canonical JSON",
    ),
    "two entries are exchanged": (
        edited("tile/entries/004", exchanged),
        4 * 256 + 7,
        "of another log or another place",
    ),
    "a bundle is cut": (edited("tile/entries/002", lambda data: data[:-5]), 512, "is not a bundle"),
    "the last entry of a bundle is missing": (
        edited("tile/entries/002", lambda data: bundle(unbundle(data)[:-1])),
        512,
        "has 255 entries, and 256 belong there",
    ),
    "a bundle is missing": (lambda folder: (folder / "tile/entries/002").unlink(), 512, "002 is missing"),
    "a bundle stands twice": (
        lambda folder: (folder / "tile/entries/002").write_bytes((folder / "tile/entries/001").read_bytes()),
        512,
        "of another log or another place",
    ),
    "a signature is changed": (
        edited("tile/signatures/001", entry(9, flipped(20))),
        256 + 9,
        "the envelope's signature does not verify",
    ),
    "a signature is missing": (
        edited("tile/signatures/001", entry(9, lambda _: b"")),
        256 + 9,
        "the envelope's signature does not verify",
    ),
    "a hash is changed": (edited("tile/0/005", flipped(40)), None, "tile/0/005 is not the hashes"),
    "a hash of a higher level is changed": (edited("tile/1/000.p/10", flipped(40)), None, "tile/1/000.p/10 is not"),
    "a tile has a hash too many": (edited("tile/0/005", lambda data: data + bytes(32)), None, "tile/0/005 is not"),
    "the head is not the signed one": (
        edited("checkpoint", lambda note: note.replace(b"\n26", b"\n25", 1)),
        None,
        "not signed by keys that the policy pins",
    ),
}


async def test_whatever_is_changed_in_the_files_is_found_where_it_is(published: Published, tmp_path: Path) -> None:
    for name, (tamper, at, reason) in TAMPERED.items():
        folder = tmp_path / name.replace(" ", "-")
        shutil.copytree(published.folder, folder)
        tamper(folder)
        one = msgspec.structs.replace(published, folder=folder)

        if name == "the head is not the signed one":
            with pytest.raises(FaultFound, match=reason):
                one.audit()
        else:
            found, said = one.faulted()
            assert reason in said, name
            assert at is None or found == at, name
        shutil.rmtree(folder)


async def test_a_log_that_was_rewritten_does_not_have_the_pinned_head(published: Published) -> None:
    pin = notes.parse_checkpoint(published.older)
    other = published.older.replace(published.older.split("\n")[2], "A" * 43 + "=")

    at, said = published.faulted(pin=other)

    assert (at, "was rewritten" in said) == (pin.size - 1, True)
    more = published.older.replace(f"\n{pin.size}\n", "\n99999\n")
    assert "the log fewer" in published.faulted(pin=more)[1]


async def test_a_log_of_a_head_that_was_read_before_it_grew_is_audited_up_to_it(published: Published) -> None:
    published_size = published.audit().head.size
    (published.folder / "checkpoint").write_text(published.older)
    audit = published.audit()

    assert list(audit.run())[-1] == notes.parse_checkpoint(published.older).size < published_size


async def test_the_command_says_what_it_audited_and_what_it_found(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_bytes(published.policy)

    assert aibox_verify(published.origin, "--tiles", published.folder, "--policy", policy) == 0
    shown = capsys.readouterr().out
    assert f"All {published.audit().head.size:,} entries of {published.origin} are what was signed" in shown
    assert shown.endswith("Verified.\n")
    with serving(published.folder) as url:
        assert aibox_verify(published.origin, "--tiles", url, "--policy", policy, "--json") == 0
        assert json.loads(capsys.readouterr().out)["checked"] == published.audit().head.size
    edited("tile/signatures/001", entry(9, flipped(20)))(published.folder)
    assert aibox_verify(published.origin, "--tiles", published.folder, "--policy", policy, "--json") == 1
    assert json.loads(capsys.readouterr().out)["first_bad"]["idx"] == 256 + 9
    for arguments, why in (
        (("other.example/audit/l/x/2026", "--policy", policy), "does not name the log"),
        ((published.origin,), "give them as --policy"),
    ):
        assert aibox_verify(*arguments, "--tiles", published.folder) == 2
        assert why in capsys.readouterr().err


def aibox_verify(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(one) for one in arguments]), server="http://127.0.0.1:1")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None: ...


@contextlib.contextmanager
def serving(folder: Path) -> Generator[str]:
    """The folder behind a plain web server; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

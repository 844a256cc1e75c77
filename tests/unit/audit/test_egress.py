"""The reporter of an egress proxy's verdicts: what a line becomes, and that a rotated log is read once and whole."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from aibox.audit.egress import Line, Log, Place, act, main

VERDICT = {
    "at": "1795357532.123",
    "client": "10.0.0.2",
    "method": "CONNECT",
    "host": "api.openai.com",
    "port": "443",
    "verdict": "TCP_TUNNEL",
    "status": "200",
    "rule": "allowed",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def write(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def read(log: Log) -> list[str | None]:
    return [None if line.data is None else line.data.decode() for line in log.lines()]


def read_and_remember(path: Path, place: Place | None) -> tuple[list[str | None], Place | None]:
    """What a new process reads that was left at `place`, and where it leaves off."""
    log = Log(path, place)
    lines: list[Line] = list(log.lines())
    log.close()
    said = [None if line.data is None else line.data.decode() for line in lines]
    return said, lines[-1].after if lines else place


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        ("TCP_TUNNEL", "allowed"),
        ("TCP_MISS", "allowed"),
        ("TCP_MISS_ABORTED", "allowed"),
        ("TCP_DENIED", "denied"),
        ("TCP_DENIED_REPLY", "denied"),
        ("NONE_NONE", "failed"),
    ],
)
def test_a_verdict_names_the_host_and_what_was_judged(verdict: str, result: str) -> None:
    said = {**VERDICT, "verdict": verdict}
    assert act(msgspec.json.encode(said)) == {
        "action": "egress_verdict",
        "resource_type": "host",
        "resource_id": "api.openai.com:443",
        "result": result,
        "detail": said,
    }


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"host":"a"}', b"\xff", b'{"host":1,"port":2,"verdict":3}'])
def test_a_line_that_cannot_be_read_is_reported_as_such_and_not_dropped(line: bytes) -> None:
    assert act(line)["action"] == "egress_unreadable"
    assert act(line)["detail"] == line.decode(errors="replace")


def test_a_line_is_read_once_it_is_whole(path: Path) -> None:
    log = Log(path, None)
    assert read(log) == []
    write(path, "one", "tw", end="")
    assert read(log) == ["one"]
    assert read(log) == []
    write(path, "o", "three")
    assert read(log) == ["two", "three"]


def test_a_new_process_goes_on_where_the_last_one_was(path: Path) -> None:
    write(path, "one", "two")
    said, place = read_and_remember(path, None)
    assert said == ["one", "two"]
    write(path, "three")
    assert read_and_remember(path, place)[0] == ["three"]


def test_a_log_that_is_rotated_while_it_is_read_is_read_to_its_end_first(path: Path) -> None:
    write(path, "one")
    log = Log(path, None)
    assert read(log) == ["one"]
    path.rename(path.with_name("access.log.1"))
    path.touch()
    write(path.with_name("access.log.1"), "two")  # the proxy has not opened the new file yet
    assert read(log) == ["two"]
    write(path.with_name("access.log.1"), "three")
    write(path, "four")
    assert read(log) == ["three", "four"]


def test_what_was_rotated_twice_while_nobody_read_is_found(path: Path) -> None:
    write(path, "one")
    place = read_and_remember(path, None)[1]
    write(path, "two")
    path.rename(path.with_name("access.log.1"))
    write(path, "three")
    path.with_name("access.log.1").rename(path.with_name("access.log.2"))
    path.rename(path.with_name("access.log.1"))
    write(path, "four")
    write(path.with_name("access.log.old"), "not a part of the log")
    assert read_and_remember(path, place)[0] == ["two", "three", "four"]


def test_lines_that_are_gone_are_reported_as_a_gap(path: Path) -> None:
    write(path, "one", "two")
    place = read_and_remember(path, None)[1]
    path.with_name("access.log.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    write(path, "three")
    assert read_and_remember(path, place)[0] == [None, "three"]
    assert act(None)["action"] == "egress_gap"


def test_a_log_that_is_emptied_in_place_is_a_gap_too(path: Path) -> None:
    write(path, "one", "two")
    log = Log(path, None)
    assert read(log) == ["one", "two"]
    path.write_text("x\n")
    assert read(log) == [None, "x"]
    path.write_text("longer than what was there before\n")
    assert read(log) == [None, "longer than what was there before"]


def test_another_file_under_the_same_inode_is_not_taken_for_the_log(path: Path) -> None:
    write(path, "one", "two")
    place = read_and_remember(path, None)[1]
    assert place is not None
    path.write_text("uno\ndos\ntres\n")  # as when the inode of a removed file is used again
    assert read_and_remember(path, place)[0] == [None, "uno", "dos", "tres"]


@pytest.mark.parametrize(
    ("key", "log", "said"),
    [
        ("", "access.log", "put an API key with the scope audit:write into AIBOX_API_KEY"),
        ("aibox_x", "none/access.log", "there is no folder"),
    ],
)
def test_what_must_be_put_right_first_is_said(
    key: str, log: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIBOX_API_KEY", key)
    with pytest.raises(SystemExit) as ended:
        main(["--log", str(tmp_path / log), "--server", "http://127.0.0.1:1", "--state", str(tmp_path / "state")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_log_that_is_rotated_all_the_time_is_read_whole_and_in_order(path: Path) -> None:
    lines = [str(number) for number in range(3000)]

    def write_and_rotate() -> None:
        for start in range(0, len(lines), 60):
            write(path, *lines[start : start + 30])
            write(path, *lines[start + 30 : start + 60])
            for number in range(start // 60, 0, -1):
                path.with_name(f"access.log.{number}").rename(path.with_name(f"access.log.{number + 1}"))
            path.rename(path.with_name("access.log.1"))

    log, said = Log(path, None), list[str | None]()
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write_and_rotate)
        while not writing.done():
            said += read(log)
        writing.result()
    write(path, "the end")
    while said[-1:] != ["the end"]:
        said += read(log)
    begun = lines.index(said[0] or "")  # the first look may come after the first rotation
    assert said == [*lines[begun:], "the end"]

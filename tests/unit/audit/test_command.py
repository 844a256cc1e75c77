"""`aibox verify`: what it prints, its exit codes, and how a pin moves on but never back."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aibox import cli
from tests.vectors import make

TURN = "0190a3c1-0000-7000-8000-000000000001"
VALID = make.FOLDER / "valid"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBOX_DATA", str(tmp_path))
    monkeypatch.setenv("AIBOX_CONFIG", str(tmp_path / "none.toml"))


def verify(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", *map(str, arguments)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_a_receipt_that_holds_is_explained_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    code = verify(VALID / "small.json", "--policy", make.FOLDER / "policies/policy.json")

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line.split()[:2] for line in lines[: len(STEPS)]] == [["✓", step] for step in STEPS]
    assert lines[-1] == "Verified."


def test_without_a_policy_trust_is_left_open_and_not_ticked(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(VALID / "small.json") == 0

    assert "  ? trust       no policy given" in capsys.readouterr().out


def test_a_receipt_that_does_not_hold_names_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(make.FOLDER / "invalid/wrong-root.json") == 1

    out = capsys.readouterr().out
    assert "  ✗ events      the events do not hash to the envelope's root" in out
    assert out.endswith("NOT verified.\n")


def test_the_verdict_as_json_has_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(make.FOLDER / "invalid/wrong-root.json", "--json") == 1

    verdict = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is False
    assert [step["name"] for step in verdict["steps"]] == STEPS
    assert [step["name"] for step in verdict["steps"] if not step["ok"]] == ["events"]
    assert verdict["pinned"] is None


def test_quiet_prints_the_verdict_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(VALID / "small.json", "--quiet") == 0

    assert capsys.readouterr().out == "Verified.\n"


@pytest.mark.parametrize("arguments", [["nothing.json"], ["small.json", "--policy", "none.json"]])
def test_what_is_not_there_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(VALID / arguments[0], *arguments[1:]) == 2

    assert capsys.readouterr().err.startswith("aibox: ")


def test_a_first_receipt_makes_the_pin_and_a_later_one_moves_it_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = tmp_path / "pin.txt"

    pin.write_bytes((make.FOLDER / "pins/pin-older.txt").read_bytes())
    assert verify(VALID / "continued.json", "--pin", pin) == 0
    assert size(pin) == 10
    assert "pinned the head of 3 entries, and now that of 10" in capsys.readouterr().out
    pin.unlink()
    assert verify(VALID / "small.json", "--pin", pin) == 0
    assert size(pin) == 5
    assert "there was none to compare it with" in capsys.readouterr().out


def test_a_receipt_that_does_not_hold_leaves_the_pin_as_it_was(tmp_path: Path) -> None:
    pin = tmp_path / "pin.txt"

    assert verify(make.FOLDER / "invalid/wrong-root.json", "--pin", pin) == 1
    assert not pin.exists()
    before = (make.FOLDER / "pins/pin-older-rewritten.txt").read_bytes()
    pin.write_bytes(before)
    assert verify(VALID / "continued.json", "--pin", pin) == 1
    assert pin.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["pin.txt"]


def test_a_pin_that_is_no_checkpoint_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIBOX_API_KEY", "key")
    (tmp_path / "pin.txt").write_text("pinned")

    assert verify(TURN, "--pin", tmp_path / "pin.txt", "--server", "http://127.0.0.1:1") == 2
    assert "not a checkpoint" in capsys.readouterr().err


class Server(ThreadingHTTPServer):
    """Answers every request in one way, and remembers what it was asked."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = status, body, headers
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, body, headers = self.server.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator["Serving"]:
    monkeypatch.setenv("AIBOX_API_KEY", "key")
    started: list[Server] = []

    def start(status: int, body: bytes, **headers: str) -> Server:
        server = Server(status, body, headers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


Serving = Callable[..., Server]


def test_a_turn_is_fetched_from_its_server_with_the_pinned_size(serving: Serving, tmp_path: Path) -> None:
    server = serving(200, (VALID / "continued.json").read_bytes())
    pin = tmp_path / "pin.txt"
    pin.write_bytes((make.FOLDER / "pins/pin-older.txt").read_bytes())

    assert verify(TURN, "--server", server.url, "--pin", pin, "--save", tmp_path / "receipt.json") == 0

    assert server.asked == [(f"/v1/receipts/{TURN}/proof?pin=3&pin_log=k7dq2x5m", "Bearer key")]
    assert (tmp_path / "receipt.json").read_bytes() == (VALID / "continued.json").read_bytes()


def test_a_pin_of_the_year_before_is_asked_for_and_moved_on_to_the_new_log(serving: Serving, tmp_path: Path) -> None:
    server = serving(200, (VALID / "next-year-from-3.json").read_bytes())
    pin = tmp_path / "pin.txt"
    pin.write_bytes((make.FOLDER / "pins/pin-last-year-older.txt").read_bytes())

    assert verify(TURN, "--server", server.url, "--pin", pin) == 0

    assert server.asked == [(f"/v1/receipts/{TURN}/proof?pin=3&pin_log=h3vw9c6e", "Bearer key")]
    assert pin.read_text().split("\n")[:2] == [make.ORIGIN, "6"]


def test_what_the_server_says_against_it_is_shown(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    server = serving(409, b'{"error":"The turn is not sealed yet.","code":"not_sealed","turn_id":null}')

    assert verify(TURN, "--server", server.url) == 2
    assert "The turn is not sealed yet." in capsys.readouterr().err


def test_the_key_is_not_carried_to_where_a_redirect_points(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = serving(200, b"{}")
    server = serving(302, b"", Location=elsewhere.url)

    assert verify(TURN, "--server", server.url) == 2
    assert elsewhere.asked == []


def test_without_a_key_or_a_server_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIBOX_API_KEY", raising=False)
    assert verify(TURN) == 2
    assert "AIBOX_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("AIBOX_API_KEY", "key")
    assert verify(TURN, "--server", "http://127.0.0.1:1") == 2
    assert verify(TURN, "--server", "ftp://127.0.0.1") == 2


def size(pin: Path) -> int:
    return int(pin.read_text().split("\n")[1])


STEPS = ["form", "events", "signature", "key", "chain", "inclusion", "checkpoint", "addenda", "openings", "trust"]

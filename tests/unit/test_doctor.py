"""What `aibox up` says before it starts anything, and how the doctor's findings are printed."""

import socket
from pathlib import Path

from aibox.cli import table
from aibox.doctor import preflight
from aibox.settings import load
from tests.installation import free_port


def refusals(tmp_path: Path, *, cpuinfo: str, port: int) -> list[tuple[str, str]]:
    flags = tmp_path / "cpuinfo"
    flags.write_text(cpuinfo)
    environ = {"AIBOX_DATA": str(tmp_path), "AIBOX_GATEWAY_PORT": str(port)}
    found = preflight(load(environ, tmp_path / "none.toml").settings, flags)
    return [(refused.code, str(refused)) for refused in found]


def test_a_machine_that_has_all_is_refused_nothing(tmp_path: Path) -> None:
    assert refusals(tmp_path, cpuinfo="flags : sse avx avx2 fma\n", port=free_port()) == []


def test_a_cpu_without_avx2_is_told_so_and_what_to_do_instead(tmp_path: Path) -> None:
    ((code, sentence),) = refusals(tmp_path, cpuinfo="flags : sse avx\n", port=free_port())
    assert code == "boot_local_model"
    assert sentence.startswith("This CPU has no AVX2, which the local model needs.")
    assert "AIBOX_ROUTER_LOCAL=false" in sentence


def test_a_taken_port_is_named_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ((code, sentence),) = refusals(tmp_path, cpuinfo="flags : avx2\n", port=port)
    assert code == "boot_port"
    assert f"Port {port}" in sentence
    assert "AIBOX_GATEWAY_PORT" in sentence


def test_a_reason_that_is_longer_than_the_terminal_goes_on_below_itself() -> None:
    reason = "the provider lab-of-the-house cannot be reached: its name does not resolve"
    lines = list(table(("part", "state", "detail"), [("providers", "failed", reason)], 50))
    assert max(map(len, lines)) <= 50
    first, *others = lines[2:]
    assert first.startswith("providers  failed  the provider")
    assert all(line.startswith(" " * len("providers  failed  ")) for line in others)
    assert " ".join([first.split("failed")[1].strip(), *map(str.strip, others)]) == reason


def test_a_terminal_too_narrow_for_a_table_gets_the_beginning_of_each_line() -> None:
    assert list(table(("part", "detail"), [("providers", "down")], 6)) == ["part", "──────", "provid"]

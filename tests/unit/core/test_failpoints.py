"""Failpoints: what can be armed, and that every place of the code is known by name."""

import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import aibox
from aibox.app import build
from aibox.core import failpoints
from aibox.core.errors import BootRefused
from aibox.settings import load

SOURCES = [path for path in Path(aibox.__file__).parent.rglob("*.py") if path.name != "failpoints.py"]


@pytest.fixture(autouse=True)
def _disarmed() -> Generator[None]:
    yield
    failpoints.arm("")


def test_every_place_of_the_code_is_listed_and_every_listed_one_is_in_the_code() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    assert set(re.findall(r"failpoints\.reach\(\"([a-z.]+)\"\)", text)) == set(failpoints.STEPS)
    assert set(re.findall(r"failpoints\.bend\(\"([a-z.]+)\"", text)) == set(failpoints.DATA)


def test_an_armed_place_acts_once_at_the_time_asked_for() -> None:
    failpoints.arm("sealer.sign=raise@2; sealer.entry=flip")
    failpoints.reach("sealer.sign")
    with pytest.raises(failpoints.Broken):
        failpoints.reach("sealer.sign")
    failpoints.reach("sealer.sign")
    assert [failpoints.bend("sealer.entry", b"abc") for _ in range(2)] == [b"`bc", b"abc"]


@pytest.mark.parametrize(("action", "code"), [("exit", 86), ("kill", -9)])
def test_a_place_ends_the_process_without_tidying_anything(action: str, code: int) -> None:
    lines = f"import atexit; from aibox.core import failpoints as f; f.arm('work.commit={action}')"
    run = f"{lines}; atexit.register(print, 'tidied'); f.reach('work.commit')"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, check=False)
    assert done.returncode == code
    assert b"tidied" not in done.stdout


@pytest.mark.parametrize("text", ["nowhere=kill", "sealer.sign=flip", "sealer.entry=kill", "sealer.sign=kill@x", "x"])
def test_a_place_or_action_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(BootRefused, match="no place or action"):
        failpoints.arm(text)


def test_production_does_not_start_with_a_place_armed(tmp_path: Path) -> None:
    environment = {"AIBOX_DATA": str(tmp_path), "AIBOX_ENV": "production", "AIBOX_FAILPOINTS": "work.commit=kill"}
    settings = load(environment, tmp_path / "none.toml").settings
    with pytest.raises(BootRefused) as refused:
        build(settings)
    assert refused.value.code.startswith("boot_")

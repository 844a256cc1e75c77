"""compose.yaml: every variable is one that AIBox or the service knows, and nothing is open that should not be."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # only ever read here, and checked

import aibox
from aibox.settings import catalogue

ROOT = Path(aibox.__file__).parents[1]
COMPOSE = (ROOT / "compose.yaml").read_text()
ENV = (ROOT / "deploy" / "compose.env").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]


def test_aibox_starts_alone_and_everything_else_by_a_profile() -> None:
    assert [name for name, service in SERVICES.items() if not service.get("profiles")] == ["aibox"]
    waited_for = SERVICES["aibox"]["depends_on"]
    assert all(not wait["required"] for wait in waited_for.values()), "a profile that is off must not hold it up"


def test_every_variable_given_to_aibox_is_a_setting() -> None:
    known = {setting.env for setting in catalogue()}
    for name in ("aibox", "migrate"):
        assert set(SERVICES[name]["environment"]) <= known


def test_no_service_but_aibox_is_published_and_aibox_only_to_this_machine_by_default() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["aibox"]
    assert SERVICES["aibox"]["ports"] == ["${AIBOX_LISTEN:-127.0.0.1:8080}:8080"]


def test_every_variable_that_may_be_set_is_in_the_example_or_has_a_default() -> None:
    read = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", COMPOSE))
    shown = set(re.findall(r"^# ([A-Z0-9_]+)=", ENV, re.MULTILINE))
    assert shown <= set(read), "the example names what nobody reads"
    assert {name for name, default in read.items() if not default} <= shown


def test_every_engine_is_reached_where_aibox_is_allowed_to_call() -> None:
    (allowed,) = re.findall(r"AIBOX_HTTP_INTERNAL_HOSTS:-([^}]*)", COMPOSE)
    engines = {f"{name}:8000" for name in SERVICES if name.startswith("vllm")}
    assert set(allowed.split(",")) == engines


def test_every_engine_has_time_to_load_its_model() -> None:
    for name in SERVICES:
        if name.startswith("vllm"):
            assert SERVICES[name]["healthcheck"]["start_period"] == "20m"


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda path: path.name)
def test_a_script_can_be_run_and_refuses_a_missing_password(script: Path) -> None:
    assert os.access(script, os.X_OK)
    done = subprocess.run([script], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode != 0
    assert re.search(r"(PASSWORD|KEY): (set it in \.env|parameter null or not set)", done.stderr), done.stderr

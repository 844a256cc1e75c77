"""The rules of the house, checked: what must be documented is, and what must not be imported is refused."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from litestar.handlers import BaseRouteHandler

import aibox
from aibox.app import build, create_app
from aibox.core.events import EVENT_TYPES
from aibox.settings import Settings, catalogue, load
from tests.reference import events_page, settings_page

ROOT = Path(aibox.__file__).parents[1]
SOURCES = sorted((ROOT / "aibox").rglob("*.py"))
PACKAGES = sorted(path.parent.name for path in (ROOT / "aibox").glob("*/__init__.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_file_opens_with_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{name_of(path)} has no docstring"
    first = docstring.split("\n\n", 1)[0]
    assert first.rstrip().endswith((".", ":", "?")), f"{name_of(path)} does not open with a sentence: {first!r}"


@pytest.mark.parametrize("module", PACKAGES)
def test_every_module_has_a_page(module: str) -> None:
    assert (ROOT / "docs" / f"{module}.md").is_file()


def test_the_page_of_settings_lists_every_setting_as_it_is() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run: python -m tests.reference"


def test_every_setting_has_a_description() -> None:
    assert not [setting.name for setting in catalogue() if not setting.description]


def test_the_page_of_events_lists_every_event_as_it_is() -> None:
    assert (ROOT / "docs" / "events.md").read_text() == events_page(), "run: python -m tests.reference"


def test_every_event_has_a_docstring() -> None:
    assert not [name for name, kind in EVENT_TYPES.items() if not kind.__doc__]


def test_every_route_states_its_policy(tmp_path: Path) -> None:
    settings = load({"AIBOX_DATA": str(tmp_path)}, tmp_path / "none.toml").settings
    app = create_app(build(settings)).litestar
    handlers: list[BaseRouteHandler] = [
        handler for route in app.routes for handler in getattr(route, "route_handlers", [])
    ]
    assert len(handlers) > 20
    unstated = [
        str(handler)
        for handler in handlers
        if "policy" not in handler.opt
        and not any(path.startswith("/docs") for path in handler.paths)
        and getattr(handler, "http_methods", None) != {"OPTIONS"}  # Litestar's own: it names the methods
    ]
    assert not unstated


def test_building_the_system_does_no_io_but_the_key_file(tmp_path: Path) -> None:
    build(load({"AIBOX_DATA": str(tmp_path)}, tmp_path / "none.toml").settings)
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_settings_can_be_made_without_any_environment() -> None:
    assert Settings().gateway.port == 8080


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("aibox/core/turn.py", "import aibox.runtime"),
        ("aibox/router/catalogue.py", "import aibox.memory"),
        ("aibox/guardrail/service.py", "import aibox.memory"),
        ("aibox/runtime/service.py", "import aibox.router.catalogue"),
        ("aibox/memory/service.py", "import aibox.stores.vectors"),
        ("aibox/audit/verifier/__init__.py", "import aibox.core.events"),
    ],
    ids=["kernel knows no module", "up", "sideways", "another's inside", "a backend", "verifier"],
)
def test_a_forbidden_import_breaks_the_build(file: str, line: str, tmp_path: Path) -> None:
    copy = tmp_path / "aibox"
    shutil.copytree(ROOT / "aibox", copy, ignore=shutil.ignore_patterns("static", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    target = tmp_path / file
    target.write_text(target.read_text() + f"\n{line}\n")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stdout[-2000:]
    assert "BROKEN" in done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_blessed_paths_are_used(path: Path) -> None:
    """Only core commits, only core makes tasks outside a TaskGroup, and no code is made from text."""
    tree = ast.parse(path.read_text())
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"eval", "exec", "pickle.loads"} & set(calls)
    if "core" not in path.parts:
        assert not [call for call in calls if call.endswith("session.commit")], "a Work commits; nobody else does"

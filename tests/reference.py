"""Writes docs/settings.md and docs/events.md from the code: `python -m tests.reference`. A test tells a stale page."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import aibox
from aibox.core.events import EVENT_TYPES, Event
from aibox.settings import catalogue

DOCS = Path(__file__).parents[1] / "docs"

SETTINGS = """# Settings

A setting is read from the environment (its variable), else from `aibox.toml` (its dotted name: `[gateway]`, then
`port = 9000`), else it has its default. `NAME_FILE` reads the value from a file. `aibox doctor` prints each with its
source.

Written by `python -m tests.reference`.

| setting | variable | default | what it is |
|---|---|---|---|
"""
EVENTS = """# Events

Every act is an event in the tenant's log, durable before the act's effect leaves the process. The body never holds
prompts, answers, arguments or results: those are artifacts, and the event holds a commitment to each.
The format is in [receipts.md](receipts.md). Written by `python -m tests.reference`.

| type | module | body | what happened |
|---|---|---|---|
"""


def settings_page() -> str:
    """docs/settings.md."""
    rows = []
    for setting in catalogue():
        default = ", ".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
        shown = f"`{default}`" if default not in ("", "None") else ""
        secret = " (secret)" if setting.is_secret else ""
        rows.append(f"| `{setting.name}` | `{setting.env}` | {shown} | {setting.description}{secret} |")
    return SETTINGS + "\n".join(rows) + "\n"


def events_page() -> str:
    """docs/events.md."""
    for module in pkgutil.walk_packages(aibox.__path__, "aibox."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    rows = []
    for kind in sorted(EVENT_TYPES.values(), key=lambda kind: (kind.source(), kind.type)):
        if kind.__module__.startswith("aibox."):
            fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__ if name not in Event.__struct_fields__)
            summary = " ".join((inspect.getdoc(kind) or "").split())
            rows.append(f"| `{kind.type}` | {kind.source()} | {fields} | {summary} |".replace(" |  | ", " | | "))
    return EVENTS + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(settings_page())
    (DOCS / "events.md").write_text(events_page())

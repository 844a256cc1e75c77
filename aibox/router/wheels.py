"""Finds the model files that come in wheels, without importing the wheels, and checks them once."""

import hashlib
from importlib.util import find_spec
from pathlib import Path


class FileUnusable(Exception):
    """A model file that is not there, or not the one we know. The message is fit to show."""


def wheel_file(package: str, name: str, *, wheel: str) -> Path:
    """The file `name` in the installed `package`. Raises `FileUnusable` naming the `wheel` to install."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        path = Path(folder) / name
        if path.is_file():
            return path
    raise FileUnusable(f"the wheel {wheel} is not installed (see requirements-models.in)")


def check(path: Path, sha256: str) -> None:
    """Raise `FileUnusable` unless the file has this digest. Reads it whole: call it in a thread."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FileUnusable(f"the file {path.name} is damaged; reinstall its wheel")

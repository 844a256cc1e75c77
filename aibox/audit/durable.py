"""Files that a crash leaves whole, for the programs that keep what they have seen beside the server."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file, for its owner only: after a crash it holds the old bytes or the new ones. Raises OSError."""
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

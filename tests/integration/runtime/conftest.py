"""One served System for each test."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from aibox.core.connections import Urls
from tests.system import Served, served


@pytest.fixture
async def one(urls: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running

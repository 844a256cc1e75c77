"""One served System for each test, and one for all tests of a module that leave it as it was."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from aibox.core.connections import Urls
from tests.conftest import new_database
from tests.system import Served, served


@pytest.fixture
async def one(urls: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running


@pytest.fixture(scope="module")
async def shared(cluster: Urls, scratch: Path) -> AsyncGenerator[Served]:
    """For tests that change nothing another test of the module could see."""
    async with new_database(cluster) as urls, served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running

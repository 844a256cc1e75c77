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


@pytest.fixture
def shared(module_server: Served) -> Served:
    """For tests that change nothing another test of the module could see, but for what the stub saw and was told."""
    module_server.stub.forget()
    return module_server


@pytest.fixture(scope="module")
async def module_server(cluster: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with new_database(cluster) as urls, served(urls, Path(tempfile.mkdtemp(dir=scratch))) as running:
        yield running

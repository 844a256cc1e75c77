"""Identity on a fresh database for each test that asks."""

from collections.abc import AsyncGenerator

import pytest

from tests.conftest import Kernel
from tests.integration.identity.house import House, opened


@pytest.fixture
async def house(kernel: Kernel) -> AsyncGenerator[House]:
    async with opened(kernel) as house:
        yield house

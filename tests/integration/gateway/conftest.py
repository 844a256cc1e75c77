"""One server for the whole folder: nothing a test sends may change it."""

from collections.abc import AsyncGenerator

import pytest

from tests.integration.gateway.door import Door, guarded, opened


@pytest.fixture(scope="package")
async def door() -> AsyncGenerator[Door]:
    async with opened(guarded()) as door:
        yield door

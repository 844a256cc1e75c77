"""The house on both backends of the index."""

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from aibox.core.turn import Turn
from aibox.stores import Vectors, VectorsSettings
from aibox.stores.vectors import open_vectors
from aibox.stores.vectors.qdrant import QdrantVectors
from tests.conftest import Kernel
from tests.integration.knowledge.house import House, WordRouter, house, person


@pytest.fixture(params=["pgvector", "qdrant"])
async def one(request: pytest.FixtureRequest, kernel: Kernel) -> AsyncGenerator[House]:
    vectors: Vectors = (
        open_vectors(VectorsSettings(), kernel.db, kernel.connections)
        if request.param == "pgvector"
        else QdrantVectors(":memory:")
    )
    async with house(kernel, vectors, WordRouter()) as running:
        yield running


@pytest.fixture
async def embedded(kernel: Kernel) -> AsyncGenerator[House]:
    """The house on the embedded index alone."""
    vectors = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    async with house(kernel, vectors, WordRouter()) as running:
        yield running


@pytest.fixture
def anna() -> Turn:
    return person(uuid4())

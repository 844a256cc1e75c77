"""A knowledge service on either backend, for groups that need one."""

import contextlib
from collections.abc import AsyncGenerator

from aibox.stores import Vectors, VectorsSettings
from aibox.stores.vectors import open_vectors
from aibox.stores.vectors.qdrant import QdrantVectors
from tests.conftest import Kernel
from tests.eval._kernel import kernel
from tests.integration.knowledge.house import House, WordRouter, house

BACKENDS = ("pgvector", "qdrant")


@contextlib.asynccontextmanager
async def running(backend: str, router: WordRouter) -> AsyncGenerator[House]:
    """On `pgvector`, or on Qdrant's local mode: the client's own code in this process, for want of a server."""
    async with kernel() as kept, house(kept, _vectors(kept, backend), router) as one:
        yield one


def _vectors(kept: Kernel, backend: str) -> Vectors:
    if backend == "qdrant":
        return QdrantVectors(":memory:")
    return open_vectors(VectorsSettings(), kept.db, kept.connections)

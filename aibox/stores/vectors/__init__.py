"""Opens the backend of `Vectors` that the URL in the settings names."""

from aibox.core.connections import Connections
from aibox.core.db import Database
from aibox.core.errors import BootRefused
from aibox.stores import Vectors, VectorsSettings

__all__ = ["open_vectors"]


def open_vectors(settings: VectorsSettings, db: Database, connections: Connections) -> Vectors:
    """`pgvector:` in the same PostgreSQL, or `qdrant://host:6333`, `qdrant+https://…`. Enter its `run()` before use."""
    scheme, _, rest = settings.url.partition(":")
    match scheme:
        case "pgvector":
            from aibox.stores.vectors.pgvector import PgVectors  # noqa: PLC0415 - only the backend in use is imported

            return PgVectors(db, connections)
        case "qdrant" | "qdrant+https":
            from aibox.stores.vectors.qdrant import QdrantVectors  # noqa: PLC0415 - the client is heavy

            protocol = "https" if scheme == "qdrant+https" else "http"
            return QdrantVectors(f"{protocol}:{rest}", api_key=settings.api_key)
        case _:
            raise BootRefused(
                "boot_vectors", "AIBOX_VECTORS_URL must be `pgvector:`, `qdrant://…` or `qdrant+https://…`."
            )

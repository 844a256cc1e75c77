"""What several modules' integration tests share: the S3 server."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.seaweed import seaweed


@pytest.fixture(scope="session")
def s3_endpoint(scratch: Path) -> Generator[str]:
    """A running SeaweedFS with the buckets `bucket` and, with Object Lock, `locked`."""
    with seaweed(scratch / "weed") as endpoint:
        yield endpoint

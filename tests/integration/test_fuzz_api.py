"""The short form of `make fuzz-api`: some hundred requests made from the OpenAPI document."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.conftest import new_database
from tests.fuzz.api import fuzz, order
from tests.system import PASSWORD, served


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_whatever_is_sent_the_answer_is_one_that_the_document_describes(cluster: object, tmp_path: Path) -> None:
    async with new_database(cluster) as urls, served(urls, tmp_path) as house:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=house.url) as http:
            login = {"username": "ada@example.com", "password": PASSWORD}
            bearer = (await http.post("/v1/auth/login", json=login)).json()["access_token"]
            document = order((await http.get("/docs/openapi.json")).json(), 1)
        for credential in (bearer, None):
            found = await asyncio.to_thread(fuzz, house.url, document, bearer=credential, requests=150)
            assert found.wrong == []
            assert found.sent >= 100
        assert found.statuses[401] > 0

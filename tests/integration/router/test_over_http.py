"""What a client sees of the router's steadiness, over real sockets: headers, codes, and calls that end with it."""

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aibox.core.connections import Urls
from aibox.router import ProviderChange
from tests.conftest import new_database
from tests.system import Served, served
from tests.unit.router.test_sse import shared_data

PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


@pytest.fixture
def one(running: Served) -> Served:
    """The module's System, its stub as if new; each test has a provider of its own."""
    running.stub.forget()
    return running


@pytest.fixture(scope="module")
async def running(cluster: Urls, scratch: Path) -> AsyncGenerator[Served]:
    async with new_database(cluster) as urls, served(urls, Path(tempfile.mkdtemp(dir=scratch))) as system:
        yield system


def body(path: str, model: str, *, stream: bool = False) -> dict[str, Any]:
    asked = {"model": model, "stream": stream, "max_tokens": 50}
    if path == "/v1/responses":
        return {"model": model, "stream": stream, "input": "Hello"}
    return {**asked, "messages": [{"role": "user", "content": "Hello"}]}


async def play(one: Served, *plays: str) -> str:
    """A provider whose model `play` behaves like this, one call after the other, then well; its name."""
    coming = iter(plays)
    one.stub.script = lambda _: next(coming, "ok")
    one.stub.models.append("play")
    turn = one.turn
    name = f"p{turn.id.hex[-12:]}"
    await one.system.catalogue.add_provider(turn, name=name, base_url=one.stub.base_url, models=["play"])
    await one.system.log.end(turn, "sealed")
    return name


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_every_answer_says_who_gave_it_and_at_which_attempt(one: Served, path: str, stream: bool) -> None:
    name = await play(one, "503", "ok")
    answer = await one.client.post(path, json=body(path, f"{name}/play", stream=stream))
    assert answer.status_code == 200, answer.text
    assert _told(answer) == (name, "play", "2")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_so_does_an_error_with_the_pause_that_the_provider_asks_for(one: Served, path: str, stream: bool) -> None:
    name = await play(one, "429-after-90")
    answer = await one.client.post(path, json=body(path, f"{name}/play", stream=stream))
    assert (answer.status_code, answer.json()["code"]) == (429, "backend_rate_limited")
    assert _told(answer) == (name, "play", "1")
    assert answer.headers["retry-after"] == "90"


async def test_a_model_that_nobody_knows_was_asked_of_nobody(one: Served) -> None:
    answer = await one.client.post(PATHS[0], json=body(PATHS[0], "nobody"))
    assert (answer.status_code, answer.headers["x-aibox-attempts"]) == (404, "0")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_a_client_that_leaves_frees_its_place_and_the_providers_call_ends(one: Served, stream: bool) -> None:
    name = await play(one, "slow", "hold")
    changed = await one.system.catalogue.change_provider(one.turn, name, ProviderChange(max_concurrency=1))
    gate = one.system.router._gates.of(changed.id)
    first = asyncio.create_task(_read(one.client, body(PATHS[0], f"{name}/play", stream=stream)))
    await _until(lambda: one.stub.in_flight == 1)
    second = asyncio.create_task(_read(one.client, body(PATHS[0], f"{name}/play", stream=stream)))
    await _until(lambda: gate.waiting == 1)
    third = asyncio.create_task(_read(one.client, body(PATHS[0], f"{name}/play", stream=stream)))
    await _until(lambda: gate.waiting == 2)

    third.cancel()  # from the line
    await _until(lambda: gate.waiting == 1)
    first.cancel()  # from the call
    await _until(lambda: one.stub.left == 1)
    await _until(lambda: one.stub.in_flight == 1 and gate.waiting == 0)
    one.stub.let_go.set()
    assert (await second).status_code == 200
    await _until(lambda: gate.in_flight == 0)
    await asyncio.gather(first, third, return_exceptions=True)


def _recorded() -> list[Any]:
    path = shared_data() / "vllm-0.32-capture.json"
    if not path.exists():
        skip = pytest.mark.skip(reason=f"the recordings are not here: {path.name} (set AIBOX_SHARED_DATA)")
        return [pytest.param("none", 0, marks=skip)]
    golden = msgspec.json.decode(path.read_bytes())
    return [pytest.param(name, item["code"]) for name, item in sorted(golden.items()) if item["code"] >= 400]


@pytest.mark.parametrize(("name", "status"), _recorded())
async def test_what_a_real_vllm_refuses_is_refused_with_its_own_sentence(one: Served, name: str, status: int) -> None:
    golden = msgspec.json.decode((shared_data() / "vllm-0.32-capture.json").read_bytes())[name]
    one.stub.canned = (status, golden["headers"]["content-type"], golden["body"].encode())
    answer = await one.client.post(PATHS[0], json=body(PATHS[0], "ok"))
    assert _told(answer) == ("stub", "ok", "1")
    said = json.loads(golden["body"])
    sentence = answer.json()["error"]["message"]
    match status:
        case 401:
            assert (answer.status_code, answer.json()["code"]) == (409, "provider_key_missing")
        case _:
            assert (answer.status_code, answer.json()["code"]) == (400, "backend_refused")
            words = said["detail"] if "detail" in said else said["error"]["message"]
            assert " ".join(words.split())[:40] in sentence


def _told(answer: httpx.Response) -> tuple[str, ...]:
    return tuple(answer.headers[f"x-aibox-{name}"] for name in ("provider", "model", "attempts"))


async def _read(client: httpx.AsyncClient, asked: dict[str, Any]) -> httpx.Response:
    return await client.post(PATHS[0], json=asked)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)

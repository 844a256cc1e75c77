"""Calls that do not stream: whole answers and embeddings."""

import asyncio
import math

import msgspec
import pytest

from aibox.core.errors import AIBoxError
from aibox.observability import Usage
from aibox.router import (
    BackendCut,
    BackendFailed,
    BackendKeyRefused,
    BackendMalformed,
    BackendRefused,
    BackendUnavailable,
    ModelTerms,
    ModelUnknown,
    RoleNoBackend,
    RoleNotConfigured,
    UpstreamRedirect,
)
from tests.integration.router.conftest import Bench, asking, someone


async def test_a_whole_answer_is_the_providers_own_bytes(bench: Bench) -> None:
    answer = await bench.routing.router.complete(bench.turn, asking("ok"))
    assert msgspec.json.decode(answer.data)["id"] == "chatcmpl-stub"
    assert (answer.text, answer.finish_reason, answer.attempts) == ("The answer is forty-two.", "stop", 1)
    assert (answer.provider, answer.model) == ("stub", "ok")
    assert (answer.usage, answer.cost_usd) == (Usage(input_tokens=11, output_tokens=5), "0.0000775")
    assert bench.stub.requests[0]["stream"] is False
    invoked, response = await bench.events()
    assert (invoked["stream"], response["ok"], response["arts"]) == (False, True, ["application/json"])
    assert set(await bench.artifacts()) == {bench.stub.bodies[0], answer.data}


async def test_a_whole_answer_without_usage_is_counted_and_without_price_has_no_cost(bench: Bench) -> None:
    answer = await bench.routing.router.complete(bench.turn, asking("usage-less"))
    assert (answer.usage, answer.cost_usd) == (Usage(input_tokens=9, output_tokens=6, estimated=True), None)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("html", BackendMalformed, "no answer"),
        ("redirect", UpstreamRedirect, "https://elsewhere.example/v1/chat;"),
        ("400", BackendRefused, "the stub says 400"),
        ("401", BackendKeyRefused, "refuses our API key"),
        ("500", BackendFailed, "failed with 500"),
        ("garbage", BackendMalformed, "no answer"),
        ("empty", BackendMalformed, "no answer"),
        ("error-event", BackendFailed, "the engine died"),
        ("cut", BackendCut, "cut its answer short"),
    ],
)
async def test_a_whole_answer_that_fails_has_its_code(
    bench: Bench, model: str, error: type[AIBoxError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await bench.routing.router.complete(bench.turn, asking(model))
    response = (await bench.events())[-1]
    assert (response["ok"], response["code"]) == (False, error.code)


async def test_a_cancelled_call_drops_the_providers_and_is_logged(bench: Bench) -> None:
    task = asyncio.create_task(bench.routing.router.complete(bench.turn, asking("slow")))
    async with asyncio.timeout(5):
        while not bench.stub.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not bench.stub.left:
            await asyncio.sleep(0.01)
    assert (await bench.events())[-1]["code"] == "cancelled"


async def test_paraphrases_are_nearer_than_strangers(bench: Bench) -> None:
    texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell sharply today."]
    food, meal, market = await bench.routing.router.embed(bench.turn, texts)
    assert len(food) == 384
    assert math.isclose(math.fsum(x * x for x in food), 1.0, rel_tol=1e-5)
    assert _dot(food, meal) > 0.6 > 0.3 > _dot(food, market)
    invoked, response = await bench.events()
    assert (invoked["model"], invoked["alias"]) == ("all-minilm-l6-v2", "embedding")
    assert (response["ok"], response["cost_usd"], response["estimated"]) == (True, "0", False)
    assert response["input_tokens"] > 10


async def test_a_batch_gives_the_same_vectors_as_single_texts(bench: Bench) -> None:
    texts = [f"Sentence number {n} " + "and more words " * n for n in range(20)]
    together = await bench.routing.router.embed(bench.turn, texts)
    alone = [(await bench.routing.router.embed(bench.turn, [text]))[0] for text in texts[::7]]
    # int8 activations are quantised per batch, so the last digits differ.
    assert all(_dot(a, b) > 0.97 for a, b in zip(together[::7], alone, strict=True))


async def test_no_texts_need_no_call(bench: Bench) -> None:
    assert await bench.routing.router.embed(bench.turn, []) == []
    assert await bench.events() == []


async def test_an_external_provider_embeds_through_the_same_method(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "embedding", "stub/embedding")
    short, long = await bench.routing.router.embed(bench.turn, ["", "x" * 12])
    assert short == [0.0, 0.6, 0.8]
    assert long == pytest.approx([12 / 13, 3 / 13, 4 / 13])
    assert (await bench.events())[-1]["input_tokens"] == 7


async def test_embedding_that_fails_has_its_code(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "embedding", "stub/500")
    with pytest.raises(RoleNoBackend, match="the stub says 500"):
        await bench.routing.router.embed(bench.turn, ["x"])
    with pytest.raises(BackendUnavailable, match="no answer"):
        await bench.routing.router.embed(bench.turn, ["x"], model="stub/garbage")
    with pytest.raises(ModelUnknown):
        await bench.routing.router.embed(bench.turn, ["x"], model="nobody")


async def test_the_role_rerank_gives_each_text_its_relevance_and_is_in_the_log(bench: Bench) -> None:
    router = bench.routing.router
    assert not await router.can_rerank(bench.turn)
    await bench.routing.catalogue.set_model(someone(), "stub", "ok", ModelTerms(capabilities=("rerank",)))
    await bench.routing.catalogue.set_role(someone(), "rerank", "stub/ok")

    assert await router.can_rerank(bench.turn)
    assert await router.rerank(bench.turn, "new seal", ["the old pump", "a new seal", "seal"]) == [0.0, 1.0, 0.5]
    invoked, responded = await bench.events()
    assert (invoked["operation"], invoked["alias"], invoked["arts"]) == ("rerank", "rerank", ["application/json"])
    assert (responded["ok"], responded["input_tokens"], responded["arts"]) == (True, 9, ["application/json"])
    with pytest.raises(ModelUnknown, match="cannot chat"):
        await router.complete(bench.turn, asking("stub/ok"))


async def test_reranking_that_fails_has_its_code(bench: Bench) -> None:
    router = bench.routing.router
    with pytest.raises(RoleNotConfigured):
        await router.rerank(bench.turn, "what?", ["x"])
    with pytest.raises(BackendFailed, match="the stub says 500"):
        await router.rerank(bench.turn, "what?", ["x"], model="stub/500")
    with pytest.raises(BackendMalformed):
        await router.rerank(bench.turn, "what?", ["x"], model="stub/garbage")
    await bench.routing.catalogue.set_model(someone(), "stub", "ok", ModelTerms(capabilities=("chat",)))
    with pytest.raises(ModelUnknown, match="does not rerank"):
        await router.rerank(bench.turn, "what?", ["x"], model="stub/ok")
    assert [event["ok"] for event in await bench.events() if event["type"] == "model_response"] == [False] * 4


def _dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))

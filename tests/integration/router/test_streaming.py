"""A streamed call: what passes, what is logged, and every way it can fail."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from aibox.core.errors import AIBoxError, BadRequest
from aibox.observability import Usage
from aibox.router import (
    BackendCut,
    BackendFailed,
    BackendKeyRefused,
    BackendMalformed,
    BackendRateLimited,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    BackendUnreachable,
    ModelStream,
    ModelUnknown,
    RoleNoBackend,
    RoleNotConfigured,
    UpstreamRedirect,
)
from tests.integration.router.conftest import Bench, asking, someone
from tests.stub_upstream import USAGE, run_stub


async def test_a_stream_passes_each_chunk_as_the_provider_sent_it(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("ok")) as stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == "The answer is forty-two."
    assert [chunk.finish_reason for chunk in chunks][-2:] == ["stop", None]
    assert chunks[1].data.startswith(b'{"id": "chatcmpl-stub", "object": "chat.completion.chunk"')
    assert msgspec.json.decode(chunks[-1].data)["usage"] == USAGE
    assert (stream.provider, stream.model, stream.attempts, stream.context) == ("stub", "ok", 1, 8192)
    assert (stream.finish_reason, stream.usage) == ("stop", Usage(input_tokens=11, output_tokens=5))
    assert stream.cost_usd == "0.0000775"


async def test_the_provider_gets_the_body_with_its_own_model_and_our_key(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("stub/ok")) as stream:
        async for _ in stream:
            pass
    assert bench.stub.bodies == [
        b'{"model":"ok","messages":[{"role":"user","content":"What is the answer?"}],"temperature":0,'
        b'"stream":true,"stream_options":{"include_usage":true}}'
    ]
    assert bench.stub.headers[0]["Authorization"] == "Bearer sk-stub-key"


async def test_a_caller_who_did_not_ask_for_usage_sees_no_usage_chunk(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("ok", wants_usage=False)) as stream:
        chunks = [chunk async for chunk in stream]
    assert all(b'"usage"' not in chunk.data for chunk in chunks)
    assert stream.usage == Usage(input_tokens=11, output_tokens=5)


async def test_both_events_stand_in_the_log_when_the_stream_ends(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("ok")) as stream:
        assert [event["type"] for event in await bench.events()] == ["model_invoked"]
        async for _ in stream:
            pass
        invoked, response = await bench.events()
    assert (invoked["provider"], invoked["model"], invoked["alias"], invoked["attempt"]) == ("stub", "ok", "", 1)
    assert invoked["arts"] == ["application/json"]
    assert response["arts"] == ["text/plain; charset=utf-8"]
    assert (response["ok"], response["code"], response["finish_reason"]) == (True, "", "stop")
    assert (response["input_tokens"], response["output_tokens"], response["estimated"]) == (11, 5, False)
    assert (response["cost_usd"], response["principal"], response["key"]) == ("0.0000775", "p_someone", "k9")
    assert set(await bench.artifacts()) == {bench.stub.bodies[0], b"The answer is forty-two."}


async def test_usage_that_the_provider_does_not_tell_is_counted_and_marked(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("usage-less")) as stream:
        async for _ in stream:
            pass
    assert stream.usage == Usage(input_tokens=9, output_tokens=6, estimated=True)
    assert stream.cost_usd is None
    response = (await bench.events())[-1]
    assert (response["estimated"], response["cost_usd"]) == (True, "")


async def test_a_stream_without_done_is_whole_when_its_choice_has_ended(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("no-done")) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert text == "The answer is forty-two."


async def test_calls_share_their_connection(bench: Bench) -> None:
    for _ in range(3):
        async with bench.routing.router.stream(someone(), asking("ok")) as stream:
            async for _chunk in stream:
                pass
    assert len(bench.stub.peers) == 1


@pytest.mark.parametrize(
    ("model", "error", "words", "attempts"),
    [
        ("nobody", ModelUnknown, "nobody", 0),
        ("memory", RoleNotConfigured, "memory", 0),
        ("html", BackendMalformed, "no answer; is its base URL right", 1),
        ("redirect", UpstreamRedirect, "redirects to https://elsewhere.example/v1/chat;", 1),
        ("400", BackendRefused, "the stub says 400", 1),
        ("401", BackendKeyRefused, "refuses our API key", 1),
        ("404", BackendRefused, "does not know 404: the stub says 404", 1),
        ("429", BackendRateLimited, "takes no more requests just now: the stub says 429", 3),
        ("500", BackendFailed, "failed with 500: the stub says 500", 3),
        ("silent", BackendTimeout, "did not begin to answer within 0.6 s", 1),
        ("json", BackendFailed, "failed: no streams here", 1),
        ("empty", BackendMalformed, "sent an empty answer", 1),
        ("error-first", BackendFailed, "failed: no memory left", 1),
        ("embedding/x", ModelUnknown, "embedding/x", 0),
        ("all-minilm-l6-v2", ModelUnknown, "cannot chat", 0),
    ],
)
async def test_a_failure_before_the_first_byte_has_its_code_and_its_sentence(
    bench: Bench, model: str, error: type[AIBoxError], words: str, attempts: int
) -> None:
    with pytest.raises(error) as raised:
        async with bench.routing.router.stream(bench.turn, asking(model)):
            pytest.fail("no stream may open")
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)
    events = await bench.events()
    assert [event["type"] for event in events] == ["model_invoked", "model_response"] * attempts
    assert [event["attempt"] for event in events] == [n for n in range(1, attempts + 1) for _ in "ab"]
    for event in events[1::2]:
        assert (event["ok"], event["code"]) == (False, error.code)
        assert (event["input_tokens"], event["output_tokens"]) == (0, 0) or event["estimated"]


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("cut", BackendCut, "cut its answer short"),
        ("reset", BackendCut, "cut its answer short"),
        ("unfinished", BackendCut, "cut its answer short"),
        ("garbage", BackendMalformed, "sent what is no answer"),
        ("error-event", BackendFailed, "failed: the engine died"),
        ("stall", BackendTimeout, "stopped answering"),
    ],
)
async def test_a_stream_that_breaks_gives_what_came_then_its_error(
    bench: Bench, model: str, error: type[AIBoxError], words: str
) -> None:
    came: list[str] = []
    async with bench.routing.router.stream(bench.turn, asking(model)) as stream:
        with pytest.raises(error, match=words):
            await _collect(stream, came)
        invoked, response = await bench.events()
    # A reset drops what the kernel had not read yet; everything else arrives.
    assert "".join(came) == "The answer" or (model == "reset" and "The answer".startswith("".join(came)))
    assert invoked["type"] == "model_invoked"
    assert (response["ok"], response["code"]) == (False, error.code)
    assert response["estimated"] is True
    assert response["input_tokens"] > 0


async def test_a_provider_that_is_down_is_unavailable_and_its_role_has_no_backend(bench: Bench) -> None:
    async with run_stub() as gone:
        await bench.routing.catalogue.add_provider(someone(), name="gone", base_url=gone.base_url)
    with pytest.raises(BackendUnreachable, match="The provider gone cannot be reached: the connection was refused"):
        async with bench.routing.router.stream(bench.turn, asking("gone/ok")):
            pytest.fail("no stream may open")
    await bench.routing.catalogue.set_role(someone(), "title", "gone/ok")
    with pytest.raises(RoleNoBackend, match="the role title can be reached"):
        async with bench.routing.router.stream(bench.turn, asking("title")):
            pytest.fail("no stream may open")


async def test_what_fails_twice_for_a_moment_is_tried_again_before_the_first_byte(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("flaky-2")) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert (text, stream.attempts) == ("The answer is forty-two.", 3)
    assert [event.get("ok") for event in await bench.events()] == [None, False, None, False, None, True]


async def test_a_role_falls_back_to_its_next_model(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "default", "500", fallbacks=["silent", "ok"])
    async with bench.routing.router.stream(bench.turn, asking("default")) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert (text, stream.model, stream.attempts) == ("The answer is forty-two.", "ok", 5)
    assert {event["alias"] for event in await bench.events()} == {"default"}


async def test_nothing_is_switched_after_the_first_byte(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "default", "cut", fallbacks=["ok"])
    came: list[str] = []
    async with bench.routing.router.stream(bench.turn, asking("default")) as stream:
        with pytest.raises(BackendUnavailable):
            await _collect(stream, came)
    assert [request["model"] for request in bench.stub.requests] == ["cut"]


async def test_a_request_that_the_provider_refuses_is_not_sent_to_the_next(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "default", "400", fallbacks=["ok"])
    with pytest.raises(BackendRefused):
        async with bench.routing.router.stream(bench.turn, asking("default")):
            pytest.fail("no stream may open")
    assert [request["model"] for request in bench.stub.requests] == ["400"]


async def test_after_three_failures_a_model_is_asked_last_and_counts_as_down(bench: Bench) -> None:
    await bench.routing.catalogue.set_role(someone(), "default", "500", fallbacks=["ok"])
    for _ in range(2):
        async with bench.routing.router.stream(someone(), asking("default")) as stream:
            async for _chunk in stream:
                pass
    assert [request["model"] for request in bench.stub.requests] == ["500", "500", "500", "ok", "ok"]
    healthy = {model["id"]: model["aibox"]["healthy"] for model in await bench.routing.router.models(bench.turn)}
    assert (healthy["500"], healthy["ok"]) == (False, True)


async def test_who_leaves_early_cancels_the_providers_call_and_pays_for_what_came(bench: Bench) -> None:
    async with bench.routing.router.stream(bench.turn, asking("slow")) as stream:
        async for chunk in stream:
            if chunk.text == " answer":
                break
    await _until(lambda: bench.stub.left == 1)
    response = (await bench.events())[-1]
    assert (response["type"], response["ok"], response["code"]) == ("model_response", False, "cancelled")
    assert (response["input_tokens"], response["output_tokens"], response["estimated"]) == (9, 3, True)
    assert b"The answer" in await bench.artifacts()


async def test_a_cancelled_caller_leaves_its_usage_behind(bench: Bench) -> None:
    entered = asyncio.Event()

    async def ask() -> None:
        async with bench.routing.router.stream(bench.turn, asking("slow")) as stream:
            async for chunk in stream:
                if chunk.text == " answer":
                    entered.set()

    task = asyncio.create_task(ask())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(lambda: bench.stub.left == 1)
    response = (await bench.events())[-1]
    assert (response["code"], response["output_tokens"], response["estimated"]) == ("cancelled", 3, True)


async def test_a_caller_cancelled_twice_leaves_its_usage_behind_all_the_same(bench: Bench) -> None:
    entered = asyncio.Event()

    async def ask() -> None:
        async with bench.routing.router.stream(bench.turn, asking("slow")) as stream:
            async for chunk in stream:
                if chunk.text == " answer":
                    entered.set()

    task = asyncio.create_task(ask())
    await entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.routing.router._settling.finish()
    assert [event["type"] for event in await bench.events()] == ["model_invoked", "model_response"]


async def test_a_caller_cancelled_before_the_first_byte_leaves_a_pair_of_events(bench: Bench) -> None:
    async def ask() -> None:
        async with bench.routing.router.stream(bench.turn, asking("silent")):
            pytest.fail("no stream may open")

    task = asyncio.create_task(ask())
    await _until(lambda: len(bench.stub.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(lambda: bench.stub.left == 1)
    assert [event["type"] for event in await bench.events()] == ["model_invoked", "model_response"]


async def test_a_body_that_is_no_request_calls_nobody(bench: Bench) -> None:
    call = msgspec.structs.replace(asking("ok"), body=b"[]")
    with pytest.raises(BadRequest):
        async with bench.routing.router.stream(bench.turn, call):
            pytest.fail("no stream may open")
    assert bench.stub.requests == []
    assert await bench.events() == []


async def _collect(stream: ModelStream, came: list[str]) -> None:
    async for chunk in stream:
        came.append(chunk.text)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)

"""When providers fail, are full or ask for a pause: what is waited for, who is asked instead, what the caller hears."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest

from aibox.core.errors import AIBoxError
from aibox.router import (
    BackendCooling,
    BackendCut,
    BackendMalformed,
    BackendOverloaded,
    BackendQueueFull,
    BackendRateLimited,
    BackendTimeout,
    BackendUnreachable,
    Model,
    ProviderChange,
    RoleNoBackend,
)
from aibox.router.health import TRIAL_SECONDS
from tests.integration.router.conftest import QUICK, Bench, Make, asking, someone
from tests.stub_upstream import run_stub


async def ask(bench: Bench, model: str = "default") -> str:
    """The text of a whole answer, in a turn of its own."""
    return (await bench.routing.router.complete(someone(), asking(model))).text


async def lead(bench: Bench, first: str, *others: str) -> None:
    await bench.routing.catalogue.set_role(someone(), "default", first, fallbacks=others)


async def add(bench: Bench, *models: str) -> None:
    """Let the stub list these, and add them as provider `more`."""
    bench.stub.models += models
    await bench.routing.catalogue.add_provider(
        someone(), name="more", base_url=bench.stub.base_url, api_key="k", models=list(models)
    )


async def shown(bench: Bench, name: str) -> Model:
    """A model as administrators see it."""
    providers = await bench.routing.catalogue.providers(someone())
    return next(model for provider in providers for model in provider.models if model.id == name)


async def read(bench: Bench, model: str) -> str:
    """The text of a streamed answer."""
    async with bench.routing.router.stream(someone(), asking(model)) as stream:
        return "".join([chunk.text async for chunk in stream])


def asked(bench: Bench) -> list[str]:
    return [request["model"] for request in bench.stub.requests]


async def test_a_short_pause_that_the_provider_asks_for_is_waited_out(bench: Bench) -> None:
    await add(bench, "play")
    answers = iter(["429-after-1", "ok"])
    bench.stub.script = lambda _: next(answers)
    began = asyncio.get_running_loop().time()
    assert await ask(bench, "play") == "The answer is forty-two."
    assert asyncio.get_running_loop().time() - began >= 1.0


@pytest.mark.parametrize("how", ["429-after-120", "503-date-120"])
async def test_a_long_pause_is_kept_and_the_next_model_asked(bench: Bench, how: str) -> None:
    await add(bench, how)
    await lead(bench, how, "ok")
    assert await ask(bench) == "The answer is forty-two."
    assert await ask(bench) == "The answer is forty-two."
    assert asked(bench) == [how, "ok", "ok"]
    model = await shown(bench, how)
    assert model.health == "down"
    assert model.cools_until is not None


@pytest.mark.parametrize(
    ("how", "error", "status"), [("429-after-120", BackendRateLimited, 429), ("503-after-120", BackendOverloaded, 503)]
)
async def test_the_caller_hears_how_long_the_provider_wants_to_be_left_alone(
    bench: Bench, how: str, error: type[AIBoxError], status: int
) -> None:
    await add(bench, how)
    with pytest.raises(error) as raised:
        await ask(bench, how)
    assert raised.value.status == status
    assert raised.value.headers == {
        "Retry-After": "120",
        "X-Aibox-Provider": "more",
        "X-Aibox-Model": how,
        "X-Aibox-Attempts": "1",
    }
    with pytest.raises(BackendCooling) as cooling:
        await ask(bench, how)
    assert 118 <= int(cooling.value.headers["Retry-After"]) <= 120
    assert cooling.value.headers["X-Aibox-Attempts"] == "0"
    assert asked(bench) == [how]


async def test_a_role_whose_models_all_rest_says_when_the_first_is_back(bench: Bench) -> None:
    await add(bench, "429-after-120", "503-after-60")
    await lead(bench, "429-after-120", "503-after-60")
    with pytest.raises(RoleNoBackend) as raised:
        await ask(bench)
    assert raised.value.headers["Retry-After"] == "60"
    assert raised.value.headers["X-Aibox-Attempts"] == "2"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("hang-up", BackendUnreachable),
        ("no-http", BackendUnreachable),
        ("no-content", BackendMalformed),
        ("gzip", BackendMalformed),
        ("page-as-stream", BackendCut),
        ("not-utf8", BackendMalformed),
        ("giant-line", BackendMalformed),
        ("late-5000", BackendTimeout),
    ],
)
async def test_every_way_to_answer_badly_has_its_code_and_is_counted(
    bench: Bench, how: str, error: type[AIBoxError]
) -> None:
    await add(bench, how)
    with pytest.raises(error):
        await read(bench, how)
    (provider,) = [one for one in await bench.routing.catalogue.providers(someone()) if one.name == "more"]
    assert provider.last_failure is not None
    assert provider.last_failure.code == error.code
    assert (provider.in_flight, provider.waiting) == (0, 0)


async def test_a_good_answer_under_the_wrong_content_type_is_an_answer(bench: Bench) -> None:
    await add(bench, "text")
    assert await read(bench, "text") == "The answer is forty-two."
    assert await ask(bench, "text") == "The answer is forty-two."


@pytest.mark.parametrize("how", ["huge-usage", "negative-usage"])
async def test_a_usage_that_cannot_be_is_counted_by_us(bench: Bench, how: str) -> None:
    await add(bench, how)
    usage = (await bench.routing.router.complete(someone(), asking(how))).usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (9, 6, True)


async def test_one_call_at_a_time_tries_a_model_that_is_due_again(bench: Bench, make_routing: Make) -> None:
    settings = msgspec.structs.replace(QUICK, cooldown_seconds=0.2, first_byte_seconds=10.0)
    async with make_routing(settings) as routing:
        new = Bench(routing, bench.stub, bench.kernel, someone())
        await add(new, "play")
        await lead(new, "play", "ok")
        plays = iter(["500", "500", "500", "hold"])
        bench.stub.script = lambda body: next(plays, "ok") if body["model"] == "play" else "ok"
        await ask(new)  # three failures, then the fallback
        assert asked(new).count("play") == 3
        await ask(new)  # it cools: nobody asks it
        assert asked(new).count("play") == 3
        await asyncio.sleep(0.25)
        trial = asyncio.create_task(ask(new))
        await _until(lambda: asked(new).count("play") == 4)
        await asyncio.gather(*(ask(new) for _ in range(10)))
        assert asked(new).count("play") == 4, "only the trial may ask it"
        bench.stub.let_go.set()
        await trial
        await ask(new)
        assert asked(new).count("play") == 5, "well again"


async def test_a_trial_that_fails_is_not_repeated_by_the_same_call(bench: Bench, make_routing: Make) -> None:
    async with make_routing(msgspec.structs.replace(QUICK, cooldown_seconds=0.05)) as routing:
        new = Bench(routing, bench.stub, bench.kernel, someone())
        with pytest.raises(AIBoxError):
            await ask(new, "500")
        await asyncio.sleep(0.1)
        with pytest.raises(AIBoxError):
            await ask(new, "500")
    assert asked(new) == ["500"] * 4


async def test_the_only_model_is_tried_by_one_call_while_it_cools(bench: Bench) -> None:
    await add(bench, "play")
    plays = iter(["500", "500", "500", "hold"])
    bench.stub.script = lambda _: next(plays, "ok")
    with pytest.raises(AIBoxError):
        await ask(bench, "play")
    trial = asyncio.create_task(bench.routing.router.complete(someone(), asking("play")))
    await _until(lambda: len(bench.stub.requests) == 4)
    with pytest.raises(BackendCooling) as cooling:
        await ask(bench, "play")
    assert 0 < int(cooling.value.headers["Retry-After"]) <= TRIAL_SECONDS
    bench.stub.let_go.set()
    await trial


async def test_a_trial_whose_caller_leaves_makes_room_for_the_next(bench: Bench) -> None:
    await add(bench, "play")
    plays = iter(["500", "500", "500", "hold"])
    bench.stub.script = lambda _: next(plays, "ok")
    with pytest.raises(AIBoxError):
        await ask(bench, "play")
    trial = asyncio.create_task(ask(bench, "play"))
    await _until(lambda: len(bench.stub.requests) == 4)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert await ask(bench, "play") == "The answer is forty-two."


async def test_a_provider_takes_no_more_calls_at_once_than_it_may_and_the_others_wait(bench: Bench) -> None:
    await add(bench, "late-50")
    await bench.routing.catalogue.change_provider(someone(), "more", ProviderChange(max_concurrency=3))
    answers = await asyncio.gather(*(ask(bench, "late-50") for _ in range(12)))
    assert answers == ["The answer is forty-two."] * 12
    assert bench.stub.most_in_flight == 3


async def test_a_full_line_is_refused_at_once_and_a_fallback_asked_first(bench: Bench) -> None:
    await add(bench, "hold")
    change = ProviderChange(max_concurrency=1, max_waiting=0)
    await bench.routing.catalogue.change_provider(someone(), "more", change)
    holder = asyncio.create_task(ask(bench, "hold"))
    await _until(lambda: bench.stub.in_flight == 1)
    with pytest.raises(BackendQueueFull) as full:
        await ask(bench, "hold")
    assert int(full.value.headers["Retry-After"]) >= 1
    await lead(bench, "hold", "ok")
    assert await ask(bench) == "The answer is forty-two."
    bench.stub.let_go.set()
    await holder
    assert (await shown(bench, "hold")).health == "ok", "a full line is no failure of the model"


async def test_who_waits_too_long_in_line_is_refused(bench: Bench) -> None:
    await add(bench, "hold")
    change = ProviderChange(max_concurrency=1, queue_seconds=0.05)
    await bench.routing.catalogue.change_provider(someone(), "more", change)
    holder = asyncio.create_task(ask(bench, "hold"))
    await _until(lambda: bench.stub.in_flight == 1)
    with pytest.raises(BackendQueueFull):
        await ask(bench, "hold")
    bench.stub.let_go.set()
    await holder
    assert len(bench.stub.requests) == 1


async def test_a_stream_holds_its_place_until_it_ends_or_is_left(bench: Bench) -> None:
    await add(bench, "slow")
    bench.stub.models.append("ok")
    change = ProviderChange(max_concurrency=1, max_waiting=0)
    await bench.routing.catalogue.change_provider(someone(), "more", change)
    async with bench.routing.router.stream(someone(), asking("more/slow")):
        with pytest.raises(BackendQueueFull):
            await ask(bench, "more/slow")
    (provider,) = [one for one in await bench.routing.catalogue.providers(someone()) if one.name == "more"]
    assert provider.in_flight == 0


async def test_all_tries_together_end_within_the_total_time(bench: Bench, make_routing: Make) -> None:
    settings = msgspec.structs.replace(QUICK, total_seconds=0.5, first_byte_seconds=0.4)
    async with make_routing(settings) as routing:
        new = Bench(routing, bench.stub, bench.kernel, someone())
        await add(new, "late-5000", "late-6000")
        await lead(new, "silent", "late-5000", "late-6000", "ok")
        with pytest.raises(RoleNoBackend):
            await read(new, "default")
    assert asked(new) == ["silent", "late-5000"]


async def test_an_error_before_any_call_says_that_nobody_was_asked(bench: Bench) -> None:
    with pytest.raises(AIBoxError) as raised:
        await ask(bench, "nobody")
    assert raised.value.headers == {"X-Aibox-Attempts": "0"}


async def test_a_provider_that_answers_its_test_is_tried_again_at_once(bench: Bench) -> None:
    async with run_stub() as stub:
        stub.models = ["play"]
        plays = iter(["500"] * 3)
        stub.script = lambda _: next(plays, "ok")
        await bench.routing.catalogue.add_provider(someone(), name="moody", base_url=stub.base_url)
        await lead(bench, "moody/play", "ok")
        await ask(bench)
        done = await bench.routing.catalogue.test_provider(someone(), "moody")
        assert (done.ok, done.models) == (True, ("play",))
        await ask(bench)
        assert len(stub.requests) == 4
    assert (await shown(bench, "play")).health == "ok"


async def test_health_of_a_removed_model_is_forgotten(bench: Bench) -> None:
    with pytest.raises(AIBoxError):
        await ask(bench, "500")
    health = bench.routing.router._health
    assert len(health._standings) == 1
    await bench.routing.catalogue.remove_provider(someone(), "stub")
    assert health._standings == {}
    assert all(isinstance(provider, UUID) for provider in bench.routing.router._gates._gates)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)

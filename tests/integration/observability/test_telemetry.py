"""What leaves for monitoring: spans for a collector, and metrics; names, numbers and codes, never a text."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Struct, field
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from aibox.core.connections import Urls
from aibox.core.eventlog import EventLog
from aibox.core.events import text_artifact
from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.core.turn import Turn
from aibox.observability import Settings
from aibox.observability.gauges import measure
from aibox.observability.otlp import TraceExporter
from aibox.router import ModelInvoked
from tests.conftest import Kernel
from tests.integration.observability.conftest import Money, buying, response, turn_of
from tests.system import served

SECRET = "the blue heron nests at dawn"


class Collector(Struct):
    """An OpenTelemetry collector that keeps what it is sent."""

    url: str = ""
    status: int = 200
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for request in self.requests
            for resource in request["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    async def until(self, spans: int) -> None:
        async with asyncio.timeout(30):
            while len(self.spans) < spans:
                await asyncio.sleep(0.02)


@pytest.fixture
async def collector() -> AsyncGenerator[Collector]:
    state = Collector()

    async def traces(request: web.Request) -> web.Response:
        state.texts.append(await request.text())
        state.requests.append(await request.json())
        state.headers.append(dict(request.headers))
        return web.json_response({}, status=state.status)

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield state
    await runner.cleanup()


@pytest.fixture
async def exporting(kernel: Kernel, collector: Collector) -> AsyncGenerator[TraceExporter]:
    http = Outgoing(HttpSettings(internal_hosts=("127.0.0.1",)))
    settings = Settings(otlp_endpoint=collector.url, otlp_headers=("X-Token=abc=", "X-Team = blue"))
    exporter = TraceExporter(settings, connections=kernel.connections, http=http)
    kernel.bus.subscribe("otlp", exporter.handle, types={"turn_sealed"})
    async with http.run(), exporter.run(kernel.tasks):
        yield exporter


async def a_turn(log: EventLog) -> Turn:
    turn = turn_of("p_me")
    invoked = ModelInvoked(
        call="c1",
        provider="stub",
        model="ok",
        alias="default",
        attempt=1,
        stream=False,
        artifacts=(text_artifact(SECRET),),
    )
    await log.log(turn, invoked)
    await log.log(turn, response(turn, call="c1", finish_reason="stop", artifacts=(text_artifact(SECRET),)))
    await log.end(turn, "sealed")
    return turn


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


async def test_a_turn_arrives_as_one_trace_with_the_names_of_the_genai_conventions(
    kernel: Kernel, collector: Collector, exporting: TraceExporter
) -> None:
    turn = await a_turn(kernel.log)
    await kernel.delivery.drain("otlp")
    await collector.until(4)
    spans = {span["name"]: span for span in collector.spans}
    assert set(spans) == {"turn", "turn_started", "chat ok", "turn_sealed"}
    assert {span["traceId"] for span in spans.values()} == {turn.id.hex}
    root, model = spans["turn"], spans["chat ok"]
    assert "parentSpanId" not in root
    assert (model["parentSpanId"], model["kind"], model["status"]["code"]) == (root["spanId"], 3, 1)
    assert {
        "gen_ai.provider.name": "stub",
        "gen_ai.request.model": "ok",
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": "10",
        "gen_ai.usage.output_tokens": "5",
        "aibox.cost_usd": "0.1",
    }.items() <= attributes(model).items()
    assert attributes(root)["aibox.user"] == "p_me"
    assert int(root["startTimeUnixNano"]) <= int(model["startTimeUnixNano"]) <= int(model["endTimeUnixNano"])
    (headers,) = collector.headers
    assert (headers["X-Token"], headers["X-Team"], headers["Content-Type"]) == ("abc=", "blue", "application/json")
    assert "heron" not in collector.texts[0]


async def test_a_collector_that_fails_costs_traces_and_nothing_else(
    kernel: Kernel, collector: Collector, exporting: TraceExporter
) -> None:
    collector.status = 503
    lost = measured("aibox_otlp_spans_total", result="lost")
    await a_turn(kernel.log)
    await kernel.delivery.drain("otlp")
    async with asyncio.timeout(30):
        while measured("aibox_otlp_spans_total", result="lost") < lost + 4:
            await asyncio.sleep(0.02)
    collector.status = 200
    turn = await a_turn(kernel.log)
    await kernel.delivery.drain("otlp")
    await collector.until(8)
    assert collector.spans[-1]["traceId"] == turn.id.hex


async def test_no_turn_is_sampled_at_a_share_of_zero(kernel: Kernel) -> None:
    http = Outgoing(HttpSettings())
    none = TraceExporter(Settings(otlp_endpoint="http://x", otlp_sample=0), connections=kernel.connections, http=http)
    kernel.bus.subscribe("otlp", none.handle, types={"turn_sealed"})
    await a_turn(kernel.log)
    await kernel.delivery.drain("otlp")
    assert none._waiting.empty()


async def test_gauges_tell_what_waits(money: Money) -> None:
    await a_turn(money.kernel.log)
    await money.settled()
    await measure(money.kernel.connections)
    before = measured("aibox_events_behind", subscriber="observability")
    for _ in range(3):
        await a_turn(money.kernel.log)  # four events each
    await money.limit("10")
    await money.budgets.reserve(turn_of(), buying(1))
    await measure(money.kernel.connections)
    assert measured("aibox_events_behind", subscriber="observability") >= before + 12
    assert measured("aibox_turns_unsealed") == 4
    assert measured("aibox_turns_unsealed_age_seconds") > 0
    assert measured("aibox_budget_open_reservations") == 1


async def test_metrics_count_calls_tokens_and_requests_by_names_that_are_stable(urls: Urls, scratch: Path) -> None:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        await one.client.patch("/v1/nowhere/at/all", json={})
        body = {"model": "ok", "messages": [{"role": "user", "content": SECRET}]}
        assert (await one.client.post("/v1/chat/completions", json=body)).status_code == 200
        await one.system.delivery.drain("observability")
        monitor = await one.member("monitor@example.com", "metrics")
        assert (await monitor.get("/metrics")).status_code == 403
        turn = one.turn
        users = await one.system.identity.users(turn)
        owner = next(user for user in users if user.email == "ada@example.com")
        key = await one.system.identity.create_key(turn, user_id=owner.id, name="prometheus", scopes=["metrics"])
        answer = await one.client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        model = (("model", "ok"), ("provider", "stub"))
        assert samples["aibox_model_calls_total", *model, ("result", "ok")] >= 1
        assert samples["aibox_model_tokens_total", ("direction", "input"), *model] >= 11
        assert samples["aibox_model_call_seconds_count", *model] >= 1
        chat = (("method", "POST"), ("route", "/v1/chat/completions"), ("status", "200"))
        assert samples["aibox_http_requests_total", *chat] >= 1
        assert not [name for name in samples if "nowhere" in str(name) or "heron" in str(name)]
        await monitor.aclose()

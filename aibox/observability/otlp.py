"""Traces for an OpenTelemetry collector: OTLP over HTTP in its JSON form, made from the log after a turn has ended.

Nothing of it runs while a turn does: the spans are what the turn's events say. Names follow OpenTelemetry's conventions
for generative AI (`gen_ai.*`); prompts and answers are in no event, so they are in no span. A collector that is away
costs traces, never turns: what does not fit into the queue is dropped and counted.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog

from aibox import __version__
from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable, ValidationFailed
from aibox.core.events import Recorded
from aibox.core.http import Broken, Client, Unreachable
from aibox.observability import Settings, Span, Trace
from aibox.observability.metrics import SPANS
from aibox.observability.traces import Happened, started_us, trace_of

log = structlog.get_logger("aibox.observability.otlp")

HEARS: Final = frozenset({"turn_sealed"})
MOST_WAITING: Final = 2000
MOST_AT_ONCE: Final = 64
PAUSE_SECONDS: Final = 1.0
SEND_SECONDS: Final = 10.0
LAST_SECONDS: Final = 2.0
OLDEST_SECONDS: Final = 3600.0
"""Turns that began longer ago are not sent: a collector that is set today does not want the history."""

_EVENTS: Final = """
SELECT e.turn, e.data FROM core.event e
JOIN unnest($1::uuid[], $2::uuid[]) AS x (tenant, turn) ON e.tenant = x.tenant AND e.turn = x.turn
ORDER BY e.tenant, e.turn, e.seq
"""
_INTERNAL, _CLIENT = 1, 3
_STATUS: Final = {"unset": 0, "ok": 1, "error": 2}

_GEN_AI: Final = {
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "operation": "gen_ai.operation.name",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "tool": "gen_ai.tool.name",
    "code": "error.type",
}

_read = msgspec.json.Decoder(Happened).decode


class TraceExporter:
    """Hears of turns that ended, and sends their spans in batches."""

    def __init__(self, settings: Settings, *, connections: Connections, http: Client) -> None:
        self._endpoint = settings.otlp_endpoint.rstrip("/")
        self._headers = _headers(settings.otlp_headers)
        self._sample = int(settings.otlp_sample * 0xFFFF_FFFF)
        self._connections = connections
        self._http = http
        self._waiting: asyncio.Queue[tuple[UUID, UUID]] = asyncio.Queue(MOST_WAITING)

    @property
    def is_on(self) -> bool:
        """Whether a collector is set."""
        return bool(self._endpoint)

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Send until the block ends, then what still waits, for a moment."""
        sending = tasks.create_task(self._send_always(), name="otlp.send") if self.is_on else None
        try:
            yield
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_SECONDS):
                        while not self._waiting.empty():
                            await self._send(self._batch())

    async def handle(self, events: Sequence[Recorded]) -> None:
        """Take on the sampled ones of these `turn_sealed`. The same turn is sampled alike everywhere."""
        oldest = (time.time() - OLDEST_SECONDS) * 1e6
        for event in events:
            if event.turn.int & 0xFFFF_FFFF > self._sample or started_us(event.turn) < oldest:
                continue
            if self._waiting.full():
                SPANS.labels("dropped").inc()
                continue
            self._waiting.put_nowait((event.tenant, event.turn))

    async def _send_always(self) -> None:
        while True:
            first = await self._waiting.get()
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await self._send([first, *self._batch()])
            except Exception:
                # Every later trace relies on this task going on.
                log.exception("otlp.failed")

    def _batch(self) -> list[tuple[UUID, UUID]]:
        return [self._waiting.get_nowait() for _ in range(min(self._waiting.qsize(), MOST_AT_ONCE))]

    async def _send(self, turns: Sequence[tuple[UUID, UUID]]) -> None:
        try:
            traces = await self._traces(turns)
        except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
            _lost(len(turns), type(error).__name__)
            return
        spans = sum(len(trace.spans) for trace in traces)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                reply = await self._http.send(
                    "POST", f"{self._endpoint}/v1/traces", headers=self._headers, body=encode(traces)
                )
                with contextlib.closing(reply):
                    await reply.whole(limit=1 << 20)
        except (Unreachable, Broken, ValidationFailed, TimeoutError) as error:
            _lost(spans, str(error) or type(error).__name__)
            return
        if reply.status >= 300:
            _lost(spans, f"the collector answered {reply.status}")
        else:
            SPANS.labels("sent").inc(spans)

    async def _traces(self, turns: Sequence[tuple[UUID, UUID]]) -> list[Trace]:
        rows = await self._connections.system.fetch(
            _EVENTS, [tenant for tenant, _ in turns], [turn for _, turn in turns]
        )
        events: dict[UUID, list[Happened]] = {}
        for row in rows:
            events.setdefault(row["turn"], []).append(_read(row["data"]))
        return [trace_of(turn, happened) for turn, happened in events.items()]


def encode(traces: Sequence[Trace]) -> bytes:
    """`ExportTraceServiceRequest` in OTLP's JSON form: ids in hexadecimal, 64-bit numbers as strings."""
    return msgspec.json.encode(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes({"service.name": "aibox", "service.version": __version__})},
                    "scopeSpans": [
                        {
                            "scope": {"name": "aibox.observability", "version": __version__},
                            "spans": [_span(trace, span) for trace in traces for span in trace.spans],
                        }
                    ],
                }
            ]
        }
    )


def _span(trace: Trace, span: Span) -> dict[str, Any]:
    began = round(trace.started_at.timestamp() * 1_000_000)
    encoded: dict[str, Any] = {
        "traceId": trace.turn_id.hex,
        "spanId": span.id,
        "name": _name(span),
        "kind": _CLIENT if span.kind == "model" else _INTERNAL,
        "startTimeUnixNano": str((began + span.start_us) * 1000),
        "endTimeUnixNano": str((began + span.end_us) * 1000),
        "attributes": _attributes(_named(trace, span)),
        "status": {"code": _STATUS[span.status]},
    }
    return encoded if span.parent is None else {**encoded, "parentSpanId": span.parent}


def _name(span: Span) -> str:
    match span.kind:
        case "model":
            return f"{span.attributes.get('operation', 'chat')} {span.attributes.get('model', '')}"
        case "tool":
            return f"execute_tool {span.attributes.get('tool', '')}"
        case _:
            # What another program calls its acts is its own word, and there may be any number of them.
            return "external" if span.name.startswith("external.") else span.name


def _named(trace: Trace, span: Span) -> dict[str, str | int | bool]:
    """The span's attributes by their names in the conventions; what these do not know begins with `aibox.`."""
    named: dict[str, str | int | bool] = {}
    if span.parent is None:
        named["aibox.user"] = trace.user
    if span.kind == "tool":
        named["gen_ai.operation.name"] = "execute_tool"
    for name, value in span.attributes.items():
        known = _GEN_AI.get(name) if span.kind in ("model", "tool") else None
        named[known or f"aibox.{name}"] = value
    return named


def _attributes(values: Mapping[str, str | int | bool]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: str | int | bool) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case _:
            return {"stringValue": value}


def _headers(given: Sequence[str]) -> dict[str, str]:
    pairs = (header.partition("=") for header in given)
    return {"Content-Type": "application/json", **{name.strip(): value.strip() for name, _, value in pairs}}


def _lost(spans: int, why: str) -> None:
    SPANS.labels("lost").inc(spans)
    log.warning("otlp.not_sent", spans=spans, why=why)

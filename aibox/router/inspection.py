"""Looks at a provider from the administrator's side: does it answer now, and what does its engine (vLLM) say of itself.

vLLM tells its metrics in Prometheus' text format at `/metrics` beside `/v1` (docs.vllm.ai, "Production Metrics").
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from aibox.core.errors import AIBoxError
from aibox.core.http import AddressRefused, Broken, Client, Unreachable
from aibox.router import (
    BackendFailed,
    BackendMalformed,
    BackendTimeout,
    BackendUnavailable,
    BackendUnreachable,
    EngineMetrics,
    ProviderTest,
)
from aibox.router.registration import probe
from aibox.router.snapshot import Entry

MOST_BYTES: Final = 8 * 1024 * 1024
METRICS_SECONDS: Final = 10.0

_RUNNING: Final = ("vllm:num_requests_running",)
_WAITING: Final = ("vllm:num_requests_waiting",)
_CACHE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_PROMPT: Final = ("vllm:prompt_tokens_total",)
_GENERATED: Final = ("vllm:generation_tokens_total",)


class Sample(Struct, frozen=True):
    """What an engine said at one moment of the monotonic clock; None where it did not say."""

    at: float
    running: float | None
    waiting: float | None
    kv_cache_used: float | None
    prompt_tokens: float | None
    generated_tokens: float | None


async def tested(http: Client, entry: Entry, *, connect_seconds: float) -> ProviderTest:
    """Ask the provider for its models; what fails is told, not raised."""
    began = time.monotonic()
    try:
        address, key, spoken = entry.provider.base_url, entry.api_key, entry.provider.adapter
        probed = await probe(http, address, key, adapter=spoken, connect_seconds=connect_seconds)
    except AIBoxError as error:
        return ProviderTest(ok=False, latency_ms=_since(began), code=error.code, sentence=str(error))
    listed = tuple(model.id for model in probed.models)
    missing = tuple(model.id for model in entry.provider.models if model.id not in set(listed))
    return ProviderTest(ok=True, latency_ms=_since(began), models=listed, missing=missing)


async def engine_sample(http: Client, entry: Entry, *, connect_seconds: float) -> Sample:
    """The engine's metrics as they are now. Raises `BackendUnavailable` in its kinds."""
    name = entry.provider.name
    url = f"{entry.provider.base_url.removesuffix('/v1')}/metrics"
    headers = {"Authorization": f"Bearer {entry.api_key}"} if entry.api_key else {}
    try:
        async with asyncio.timeout(METRICS_SECONDS):
            reply = await http.send("GET", url, headers=headers, connect_seconds=connect_seconds)
            with contextlib.closing(reply):
                body = await reply.whole(limit=MOST_BYTES)
    except TimeoutError:
        raise BackendTimeout(f"The provider {name} did not tell its metrics in time.") from None
    except Unreachable as error:
        raise BackendUnreachable(f"The provider {name} cannot be reached: {error}.") from None
    except AddressRefused as error:
        raise BackendUnavailable(f"The provider {name} is not called: {error}") from None
    except Broken:
        raise BackendMalformed(f"The provider {name} broke off while it told its metrics.") from None
    if reply.status != 200:
        raise BackendFailed(f"The provider {name} answered {reply.status} where vLLM tells its metrics.")
    return parsed(body, at=time.monotonic())


def parsed(body: bytes, *, at: float) -> Sample:
    """What we read of a page of metrics, added up over the engine's models. Raises `BackendMalformed`."""
    totals: dict[str, float] = {}
    counts: dict[str, int] = {}
    try:
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
                counts[sample.name] = counts.get(sample.name, 0) + 1
    except (ValueError, KeyError, IndexError):
        raise BackendMalformed("The provider's metrics are not in Prometheus' text format.") from None
    cache = next((name for name in _CACHE if name in totals), None)
    return Sample(
        at=at,
        running=_first(totals, _RUNNING),
        waiting=_first(totals, _WAITING),
        kv_cache_used=None if cache is None else totals[cache] / counts[cache],
        prompt_tokens=_first(totals, _PROMPT),
        generated_tokens=_first(totals, _GENERATED),
    )


def metrics_of(now: Sample, before: Sample | None) -> EngineMetrics:
    """The metrics at `now`, with the rates since `before`."""
    return EngineMetrics(
        running=_whole(now.running),
        waiting=_whole(now.waiting),
        kv_cache_used=now.kv_cache_used,
        prompt_tokens=_whole(now.prompt_tokens),
        generated_tokens=_whole(now.generated_tokens),
        prompt_tokens_per_second=None
        if before is None
        else _rate(now, before, now.prompt_tokens, before.prompt_tokens),
        generated_tokens_per_second=None
        if before is None
        else _rate(now, before, now.generated_tokens, before.generated_tokens),
    )


def _rate(now: Sample, before: Sample, count: float | None, earlier: float | None) -> float | None:
    """Per second; None where a count is missing, or fell, for the engine began anew."""
    seconds = now.at - before.at
    if count is None or earlier is None or count < earlier or seconds <= 0:
        return None
    return round((count - earlier) / seconds, 3)


def _first(totals: dict[str, float], names: Iterable[str]) -> float | None:
    return next((totals[name] for name in names if name in totals), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)

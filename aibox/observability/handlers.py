"""The events that observability hears."""

from aibox.core.events import Bus
from aibox.observability import otlp
from aibox.observability.service import HEARS, ObservabilityService


def subscribe(bus: Bus, service: ObservabilityService, exporter: otlp.TraceExporter | None = None) -> None:
    """Hear every `model_response`; and every `turn_sealed`, where a collector wants traces."""
    bus.subscribe("observability", service.handle, types=HEARS)
    if exporter is not None and exporter.is_on:
        bus.subscribe("observability.otlp", exporter.handle, types=otlp.HEARS)

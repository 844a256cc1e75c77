"""The events that observability hears."""

from aibox.core.events import Bus
from aibox.observability.service import HEARS, ObservabilityService


def subscribe(bus: Bus, service: ObservabilityService) -> None:
    """Hear every `model_response`."""
    bus.subscribe("observability", service.handle, types=HEARS)

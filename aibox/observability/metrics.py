"""Prometheus metrics of model calls. Their names are stable; no label holds a person, a key or a text."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)

CALLS = Counter("aibox_model_calls", "Model calls that ended", ["provider", "model", "result"])
TOKENS = Counter("aibox_model_tokens", "Tokens of model calls", ["provider", "model", "direction"])
COST = Counter("aibox_model_cost_usd", "US dollars that model calls with a known price cost", ["provider", "model"])
UNPRICED = Counter("aibox_model_unpriced_calls", "Model calls whose price is unknown", ["provider", "model"])
FIRST_BYTE = Histogram(
    "aibox_model_first_byte_seconds", "Time to a model's first byte", ["provider", "model"], buckets=SECONDS
)
DURATION = Histogram(
    "aibox_model_call_seconds", "Time from a model call to its end", ["provider", "model"], buckets=SECONDS
)
DECISIONS = Counter("aibox_budget_decisions", "What budgets said to model calls", ["decision"])
RECOVERED = Counter("aibox_budget_recovered", "Reservations that were ended from the log", ["how"])
RESERVATIONS = Gauge("aibox_budget_open_reservations", "Reservations of calls that have not ended")
EVENTS_BEHIND = Gauge(
    "aibox_events_behind", "Events that a subscriber has not passed yet, at most 10000", ["subscriber"]
)
UNSEALED = Gauge("aibox_turns_unsealed", "Turns that have ended and are not sealed yet, at most 10000")
UNSEALED_AGE = Gauge("aibox_turns_unsealed_age_seconds", "Since when the oldest of them runs")
SPANS = Counter("aibox_otlp_spans", "Spans for the OpenTelemetry collector", ["result"])

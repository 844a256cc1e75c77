"""Prometheus counters of model calls. Their names are stable; no label holds a person, a key or a text."""

from prometheus_client import Counter, Histogram

CALLS = Counter("aibox_model_calls", "Model calls that ended", ["provider", "model", "result"])
TOKENS = Counter("aibox_model_tokens", "Tokens of model calls", ["provider", "model", "direction"])
FIRST_BYTE = Histogram(
    "aibox_model_first_byte_seconds",
    "Time to a model's first byte",
    ["provider", "model"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120),
)

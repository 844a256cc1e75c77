"""What it cost: generations with tokens and prices, written from `model_response` events by Delivery."""

from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from aibox.core.turn import Turn


class Price(Struct, frozen=True, kw_only=True):
    """US dollars per million tokens."""

    input_usd: Decimal
    output_usd: Decimal


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one generation. `estimated`: the provider did not say and we counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False


def cost(price: Price | None, usage: Usage) -> Decimal | None:
    """US dollars of `usage`, exact; None when the price is not known (which is not zero)."""
    if price is None:
        return None
    return (price.input_usd * usage.input_tokens + price.output_usd * usage.output_tokens) / Decimal(1_000_000)


@runtime_checkable
class Observability(Protocol):
    """Reads what the generations of the turn's tenant add up to."""

    async def usage_of(self, turn: Turn) -> dict[str, Any]:
        """The principal's own totals: `{"requests", "input_tokens", "output_tokens", "cost_usd", "unpriced_requests",
        "by_model": […]}`; each of `by_model` has `provider` and `model` and the same members.

        `cost_usd` is a decimal string and leaves out the unpriced requests: an unknown price is not zero.
        """
        ...

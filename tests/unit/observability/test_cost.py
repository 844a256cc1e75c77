"""The price of a generation."""

from decimal import Decimal

from aibox.observability import Price, Usage, cost


def test_a_cost_is_exact() -> None:
    price = Price(input_usd=Decimal("0.15"), output_usd=Decimal("0.6"))
    assert cost(price, Usage(input_tokens=1, output_tokens=1)) == Decimal("0.00000075")
    assert cost(price, Usage(input_tokens=3_000_000, output_tokens=0)) == Decimal("0.45")


def test_an_unknown_price_has_no_cost() -> None:
    assert cost(None, Usage(input_tokens=1)) is None

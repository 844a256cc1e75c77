"""The price of a generation."""

from decimal import Decimal

from aibox.observability import Price, Usage, cost, dollars

PLAIN = Price(input_usd=Decimal("0.15"), output_usd=Decimal("0.6"))


def test_a_cost_is_exact() -> None:
    assert cost(PLAIN, Usage(input_tokens=1, output_tokens=1)) == Decimal("0.00000075")
    assert cost(PLAIN, Usage(input_tokens=3_000_000, output_tokens=0)) == Decimal("0.45")


def test_an_unknown_price_has_no_cost() -> None:
    assert cost(None, Usage(input_tokens=1)) is None


def test_cached_written_and_reasoned_tokens_have_their_own_prices() -> None:
    price = Price(
        input_usd=Decimal(3),
        output_usd=Decimal(15),
        cached_input_usd=Decimal("0.3"),
        cache_write_usd=Decimal("3.75"),
        reasoning_usd=Decimal(20),
    )
    usage = Usage(input_tokens=100, cached_tokens=60, cache_write_tokens=30, output_tokens=50, reasoning_tokens=40)
    assert cost(price, usage) == Decimal("0.0011105")  # 10×3 + 60×0.3 + 30×3.75 + 10×15 + 40×20 millionths
    assert cost(PLAIN, usage) == Decimal("0.000045")


def test_parts_that_are_more_than_the_whole_do_not_make_a_cost_negative() -> None:
    usage = Usage(input_tokens=10, cached_tokens=70, cache_write_tokens=50, output_tokens=1, reasoning_tokens=9)
    assert cost(PLAIN, usage) == cost(PLAIN, Usage(input_tokens=10, output_tokens=1))


def test_dollars_are_shown_without_an_exponent() -> None:
    assert [dollars(Decimal(text)) for text in ("1E-9", "1E+3", "0.50", "0")] == ["0.000000001", "1000", "0.5", "0"]

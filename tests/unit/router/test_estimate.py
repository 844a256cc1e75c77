"""What a request may use at most, read from any dialect."""

import itertools
import json
from typing import Any

import pytest

from aibox.router.estimate import ATTACHED_TOKENS, MOST, Estimate, estimate


def of(body: dict[str, Any]) -> Estimate:
    return estimate(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "word " * 400}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "word " * 400}]}]},
        {"input": "word " * 400},
        {"input": ["word " * 200, "word " * 200]},
        {"system": "word " * 400, "messages": []},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "word " * 400}}]},
    ],
    ids=["chat", "parts", "responses", "embeddings", "messages", "tools"],
)
def test_every_text_counts_with_a_third_to_spare(body: dict[str, Any]) -> None:
    assert 400 * 5 / 4 * 4 / 3 <= of(body).input_tokens <= 800


def test_an_image_counts_as_one_image_however_large_its_bytes_are() -> None:
    data = "data:image/png;base64," + "A" * 400_000
    chat = of({"messages": [{"content": [{"type": "image_url", "image_url": {"url": data}}]}]})
    messages = of({"messages": [{"content": [{"type": "image", "source": {"data": "A" * 400_000}}]}]})
    for found in (chat, messages):
        assert ATTACHED_TOKENS <= found.input_tokens <= 2 * ATTACHED_TOKENS


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_requests_own_limit_is_the_output(name: str) -> None:
    assert of({name: 77, "n": 3}) == Estimate(of({name: 77, "n": 3}).input_tokens, 77, 3)


def test_of_several_limits_the_largest_is_reserved_for_a_provider_reads_only_its_own() -> None:
    for names in itertools.permutations(("max_tokens", "max_completion_tokens", "max_output_tokens")):
        assert of(dict(zip(names, (1, 9000, 1), strict=True))).output_tokens == 9000


def test_a_limit_beyond_all_numbers_is_the_largest() -> None:
    found = of({"max_tokens": 10**30, "n": 10**30})

    assert (found.output_tokens, found.choices) == (MOST, MOST)


@pytest.mark.parametrize("limit", [8, 8.0, "8"])
def test_a_limit_counts_however_the_number_is_written(limit: object) -> None:
    found = of({"max_tokens": limit, "n": limit})

    assert (found.output_tokens, found.choices) == (8, 8)


@pytest.mark.parametrize("limit", [None, 0, -5, "many", True, 1.5, "²", "-8", float("inf")])
def test_a_limit_that_is_none_is_no_limit(limit: object) -> None:
    assert of({"max_tokens": limit, "n": limit}).output_tokens is None
    assert of({"max_tokens": limit, "n": limit}).choices == 1


def test_what_is_no_json_estimates_nothing() -> None:
    assert estimate(b"\xff{") == Estimate()
    assert estimate(b"[" * 100_000) == Estimate()

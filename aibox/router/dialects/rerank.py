"""Reranking as Jina, vLLM, llama.cpp and Cohere speak it: a question, documents, and a relevance for each."""

import math
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aibox.observability import Usage
from aibox.router.dialects.chat import MalformedError


class _Result(Struct):
    index: int
    relevance_score: float


class _UsageMembers(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Body(Struct):
    """`data` is Voyage's name for `results`."""

    results: list[_Result] | None = None
    data: list[_Result] | None = None
    usage: _UsageMembers | None = None


_read = msgspec.json.Decoder(_Body).decode


def request(question: str, documents: Sequence[str], *, model: str) -> bytes:
    """The body that asks `model` how well each document answers the question."""
    return msgspec.json.encode({"model": model, "query": question, "documents": list(documents)})


def read(data: bytes, *, count: int) -> tuple[list[float], Usage | None]:
    """The relevance of each of `count` documents in their order, on the model's own scale. Raises `MalformedError`."""
    try:
        body = _read(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    found = {result.index: result.relevance_score for result in body.results or body.data or ()}
    if found.keys() != set(range(count)) or not all(map(math.isfinite, found.values())):
        raise MalformedError("a document has no relevance, or there is one for a document that was not sent")
    said = body.usage
    tokens = None if said is None else said.prompt_tokens if said.prompt_tokens is not None else said.total_tokens
    return [found[number] for number in range(count)], None if tokens is None else Usage(input_tokens=tokens)

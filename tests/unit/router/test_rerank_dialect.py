"""Reranking's bodies: a relevance for each document, in the documents' order, or no answer at all."""

import msgspec
import pytest

from aibox.observability import Usage
from aibox.router.dialects.chat import MalformedError
from aibox.router.dialects.rerank import read, request

RESULTS = [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": -3.5}]


def test_the_request_is_the_question_and_the_documents() -> None:
    body = msgspec.json.decode(request("what?", ["a", "b"], model="m"))
    assert body == {"model": "m", "query": "what?", "documents": ["a", "b"]}


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"results": RESULTS, "usage": {"total_tokens": 12}}, Usage(input_tokens=12)),  # vLLM, Jina
        ({"results": RESULTS, "usage": {"prompt_tokens": 7, "total_tokens": 12}}, Usage(input_tokens=7)),  # llama.cpp
        ({"results": RESULTS, "meta": {"billed_units": {"search_units": 1}}}, None),  # Cohere
        ({"object": "list", "data": RESULTS, "usage": {"total_tokens": 12}}, Usage(input_tokens=12)),  # Voyage
    ],
)
def test_the_relevance_comes_in_the_order_of_the_documents(answer: object, usage: Usage | None) -> None:
    assert read(msgspec.json.encode(answer), count=2) == ([-3.5, 0.9], usage)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"\xff",
        b"{}",
        b'{"results":[]}',
        b'{"results":[{"index":0,"relevance_score":1}]}',
        b'{"results":[{"index":0,"relevance_score":1},{"index":2,"relevance_score":1}]}',
        b'{"results":[{"index":0,"relevance_score":1},{"index":1,"relevance_score":"high"}]}',
        b'{"results":[{"index":0,"relevance_score":1},{"index":1,"relevance_score":1e999}]}',
    ],
)
def test_what_lacks_a_document_or_a_number_is_no_answer(answer: bytes) -> None:
    with pytest.raises(MalformedError):
        read(answer, count=2)

"""Chat Completions: what is set in a request, what is read out of an answer, what passes untouched."""

import json

import msgspec
import pytest

from aibox.core.errors import BadRequest
from aibox.observability import Usage
from aibox.router.dialects import chat, embeddings
from tests.unit.router.test_sse import shared_data, split


def test_only_model_stream_and_include_usage_change_in_a_request() -> None:
    body = (
        b'{"temperature": 0.10, "model":"default","messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}],'
        b'"x_new":{"a" : 1e2}}'
    )
    sent = chat.rewrite(body, model="gpt-x", stream=True)
    assert sent == (
        b'{"temperature":0.10,"model":"gpt-x","messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}],'
        b'"x_new":{"a" : 1e2},"stream":true,"stream_options":{"include_usage":true}}'
    )


def test_the_callers_other_stream_options_stay() -> None:
    body = b'{"messages":[],"stream_options":{"include_usage":false,"include_obfuscation":false}}'
    sent = json.loads(chat.rewrite(body, model="m", stream=True))
    assert sent["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert json.loads(chat.rewrite(b'{"messages":[],"stream_options":null}', model="m", stream=True))["stream_options"]


def test_a_request_that_does_not_stream_has_no_stream_options() -> None:
    sent = json.loads(chat.rewrite(b'{"messages":[],"stream":true,"stream_options":{}}', model="m", stream=False))
    assert sent == {"messages": [], "stream": False, "model": "m"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"null", b'{"model":"m"}', b'{"messages":[],"stream_options":7}', b"[" * 5000],
)
def test_what_is_no_request_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        chat.rewrite(body, model="m", stream=True)


def test_a_chunk_is_read_for_text_reason_and_usage() -> None:
    assert chat.read(b'{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}').text == "hi"
    last = chat.read(b'{"choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":null}')
    assert (last.finish_reason, last.usage, last.finished) == ("length", None, (0,))
    usage = chat.read(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":0}}')
    assert usage.is_usage_only
    assert usage.usage == Usage(input_tokens=3, output_tokens=0)


def test_an_object_without_numbers_is_missing_usage_and_zero_is_not() -> None:
    assert chat.read(b'{"choices":[],"usage":{}}').usage is None
    assert chat.read(b'{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}').usage == Usage()


def test_the_filter_results_that_azure_sends_first_are_no_usage_chunk() -> None:
    assert not chat.read(b'{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}').is_usage_only


def test_text_in_parts_reasoning_and_tool_calls_are_all_counted() -> None:
    transcript = chat.Transcript()
    for data in (
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"Hi"}]}}]}',
        b'{"choices":[{"delta":{"reasoning_content":"because of this"}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}',
    ):
        transcript.add(chat.read(data))
    assert transcript.text == "Hi"
    assert transcript.tool_calls == [{"id": "c1", "name": "f", "arguments": '{"a":1}'}]
    assert transcript.tokens() == 1 + 4 + 2


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"error":{"message":"engine died","code":500}}', "engine died"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"object":"error","message":"old vLLM"}', "old vLLM"),
        (b'{"error":{}}', "an error without words"),
    ],
)
def test_an_error_under_200_is_an_error(data: bytes, sentence: str) -> None:
    assert chat.read(data).error == sentence


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"{", b"[1]", b"5", b'{"choices":{}}', b'{"choices":[{"delta":5}]}', b"\xff"]
)
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    with pytest.raises(chat.MalformedError):
        chat.read(data)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"error":{"message":"too long\\nby far"}}', "too long by far"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"msg":"field required"}]}', "field required"),
        (b"<html>", ""),
        (b"{}", ""),
        (b'{"message":"' + b"x" * 5000 + b'"}', "x" * 300),
    ],
)
def test_the_providers_own_sentence_is_found(body: bytes, sentence: str) -> None:
    assert chat.error_sentence(body) == sentence


@pytest.mark.parametrize(
    ("base_url", "member"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://ours.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://vllm:8000/v1", "max_tokens"),
        ("https://openai.example.com/v1", "max_tokens"),
    ],
)
def test_a_limit_of_tokens_has_the_name_that_the_provider_knows(base_url: str, member: str) -> None:
    assert chat.limit_member(base_url) == member
    body = chat.rewrite(b'{"messages":[]}', model="m", stream=False, more={member: 5})
    assert msgspec.json.decode(body)[member] == 5


def test_tokens_are_counted_about_right_when_nobody_says() -> None:
    assert chat.count_tokens("") == 0
    assert chat.count_tokens("What is the capital of France?") == 8
    assert chat.count_tokens("日本語") == 3
    body = b'{"messages":[{"role":"user","content":"What is the capital of France?"},{"content":[{"text":"word"}]}]}'
    assert chat.count_request_tokens(body) == 4 + 8 + 4 + 1


def test_real_vllm_answers_are_read_as_they_are() -> None:
    path = shared_data() / "vllm-0.32-capture.json"
    if not path.exists():
        pytest.skip(f"the recordings are not here: {path.name} (set AIBOX_SHARED_DATA)")
    golden = msgspec.json.decode(path.read_bytes())
    answer = chat.read(golden["chat"]["body"].encode())
    assert answer.text
    assert answer.usage is not None
    stream = [chat.read(data) for data in split([golden["chat_stream_usage"]["body"].encode()])[:-1]]
    assert "".join(item.text for item in stream) == "I'm glad to"
    assert stream[-1].is_usage_only
    assert stream[-1].usage == Usage(input_tokens=32, output_tokens=4)
    assert stream[-2].finish_reason == "length"
    tools = chat.Transcript()
    for data in split([golden["tool_named_stream"]["body"].encode()])[:-1]:
        tools.add(chat.read(data))
    assert [call["name"] for call in tools.tool_calls] == ["get_weather"]
    assert chat.error_sentence(golden["models_noauth"]["body"].encode()) == "Unauthorized"
    assert chat.error_sentence(golden["err_ctx"]["body"].encode()).startswith("This model's maximum context length")
    assert chat.error_sentence(golden["err_404"]["body"].encode()) == "Not Found"


def test_vectors_come_in_the_order_of_the_texts_at_unit_length() -> None:
    data = b'{"data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":5}}'
    assert embeddings.read(data, count=2) == ([[0.6, 0.8], [0.0, 1.0]], Usage(input_tokens=5))


def test_a_vector_that_has_unit_length_keeps_its_numbers() -> None:
    vector = [0.6000001, 0.8]
    assert embeddings.unit(vector) == vector


@pytest.mark.parametrize(
    "data",
    [
        b'{"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":7,"embedding":[1]},{"index":1,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}',
        b'{"data":[{"index":0,"embedding":[]},{"index":1,"embedding":[]}]}',
        b'{"data":[{"index":0,"embedding":[1e200]},{"index":1,"embedding":[1e999]}]}',
        b"<html>",
    ],
)
def test_vectors_that_are_missing_or_differ_are_malformed(data: bytes) -> None:
    with pytest.raises(chat.MalformedError):
        embeddings.read(data, count=2)

"""Replays what was recorded against real providers through the translations of Messages and Responses."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pydantic
import pytest
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionToolChoiceOptionParam,
)
from openai.types.shared_params import ResponseFormatJSONSchema

from aibox.core.errors import AIBoxError
from aibox.observability import Usage
from aibox.router import NotTranslatable
from aibox.router.dialects import chat
from aibox.router.dialects.exchange import Exchange, Translatable
from aibox.router.dialects.messages import Messages
from aibox.router.dialects.parts import Parts, Tokens
from aibox.router.dialects.responses import Responses
from aibox.router.dialects.spoken import TRANSLATABLE
from tests.unit.router.recordings import body_of, events, message_of, recorded, response_of
from tests.unit.router.replay import request_of, streamed
from tests.unit.router.replay import whole as whole_of
from tests.unit.router.test_sse import recorded_streams, split

REQUESTS = {
    "messages": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}]}',
    "responses": b'{"model":"m","input":"?"}',
}

MESSAGE = pydantic.TypeAdapter[Any](ChatCompletionMessageParam)
TOOL = pydantic.TypeAdapter[Any](ChatCompletionFunctionToolParam)
CHOICE = pydantic.TypeAdapter[Any](ChatCompletionToolChoiceOptionParam)
SCHEMA = pydantic.TypeAdapter[Any](ResponseFormatJSONSchema)


def exchanges() -> Iterator[tuple[str, Exchange]]:
    for name, request in REQUESTS.items():
        yield name, TRANSLATABLE[name].read(request)


def outcome(told: list[dict[str, Any]]) -> tuple[str, list[str], int, int]:
    """The text, the tools' names and the tokens in and out that a stream tells, whatever its dialect."""
    if told[0]["type"] == "message_start":
        message = message_of(told)
        usage = message["usage"]
        return (
            "".join(block["text"] for block in message["content"] if block["type"] == "text"),
            [block["name"] for block in message["content"] if block["type"] == "tool_use"],
            usage["input_tokens"] + usage["cache_read_input_tokens"],
            usage["output_tokens"],
        )
    response = response_of(told)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return (
        "".join(part.get("text", "") + part.get("refusal", "") for part in parts),
        [item["name"] for item in response["output"] if item["type"] == "function_call"],
        response["usage"]["input_tokens"],
        response["usage"]["output_tokens"],
    )


def arguments(told: list[dict[str, Any]]) -> str:
    """What the models wrote to tools, as they wrote it."""
    pieces = [event["delta"] for event in told if event["type"] == "response.function_call_arguments.delta"]
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    return "".join([*pieces, *(delta.get("partial_json", "") for delta in deltas)])


def one_choice(payloads: list[bytes]) -> bool:
    seen = [chat.read(data) for data in payloads if data != chat.DONE]
    return not any(item.error for item in seen) and {index for item in seen for index in item.finished} == {0}


def test_every_recorded_stream_is_told_whole_and_in_order_in_both_dialects() -> None:
    streams = [payloads for body in recorded_streams() if one_choice(payloads := split([body.encode()]))]
    assert len(streams) > 100
    for payloads in streams:
        transcript, usage = chat.Transcript(), None
        for data in payloads[:-1]:
            transcript.add(seen := chat.read(data))
            usage = seen.usage or usage
        for dialect, exchange in exchanges():
            told = events(streamed(dialect, exchange, payloads, None))
            text, tools, input_tokens, output_tokens = outcome(told)
            assert text == transcript.text
            assert tools == [call["name"] for call in transcript.tool_calls]
            assert arguments(told) == "".join(call["arguments"] for call in transcript.tool_calls)
            assert Usage(input_tokens=input_tokens, output_tokens=output_tokens) == (usage or Usage())


def test_recorded_streams_are_split_alike_wherever_they_were_cut() -> None:
    for body in recorded_streams()[:8]:
        text = body.encode()
        payloads = split([text])
        assert split([bytes([byte]) for byte in text]) == payloads
        for cut in range(1, len(text)):
            assert split([text[:cut], text[cut:]]) == payloads


def test_every_recorded_answer_is_told_whole_in_both_dialects() -> None:
    answers = [body_of(item["body"]) for item in recorded("chat/completions") if item["status"] == 200]
    whole = [data for data in answers if data.startswith(b"{") and chat.read(data).choices == 1]
    assert len(whole) > 100
    for data in whole:
        seen = chat.read(data)
        for dialect, exchange in exchanges():
            answer = whole_of(exchange, data, Usage())
            # The stream of one chunk that says the same must add up to the same.
            told = events(streamed(dialect, exchange, [data], None))
            same = message_of(told) if answer.get("type") == "message" else response_of(told)
            for body in (answer, same):
                body.pop("completed_at", None)
            assert answer == same
            text, tools, *_ = outcome(told)
            assert (text, tools) == (seen.text, [tool.name for tool in seen.tools])


@pytest.mark.parametrize(
    ("dialect", "address", "most_refused"),
    [
        (Messages(), "api.anthropic.com/v1/messages", 5),
        (Responses(), "/v1/responses", 6),
    ],
)
def test_every_recorded_request_becomes_chat_completions_or_is_refused_with_a_code(
    dialect: Translatable, address: str, most_refused: int
) -> None:
    refused = 0
    items = [item for item in recorded(address) if item["request"] and item["status"] == 200]
    requests = [body_of(item["request"]) for item in items if item["url"].partition("?")[0].endswith(address)]
    assert len(requests) > 50
    for body in requests:
        try:
            exchange = dialect.read(body)
        except NotTranslatable:
            refused += 1
            continue
        except AIBoxError as error:
            raise AssertionError(f"{error}: {body[:300]!r}") from error
        given, request = msgspec.json.decode(body), request_of(exchange)
        assert request["model"] == given["model"]
        _require_openais(request)
        answered = [message["tool_call_id"] for message in request["messages"] if message["role"] == "tool"]
        called = [call["id"] for message in request["messages"] for call in message.get("tool_calls", ())]
        assert answered == called[: len(answered)]
    assert refused <= most_refused


def _require_openais(request: dict[str, Any]) -> None:
    """Raise unless OpenAI's own types accept the request's messages, tools and choices."""
    for message in request["messages"]:
        read = MESSAGE.validate_python(message)
        content = read["content"]
        assert content is None or isinstance(content, str) or list(content)  # reading it validates its parts
        list(read.get("tool_calls", ()))
    for tool in request.get("tools", ()):
        TOOL.validate_python(tool)
    if "tool_choice" in request:
        CHOICE.validate_python(request["tool_choice"])
    if "response_format" in request:
        SCHEMA.validate_python(request["response_format"])


def test_tokens_that_the_provider_did_not_tell_are_those_we_counted() -> None:
    assert Parts().count(Usage(input_tokens=3, output_tokens=4)) == Tokens(input=3, output=4)

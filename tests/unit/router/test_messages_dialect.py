"""Anthropic's Messages as Chat Completions, and back."""

from typing import Any

import msgspec
import pytest

from aibox.core.errors import BadRequest, ValidationFailed, error_body
from aibox.observability import Usage
from aibox.router import BackendUnavailable, NotTranslatable
from aibox.router.dialects.messages import Messages
from tests.unit.router.recordings import events, message_of
from tests.unit.router.replay import request_of, streamed, whole

WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}


def ask(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = messages or ({"role": "user", "content": "?"},)
    body = {"model": "m", "max_tokens": 9, "messages": list(given), **more}
    return request_of(Messages().read(msgspec.json.encode(body)))


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def answer(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    exchange = Messages().read(b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}]}')
    data = msgspec.json.encode(
        {"model": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    )
    usage = Usage(input_tokens=3, output_tokens=4)
    told = message_of(events(streamed("messages", exchange, [data], usage)))
    assert told == whole(exchange, data, usage)
    return told


def test_system_and_words_become_messages() -> None:
    assert ask(system=[{"type": "text", "text": "Be brief."}]) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}],
    }


def test_the_limit_of_tokens_goes_beside_the_body() -> None:
    exchange = Messages().read(b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}]}')
    assert exchange.max_tokens == 9
    assert "max_tokens" not in request_of(exchange)


def test_images_and_documents_become_parts() -> None:
    (message,) = ask(
        user(
            {"type": "text", "text": "Look:", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="}},
        )
    )["messages"]
    assert message["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "page"},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,BB=="}},
    ]


def test_calls_and_results_of_tools_become_calls_and_messages_of_tools() -> None:
    asked = ask(
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"at": "Rome", "n": 1.0}},
                {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
            ],
        },
        user(
            {"type": "tool_result", "tool_use_id": "t1", "content": "Sun"},
            {
                "type": "tool_result",
                "tool_use_id": "t2",
                "content": [
                    {"type": "text", "text": "Map:"},
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/m.png"}},
                ],
            },
            {"type": "text", "text": "And?"},
        ),
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    assert asked["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"at":"Rome","n":1.0}'}},
                {"id": "t2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "Sun", "tool_call_id": "t1"},
        {"role": "tool", "content": "Map:", "tool_call_id": "t2"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://example.com/m.png"}},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    function = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == ("required", False)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_a_tool_is_kept(choice: dict[str, Any], said: object) -> None:
    assert ask(tools=[WEATHER], tool_choice=choice)["tool_choice"] == said


def test_schema_effort_and_sampling_are_kept() -> None:
    asked = ask(
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        thinking={"type": "enabled", "budget_tokens": 5000},
        temperature=0.5,
        top_k=3,
        stop_sequences=["END"],
    )
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert asked["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert (asked["reasoning_effort"], asked["temperature"], asked["top_k"], asked["stop"]) == (
        "medium",
        0.5,
        3,
        ["END"],
    )


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": [{"type": "url", "url": "https://example.com"}]},
        {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
        {"messages": [user({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})]},
    ],
)
def test_what_only_anthropic_can_do_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(NotTranslatable):
        ask(**more)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"m"}', b'{"model":"m","max_tokens":1,"messages":[]}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest if body == b"{" else ValidationFailed):
        Messages().read(body)


def test_an_answer_with_reasoning_and_calls_becomes_blocks() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
    message = {"role": "assistant", "reasoning_content": "Hm.", "content": "Wait.", "tool_calls": [call]}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    assert answer(message, "tool_calls", usage=usage) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "Wait."},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"at": "Rome"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
        },
    }


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_why_an_answer_ended_is_told(finish: str, reason: str) -> None:
    assert answer({"content": "x"}, finish)["stop_reason"] == reason


def test_arguments_that_are_no_json_are_kept_as_text() -> None:
    exchange = Messages().read(b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}]}')
    call = {"id": "c1", "function": {"name": "weather", "arguments": '{"at": "Ro'}}
    data = msgspec.json.encode({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "length"}]})
    (block,) = whole(exchange, data, Usage())["content"]
    assert block["input"] == {"arguments": '{"at": "Ro'}


def test_a_failure_in_a_stream_is_anthropics_error_event() -> None:
    body = error_body(BackendUnavailable("It broke."), path="/v1/messages", turn_id="t")
    (event,) = events(Messages().stream(id="1").fail(body))
    assert event == {
        "type": "error",
        "error": {"type": "api_error", "message": "It broke."},
        "code": "backend_unavailable",
        "turn_id": "t",
    }

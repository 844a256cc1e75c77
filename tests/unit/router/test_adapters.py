"""How providers of each kind are asked, and what their answers say; the recordings show the rest."""

import base64
from typing import Any

import msgspec
import pytest

from aibox.core.errors import BadRequest, ValidationFailed
from aibox.router import NotTranslatable
from aibox.router.adapters.known import ADAPTERS
from aibox.router.dialects.chat import MalformedError
from aibox.router.dialects.completions import ChatCompletions
from aibox.router.dialects.parts import Begun, Ended, Grown, Step

PDF = "data:application/pdf;base64,AAAA"
TEXT = "data:text/plain;charset=utf-8;base64," + base64.b64encode("Grüße".encode()).decode()


def asked(adapter: str, *messages: dict[str, Any], limit: int | None = None, **more: Any) -> dict[str, Any]:
    """What a provider is sent for a Chat Completions request."""
    given = messages or ({"role": "user", "content": "?"},)
    exchange = ChatCompletions().read(msgspec.json.encode({"model": "m", "messages": given, **more}))
    tokens = None if limit is None else ("max_tokens", limit)
    body: dict[str, Any] = msgspec.json.decode(
        ADAPTERS[adapter].asked(exchange.request, model="theirs", stream=True, limit=tokens)
    )
    return body


def passed(adapter: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(
        ADAPTERS[adapter].passed(msgspec.json.encode({"model": "m", **body}), model="theirs", stream=False)
    )
    return found


def steps(adapter: str, *events: dict[str, Any]) -> list[Step]:
    reading = ADAPTERS[adapter].reading()
    told: list[Step] = []
    for event in events:
        reading.take(msgspec.json.encode(event))
        told += reading.steps()
    return [*told, *reading.end()]


def call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_anthropic_is_asked_in_turns_that_alternate_with_results_first() -> None:
    body = asked(
        "anthropic_messages",
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "", "tool_calls": [call("functions.f:0", '{"a":1}'), call("b", "no JSON")]},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Two"},
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    calls = [(block["id"], block["input"]) for block in body["messages"][1]["content"]]
    assert calls == [("functions_f_0", {"a": 1}), ("b", {"arguments": "no JSON"})]
    kinds = [block.get("tool_use_id", block["type"]) for block in body["messages"][2]["content"]]
    assert kinds == ["functions_f_0", "b", "text"]
    assert (body["model"], body["max_tokens"], body["stream"]) == ("theirs", 8192, True)


def test_anthropic_reads_images_pdf_and_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB"}}
    files = [{"type": "file", "file": {"file_data": data, "filename": "f"}} for data in (PDF, TEXT)]
    link = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    (turn,) = asked("anthropic_messages", {"role": "user", "content": [image, *files, link]})["messages"]
    sources = [block["source"] for block in turn["content"]]
    assert sources == [
        {"type": "base64", "media_type": "image/png", "data": "BBBB"},
        {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        {"type": "text", "media_type": "text/plain", "data": "Grüße"},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        ("required", None, {"type": "any"}),
        ("none", None, {"type": "none"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"type": "function", "function": {"name": "f"}},
            False,
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
        (None, None, None),
    ],
)
def test_anthropic_is_told_which_tool_to_choose(choice: Any, parallel: bool | None, expected: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = asked("anthropic_messages", tools=tools, tool_choice=choice, parallel_tool_calls=parallel)
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body.get("tool_choice") == expected


@pytest.mark.parametrize(
    ("adapter", "more"),
    [
        ("anthropic_messages", {"response_format": {"type": "json_object"}}),
        ("responses", {"stop": "END"}),
        ("responses", {"n": 2}),
        ("responses", {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}),
        ("responses", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
    ],
)
def test_what_a_provider_cannot_be_told_is_refused(adapter: str, more: dict[str, Any]) -> None:
    with pytest.raises(NotTranslatable):
        asked(adapter, **more)


def test_members_without_a_counterpart_are_named() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "?"}],
        "seed": 1,
        "logit_bias": {},
        "user": "u",
        "x": [1],
    }
    assert ChatCompletions().read(msgspec.json.encode(body)).omitted == ("seed", "x")


def test_responses_is_asked_without_a_store_and_not_strictly() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "F."}}]
    said = {"role": "assistant", "content": "Yes.", "tool_calls": [call("a")]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    body = asked("responses", {"role": "user", "content": "?"}, said, result, tools=tools, limit=50)
    assert (body["store"], body["max_output_tokens"]) == (False, 50)
    assert body["tools"][0]["strict"] is False
    assert body["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "?"}]},
        {"type": "message", "role": "assistant", "content": "Yes."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
    ]


@pytest.mark.parametrize(
    ("adapter", "body"),
    [
        ("responses", {"input": "?", "previous_response_id": "resp_1"}),
        ("responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]}),
        ("responses", {"input": "?", "tools": [{"type": "mcp", "server_url": "https://example.com"}]}),
        ("responses", {"input": "?", "background": True}),
        ("anthropic_messages", {"messages": [], "mcp_servers": [{"url": "https://example.com"}]}),
        ("anthropic_messages", {"messages": [], "container": "c1"}),
        ("anthropic_messages", {"messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (
            "anthropic_messages",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
        ),
    ],
)
def test_what_the_guardrail_could_not_see_does_not_pass(adapter: str, body: dict[str, Any]) -> None:
    with pytest.raises(NotTranslatable):
        passed(adapter, **body)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused_with_a_code(adapter: str, body: bytes) -> None:
    with pytest.raises((BadRequest, ValidationFailed)):
        ADAPTERS[adapter].passed(body, model="m", stream=True)


def test_a_tool_that_the_client_runs_passes() -> None:
    tools = [{"type": "bash_20250124", "name": "bash"}]
    assert passed("anthropic_messages", messages=[], tools=tools)["tools"] == tools
    assert passed("responses", input="?", tools=[{"type": "local_shell"}])["tools"] == [{"type": "local_shell"}]


def test_items_that_come_mixed_are_told_one_after_the_other() -> None:
    def added(index: int) -> dict[str, Any]:
        item = {"type": "function_call", "call_id": f"c{index}", "name": "f", "arguments": ""}
        return {"type": "response.output_item.added", "output_index": index, "item": item}

    def delta(index: int, text: str) -> dict[str, Any]:
        return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": text}

    def done(index: int, text: str) -> dict[str, Any]:
        item = {"type": "function_call", "call_id": f"c{index}", "name": "f", "arguments": text}
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    told = steps(
        "responses",
        added(0),
        added(1),
        delta(1, "{1"),
        delta(0, "{0"),
        delta(1, "}"),
        done(1, "{1}"),
        delta(0, "}"),
        done(0, "{0}"),
    )
    assert told == [
        Begun(number=0, kind="tool", id="c0", name="f"),
        Grown(text="{0"),
        Grown(text="}"),
        Ended(),
        Begun(number=1, kind="tool", id="c1", name="f"),
        Grown(text="{1"),
        Grown(text="}"),
        Ended(),
    ]


def test_what_comes_only_whole_is_told_once() -> None:
    part = {"type": "output_text", "text": "All at once."}
    item = {"type": "message", "content": [part]}
    ended = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    told = steps("responses", {"type": "response.output_item.done", "output_index": 0, "item": item}, ended)
    assert told == [Begun(number=0, kind="text"), Grown(text="All at once."), Ended()]
    assert steps("responses", ended) == told


def test_thoughts_in_several_summaries_are_one_with_blank_lines() -> None:
    def delta(summary: int, text: str) -> dict[str, Any]:
        return {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": summary,
            "delta": text,
        }

    told = steps("responses", delta(0, "First."), delta(1, "Then"), delta(1, " more."))
    assert "".join(step.text for step in told if isinstance(step, Grown)) == "First.\n\nThen more."


def test_what_is_new_to_anthropics_stream_is_skipped() -> None:
    told = steps(
        "anthropic_messages",
        {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "hologram", "shape": 1}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta", "angle": 2}},
        {"type": "content_block_stop", "index": 0},
        {"type": "sunrise", "at": 6},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_stop", "index": 1},
    )
    assert told == [Begun(number=0, kind="text"), Grown(text="Hi"), Ended()]


@pytest.mark.parametrize(
    ("adapter", "event"),
    [
        ("anthropic_messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        ("anthropic_messages", {"error": {"message": "Overloaded"}}),
        ("responses", {"type": "error", "message": "Overloaded"}),
        ("responses", {"error": {"message": "Overloaded"}}),
        ("responses", {"type": "response.failed", "response": {"error": {"message": "Overloaded"}}}),
        ("responses", {"object": "response", "status": "failed", "error": {"message": "Overloaded"}, "output": []}),
        ("chat_completions", {"error": {"message": "Overloaded"}}),
    ],
)
def test_an_error_is_read_in_the_providers_words(adapter: str, event: dict[str, Any]) -> None:
    assert ADAPTERS[adapter].reading().take(msgspec.json.encode(event)).error == "Overloaded"


@pytest.mark.parametrize("adapter", ["anthropic_messages", "responses"])
@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b"null", b'{"type": 7}', b"\xff"])
def test_what_is_neither_event_nor_answer_is_malformed(adapter: str, data: bytes) -> None:
    with pytest.raises(MalformedError):
        ADAPTERS[adapter].reading().take(data)


@pytest.mark.parametrize("adapter", ["anthropic_messages", "responses"])
def test_done_does_not_make_an_answer_whole_that_did_not_end(adapter: str) -> None:
    reading = ADAPTERS[adapter].reading()
    assert reading.take(b"[DONE]").is_last
    assert not reading.is_complete

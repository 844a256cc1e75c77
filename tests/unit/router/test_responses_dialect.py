"""OpenAI's Responses as Chat Completions, and back."""

from typing import Any

import msgspec
import pytest

from aibox.core.errors import BadRequest, ValidationFailed, error_body
from aibox.observability import Usage
from aibox.router import BackendUnavailable, Chunk, NotTranslatable
from aibox.router.dialects.exchange import Exchange
from aibox.router.dialects.responses import Responses
from tests.unit.router.recordings import events, response_of
from tests.unit.router.replay import request_of, streamed, whole

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


def exchange(**more: Any) -> Exchange:
    return Responses().read(msgspec.json.encode({"model": "m", "input": "?", **more}))


def ask(**more: Any) -> dict[str, Any]:
    return request_of(exchange(**more))


def answer(message: dict[str, Any], finish: str = "stop", *, asked: Exchange | None = None, **more: Any) -> Any:
    """The response, which its stream tells alike."""
    asked = asked or exchange()
    choice = {"index": 0, "message": message, "finish_reason": finish}
    data = msgspec.json.encode({"model": "x", "created": 7, "choices": [choice], **more})
    usage = Usage(input_tokens=3, output_tokens=4)
    told = response_of(events(streamed("responses", asked, [data], usage)))
    assert {**told, "completed_at": 0} == {**whole(asked, data, usage), "completed_at": 0}
    return told


def test_instructions_and_developers_words_are_one_system_message() -> None:
    asked = ask(
        instructions="Be brief.",
        input=[
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "Be kind."}, {"type": "input_text", "text": "Be honest."}],
            },
            {"role": "user", "content": "?"},
        ],
    )
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind.\n\nBe honest."},
        {"role": "user", "content": "?"},
    ]


def test_images_and_files_become_parts() -> None:
    content = [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB=="},
    ]
    (message,) = ask(input=[{"role": "user", "content": content}])["messages"]
    assert message["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BB=="}},
    ]


def test_parallel_calls_are_one_message_and_their_results_follow_it() -> None:
    asked = ask(
        input=[
            {"role": "user", "content": "Weather?"},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}]},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": '{"at": "Rome"}'},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "b", "output": "Rain"},
            {"role": "user", "content": "And?"},
            {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "Sun"}]},
        ],
        tools=[WEATHER],
    )
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "tool", "tool", "user"]
    assert asked["messages"][1] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        ],
    }
    assert asked["messages"][2] == {"role": "tool", "content": "Sun", "tool_call_id": "a"}
    function = {"name": "weather", "parameters": {"type": "object"}, "strict": True}
    assert asked["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("required", "required"),
        ({"type": "function", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}, "required"),
    ],
)
def test_the_choice_of_a_tool_is_kept(choice: object, said: object) -> None:
    asked = ask(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == (said, False)


def test_schema_effort_and_limits_are_kept() -> None:
    asked = exchange(
        text={"format": {"type": "json_schema", "name": "P", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=50,
        top_p=0.5,
    )
    body = request_of(asked)
    schema = {"name": "P", "schema": {"type": "object"}, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert (body["reasoning_effort"], body["top_p"], asked.max_tokens) == ("low", 0.5, 50)


def test_tools_that_openai_runs_are_left_out_and_named() -> None:
    asked = exchange(tools=[WEATHER, {"type": "web_search"}])
    assert asked.omitted == ("web_search",)
    assert len(request_of(asked)["tools"]) == 1
    assert answer({"content": "x"}, asked=asked)["tools"] == [WEATHER]


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://example.com"}]},
        {"tool_choice": {"type": "web_search"}},
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
    ],
)
def test_what_only_openai_can_do_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(NotTranslatable):
        exchange(**more)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"input":"?"}', b'{"model":"m"}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest if body == b"{" else ValidationFailed):
        Responses().read(body)


def test_an_answer_with_reasoning_and_calls_becomes_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
    message = {"role": "assistant", "reasoning_content": "Hm.", "content": "Wait.", "tool_calls": [call]}
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    response = answer(message, "tool_calls", usage=usage)
    text = {"type": "output_text", "text": "Wait.", "annotations": [], "logprobs": []}
    assert response["output"] == [
        {"id": "rs_1_0", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"id": "msg_1_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]},
        {
            "id": "fc_1_2",
            "type": "function_call",
            "status": "completed",
            "arguments": '{"at": "Rome"}',
            "call_id": "c1",
            "name": "weather",
        },
    ]
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "completed", "x")
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_an_answer_that_was_cut_is_incomplete() -> None:
    response = answer({"content": "x"}, "length")
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"


def test_a_refusal_is_told_as_one() -> None:
    (item,) = answer({"content": None, "refusal": "No."})["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "No."}]


def test_tools_in_groups_and_of_plain_text_come_back_as_they_were_offered() -> None:
    asked = exchange(
        tools=[
            {"type": "namespace", "name": "files", "description": "Files.", "tools": [{**WEATHER, "name": "read"}]},
            {"type": "custom", "name": "patch", "format": {"type": "grammar"}},
        ]
    )
    names = [tool["function"]["name"] for tool in request_of(asked)["tools"]]
    assert names == ["files__read", "patch"]
    calls = [
        {"index": 0, "id": "a", "function": {"name": "files__read", "arguments": "{}"}},
        {"index": 1, "id": "b", "function": {"name": "patch", "arguments": '{"input": "*** Begin\\n"}'}},
    ]
    read, patch = answer({"tool_calls": calls}, "tool_calls", asked=asked)["output"]
    assert (read["type"], read["namespace"], read["name"]) == ("function_call", "files", "read")
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", "*** Begin\n")


def test_probabilities_of_tokens_are_kept() -> None:
    token = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}
    asked = exchange(top_logprobs=1)
    body = request_of(asked)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 1)
    choice = {"message": {"content": "x"}, "logprobs": {"content": [token]}, "finish_reason": "stop"}
    told = whole(asked, msgspec.json.encode({"choices": [choice]}), Usage())
    assert told["output"][0]["content"][0]["logprobs"] == [token]


def test_a_failure_in_a_stream_is_an_error_and_a_failed_response() -> None:
    stream = Responses().stream(id="1")
    stream.push(Chunk(b'{"type":"response.created","sequence_number":0}', event="response.created"))
    told = events(stream.fail(error_body(BackendUnavailable("It broke."), path="/v1/responses", turn_id="t")))
    assert [event["type"] for event in told] == ["error", "response.failed"]
    assert (told[0]["code"], told[0]["message"], told[0]["turn_id"]) == ("backend_unavailable", "It broke.", "t")
    assert told[0]["error"]["message"] == "It broke."
    assert told[1]["response"]["error"] == {"code": "backend_unavailable", "message": "It broke."}
    assert [event["sequence_number"] for event in told] == [1, 2]

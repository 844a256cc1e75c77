"""Tools for models that have none: what they are told, and what is read out of what they write."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.router.adapters.known import ADAPTERS
from aibox.router.dialects.completions import ChatCompletions
from aibox.router.dialects.exchange import Exchange
from aibox.router.shim import ShimReading, names_of, shimmed

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}
ROME = '{"name": "weather", "arguments": {"at": "Rome {or} \\"Roma\\""}}'
ARGUMENTS = {"at": 'Rome {or} "Roma"'}


def exchange(*messages: dict[str, Any], **more: Any) -> Exchange:
    asked = messages or ({"role": "user", "content": "How is Rome?"},)
    return ChatCompletions().read(msgspec.json.encode({"model": "m", "messages": asked, "tools": [WEATHER], **more}))


def asked(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    request: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shimmed(exchange(*messages, **more).request)))
    return request


def answer(*pieces: str, finish: str = "stop") -> dict[str, Any]:
    """The message that a model's text comes to, told in chunks."""
    one = exchange()
    reading = ShimReading(ADAPTERS["chat_completions"].reading(), names_of(one.request))
    writer = one.writer(reading.told, id="1", wants_usage=True)
    chunks = []
    for piece in pieces:
        reading.take(msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": piece}}]}))
        chunks += writer.write(reading.steps())
    reading.take(msgspec.json.encode({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    chunks += [*writer.write(reading.steps()), *writer.close(reading.end(), None)]
    message: dict[str, Any] = {"content": "", "calls": [], "pieces": 0, "finish": None}
    for chunk in chunks:
        for choice in msgspec.json.decode(chunk.data)["choices"]:
            message["content"] += choice["delta"].get("content") or ""
            message["finish"] = choice["finish_reason"] or message["finish"]
            for call in choice["delta"].get("tool_calls", ()):
                if "id" in call:
                    message["calls"].append({"name": call["function"]["name"], "arguments": ""})
                message["calls"][call["index"]]["arguments"] += call["function"]["arguments"]
                message["pieces"] += 1
    return message


def test_a_model_without_tools_is_told_of_them_in_its_orders() -> None:
    request = asked({"role": "system", "content": "Be brief."}, {"role": "user", "content": "How is Rome?"})
    system = request["messages"][0]["content"]
    assert system.startswith("Be brief.\n\n")
    assert '"name":"weather"' in system
    assert "tools" not in request
    assert "response_format" not in request


def test_a_tool_that_must_be_called_is_held_to_its_schema() -> None:
    request = asked(tool_choice="required")
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"name": {"const": "weather"}, "arguments": WEATHER["function"]["parameters"]}
    assert "must use a tool" in request["messages"][0]["content"]


def test_no_tool_is_told_where_none_may_be_called() -> None:
    assert [message["role"] for message in asked(tool_choice="none")["messages"]] == ["user"]


def test_earlier_calls_and_results_are_told_in_words() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at":"Rome"}'}}
    request = asked(
        {"role": "user", "content": "How is Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sun"},
        {"role": "user", "content": "And Oslo?"},
    )
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "user"]
    assert request["messages"][2]["content"] == '{"name":"weather","arguments":{"at":"Rome"}}'
    assert request["messages"][3]["content"] == "<tool_response>\nSun\n</tool_response>\nAnd Oslo?"


@pytest.mark.parametrize(
    "text",
    [
        ROME,
        f"\n {ROME} \n",
        f"<tool_call>\n{ROME}\n</tool_call>",
        f"```json\n{ROME}\n```",
        ROME.replace("arguments", "parameters"),
        '{"arguments": {"at": "Rome {or} \\"Roma\\""}, "name": "weather"}',
    ],
    ids=["bare", "blanks", "tagged", "fenced", "parameters", "other order"],
)
def test_a_call_is_read_however_it_is_wrapped_and_cut(text: str) -> None:
    for pieces in ([text], list(text), [text[:17], text[17:40], text[40:]]):
        told = answer(*pieces)
        assert [call["name"] for call in told["calls"]] == ["weather"]
        assert msgspec.json.decode(told["calls"][0]["arguments"]) == ARGUMENTS
        assert (told["content"], told["finish"]) == ("", "tool_calls")


def test_arguments_are_told_as_they_come() -> None:
    assert answer(*ROME)["pieces"] > 20


@pytest.mark.parametrize("text", [f"{ROME}\n{ROME}", f"[{ROME}, {ROME}]", f"<tool_call>{ROME}</tool_call>" * 2])
def test_several_calls_are_several(text: str) -> None:
    for pieces in ([text], list(text)):
        assert len(answer(*pieces)["calls"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Rome.",
        '{"answer": 42}',
        '{"name": "unknown", "arguments": {"at": "Rome"}}',
        "1 < 2 and <b>bold</b>",
        "{" + "x" * 400,
        "```python\nprint(1)\n```",
    ],
)
def test_what_is_no_call_is_words(text: str) -> None:
    for pieces in ([text], list(text)):
        told = answer(*pieces)
        assert (told["content"], told["calls"], told["finish"]) == (text, [], "stop")


def test_words_before_a_tagged_call_stay_words() -> None:
    told = answer(*f"Let me see. <tool_call>{ROME}</tool_call>")
    assert (told["content"], len(told["calls"])) == ("Let me see. ", 1)


def test_a_call_that_was_cut_is_told_as_far_as_it_came() -> None:
    told = answer(ROME[:50], finish="length")
    assert (told["calls"][0]["arguments"], told["finish"]) == (ROME[ROME.index('{"at') : 50], "length")


@given(st.text(st.sampled_from('{}[]"\\<>/`, \ntool_call:nameargs'), max_size=60), st.integers(1, 9))
def test_no_text_of_a_model_breaks_the_reader_or_depends_on_its_pieces(text: str, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    told, whole = answer(*pieces), answer(text)
    assert (told["content"], told["calls"]) == (whole["content"], whole["calls"])

"""The recorded interactions with real providers, and what a stream of each dialect must be to be whole."""

import gzip
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.unit.router.test_sse import shared_data


def recorded(address: str) -> list[dict[str, Any]]:
    """The interactions with a URL that has `address` in it; skips the test where the recordings are not here."""
    path = shared_data() / "llm-interactions.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the recordings are not here: {path.name} (set AIBOX_SHARED_DATA)")
    with gzip.open(path, "rb") as lines:
        items = [msgspec.json.decode(line) for line in lines if address.encode() in line]
    return [item for item in items if address in item["url"] and item["method"] == "POST"]


def body_of(value: object) -> bytes:
    """A recorded body as bytes; some were recorded as JSON values."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream; each names its type twice, alike."""
    told = []
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, payload = frame.split("\n")
        event = msgspec.json.decode(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        told.append(event)
    return told


def message_of(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream of Anthropic's events adds up to. Fails unless each event stands where it may."""
    told = [event for event in told if event["type"] != "ping"]
    assert told[0]["type"] == "message_start"
    assert [event["type"] for event in told[-2:]] == ["message_delta", "message_stop"]
    message = {**told[0]["message"], **told[-2]["delta"], "usage": {**told[0]["message"]["usage"], **told[-2]["usage"]}}
    blocks: list[dict[str, Any]] = []
    inputs: list[str] = []
    is_open = False
    for event in told[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(blocks)
                blocks.append(dict(event["content_block"]))
                inputs.append("")
                is_open = True
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(blocks) - 1
                delta = event["delta"]
                match (blocks[-1]["type"], delta["type"]):
                    case ("text", "text_delta") | ("thinking", "thinking_delta"):
                        blocks[-1][blocks[-1]["type"]] += delta[blocks[-1]["type"]]
                    case ("tool_use", "input_json_delta"):
                        inputs[-1] += delta["partial_json"]
                    case mixed:
                        raise AssertionError(mixed)
            case "content_block_stop":
                assert is_open
                assert event["index"] == len(blocks) - 1
                is_open = False
            case other:
                raise AssertionError(other)
    assert not is_open
    for block, text in zip(blocks, inputs, strict=True):
        if block["type"] == "tool_use":
            block["input"] = msgspec.json.decode(text or "{}")
    return {**message, "content": blocks}


PARTS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


def response_of(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The response that a stream of OpenAI's events ends with. Fails unless the events before add up to it."""
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert [event["type"] for event in told[:2]] == ["response.created", "response.in_progress"]
    response: dict[str, Any] = told[-1]["response"]
    assert told[-1]["type"] == f"response.{response['status']}"
    items: list[dict[str, Any]] = []
    for item in _items(told[2:-1]):
        assert item[0]["type"] == "response.output_item.added"
        assert item[-1]["type"] == "response.output_item.done"
        assert {event["output_index"] for event in item} == {len(items)}
        added, done = item[0]["item"], item[-1]["item"]
        assert (added["id"], added["type"]) == (done["id"], done["type"])
        assert {event["item_id"] for event in item[1:-1]} == {done["id"]}
        name = next(event["type"] for event in reversed(item) if event["type"].removesuffix(".done") in PARTS)[:-5]
        (whole,) = [event[PARTS[name]] for event in item if event["type"] == f"{name}.done"]
        assert "".join(event["delta"] for event in item if event["type"] == f"{name}.delta") == whole
        holder = done["content"][0] if done.get("content") else done
        assert holder[PARTS[name]] == whole
        items.append(done)
    assert response["output"] == items
    return response


def _items(told: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    item: list[dict[str, Any]] = []
    for event in told:
        item.append(event)
        if event["type"] == "response.output_item.done":
            yield item
            item = []
    assert not item

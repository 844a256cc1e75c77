"""What an answer says, read independently of the product: in three dialects, whole and streamed.

Nothing here uses the product's readers. Two answers are the same when their gists are.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

ENDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
    "function_call": "tool_calls",
}
"""Why an answer ended, in Chat Completions' words."""


class Gist(Struct, frozen=True):
    """`said` tells the order of kinds; `tokens` are (in, out), None where the provider did not tell them."""

    text: str
    reasoning: str
    calls: tuple[tuple[str, str, str], ...]
    """(id, name, arguments)"""
    said: tuple[str, ...]
    end: str
    tokens: tuple[int, int] | None


class Notes:
    """Collects an answer's parts."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str]] = []
        self.calls: dict[object, list[str]] = {}
        self.end = ""
        self.tokens: tuple[int, int] | None = None

    def say(self, kind: str, text: object) -> None:
        if isinstance(text, str) and text:
            self.parts.append((kind, text))

    def call(self, key: object, id: object, name: object, arguments: object) -> None:
        if key not in self.calls:
            self.calls[key] = ["", "", ""]
            self.parts.append(("call", ""))
        known = self.calls[key]
        known[0] = known[0] or str(id or "")
        known[1] = known[1] or str(name or "")
        known[2] += arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)

    def gist(self) -> Gist:
        kinds = [kind for kind, _ in self.parts]
        return Gist(
            text="".join(text for kind, text in self.parts if kind == "text"),
            reasoning="".join(text for kind, text in self.parts if kind == "reasoning").replace("\n\n", ""),
            calls=tuple((id, name, _arguments(given)) for id, name, given in self.calls.values()),
            said=tuple(kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind),
            end=ENDS.get(self.end, self.end if self.end in ENDS.values() else "stop"),
            tokens=self.tokens,
        )


def _arguments(text: str) -> str:
    """Arguments compared by what they mean: Messages has them as an object, the others as text."""
    try:
        return json.dumps(json.loads(text or "{}"), sort_keys=True)
    except json.JSONDecodeError:
        return text


def of_chat(bodies: Iterable[dict[str, Any]]) -> Gist:
    """Of a Chat Completions answer, or of its chunks."""
    notes = Notes()
    latest: dict[object, object] = {}
    for body in bodies:
        usage = body.get("usage") or {}
        if usage.get("prompt_tokens") is not None or usage.get("completion_tokens") is not None:
            notes.tokens = (usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
        for choice in body.get("choices") or []:
            if choice.get("index"):
                continue
            message = choice.get("delta") or choice.get("message") or {}
            for member in ("reasoning_content", "reasoning"):
                if isinstance(message.get(member), str) and message[member]:
                    notes.say("reasoning", message[member])
                    break
            content = message.get("content")
            for part in content if isinstance(content, list) else [content]:
                if isinstance(part, dict) and part.get("type") == "thinking":
                    for thought in part.get("thinking") or ():
                        notes.say("reasoning", thought.get("text"))
                else:
                    notes.say("text", part.get("text") if isinstance(part, dict) else part)
            notes.say("text", message.get("refusal"))
            for number, call in enumerate(message.get("tool_calls") or ()):
                index = call.get("index", number)
                function = call.get("function") or {}
                if call.get("id") and function.get("name"):
                    latest[index] = (index, call["id"])
                notes.call(latest.get(index, index), call.get("id"), function.get("name"), function.get("arguments"))
            if message.get("function_call"):
                function = message["function_call"]
                notes.call(0, "", function.get("name"), function.get("arguments"))
            notes.end = choice.get("finish_reason") or notes.end
    return notes.gist()


def of_message(message: dict[str, Any]) -> Gist:
    """Of a whole message of Anthropic's."""
    notes = Notes()
    for number, block in enumerate(message["content"]):
        match block["type"]:
            case "text":
                notes.say("text", block["text"])
            case "thinking":
                notes.say("reasoning", block["thinking"])
            case "tool_use":
                notes.call(number, block["id"], block["name"], json.dumps(block["input"]))
    notes.end = message["stop_reason"]
    usage = message["usage"]
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    notes.tokens = (usage["input_tokens"] + cached, usage["output_tokens"])
    return notes.gist()


def of_message_events(events: Iterable[dict[str, Any]]) -> Gist:
    """Of Anthropic's events, put together to a message first."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                delta, block = event["delta"], message["content"][event["index"]]
                for member in ("text", "thinking"):
                    if member in delta:
                        block[member] = (block.get(member) or "") + delta[member]
                inputs[event["index"]] = inputs.get(event["index"], "") + delta.get("partial_json", "")
            case "message_delta":
                message |= event["delta"]
                told = {name: value for name, value in event["usage"].items() if value is not None}
                message["usage"] = {**message["usage"], **told}
    for index, text in inputs.items():
        if text and message["content"][index]["type"] == "tool_use":
            try:
                message["content"][index]["input"] = json.loads(text)
            except json.JSONDecodeError:  # cut by a limit
                message["content"][index]["input"] = {"arguments": text}
    return of_message(message)


def of_response(response: dict[str, Any]) -> Gist:
    """Of a whole response of OpenAI's."""
    notes = Notes()
    for number, item in enumerate(response["output"]):
        match item["type"]:
            case "message":
                for content in item["content"]:
                    notes.say("text", content.get("text") or content.get("refusal"))
            case "reasoning":
                for part in item.get("summary") or item.get("content") or ():
                    notes.say("reasoning", part["text"])
            case "function_call":
                notes.call(number, item["call_id"], item["name"], item["arguments"])
            case "custom_tool_call":
                notes.call(number, item["call_id"], item["name"], json.dumps({"input": item["input"]}))
    why = (response.get("incomplete_details") or {}).get("reason")
    ended = {"max_output_tokens": "length", "content_filter": "content_filter"}
    notes.end = ended[why] if why else "tool_calls" if notes.calls else "stop"
    usage = response.get("usage")
    notes.tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return notes.gist()


def of_response_events(events: Iterable[dict[str, Any]]) -> Gist:
    """Of OpenAI's events: the response they end with, which what came in pieces must add up to."""
    pieces: dict[tuple[str, Any, Any], list[str]] = {}
    wholes: dict[tuple[str, Any, Any], str] = {}
    ended: dict[str, Any] | None = None
    for event in events:
        stem, _, ending = event["type"].rpartition(".")
        place = (stem, event.get("output_index"), event.get("content_index", event.get("summary_index")))
        if ending == "delta" and isinstance(event["delta"], str):
            pieces.setdefault(place, []).append(event["delta"])
        elif ending == "done":
            whole = next((event[name] for name in ("text", "refusal", "arguments", "input") if name in event), None)
            if isinstance(whole, str):
                wholes[place] = whole
        elif ending in ("completed", "incomplete", "failed") and "response" in event:
            ended = event["response"]
    assert ended is not None
    for place, told in pieces.items():
        assert "".join(told) == wholes.get(place, "".join(told)), place
    return of_response(ended)


WHOLE: dict[str, Callable[[dict[str, Any]], Gist]] = {
    "chat_completions": lambda body: of_chat([body]),
    "messages": of_message,
    "responses": of_response,
}
STREAM: dict[str, Callable[[Iterable[dict[str, Any]]], Gist]] = {
    "chat_completions": of_chat,
    "messages": of_message_events,
    "responses": of_response_events,
}

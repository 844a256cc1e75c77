"""Replays one recording through one pair, and raises AssertionError where something was lost, moved or miscounted."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

import anthropic.types.message_create_params
import msgspec
import openai.types.chat.completion_create_params
import openai.types.responses.response_create_params
import pydantic

from aibox.core.errors import AIBoxError
from aibox.observability import Usage
from aibox.router.adapters.known import ADAPTERS
from aibox.router.adapters.port import Adapter
from aibox.router.dialects import chat, embeddings, sse
from aibox.router.dialects.spoken import DIALECTS, TRANSLATABLE
from tests.conformance.corpus import Recording, payloads
from tests.conformance.gist import STREAM, WHOLE, Gist
from tests.unit.router.replay import chunks, read_all, sent, whole

ADAPTER_OF: dict[str, str] = {adapter.dialect: name for name, adapter in ADAPTERS.items()}
CHANGED = {"model", "stream", "stream_options", "store"}
"""Members of a request that the router sets on its way to who speaks the client's dialect."""

ANY = {
    "chat_completions": b'{"model":"m","messages":[{"role":"user","content":"?"}]}',
    "messages": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}]}',
    "responses": b'{"model":"m","input":"?"}',
}

_REQUESTS: dict[str, pydantic.TypeAdapter[Any]] = {
    "chat_completions": pydantic.TypeAdapter(
        openai.types.chat.completion_create_params.CompletionCreateParamsNonStreaming
    ),
    "responses": pydantic.TypeAdapter(openai.types.responses.response_create_params.ResponseCreateParamsNonStreaming),
    "anthropic_messages": pydantic.TypeAdapter(anthropic.types.message_create_params.MessageCreateParamsNonStreaming),
}


def is_answer(recording: Recording) -> bool:
    """Whether the provider answered, and did not report an error under 200."""
    if recording.status != 200 or recording.spoken not in DIALECTS:
        return False
    told = payloads(recording.body) if recording.is_stream else [recording.body]
    try:
        bodies = _decoded(told)
    except msgspec.DecodeError:
        return False
    return bool(bodies) and not any(body.get("error") for body in bodies)


def choices(recording: Recording) -> int:
    """How many answers it holds: `n` of Chat Completions."""
    if recording.spoken != "chat_completions":
        return 1
    found = payloads(recording.body) if recording.is_stream else [recording.body]
    seen = [chat.read(data) for data in found if data != chat.DONE]
    return len({index for item in seen for index in (*item.open, *item.finished)})


def replay_answer(recording: Recording, out: str) -> None:
    """Tell the recorded answer in the dialect `out`, and compare what it says with what was recorded."""
    adapter = ADAPTER_OF[recording.spoken]
    told = payloads(recording.body) if recording.is_stream else [recording.body]
    _require_same_meter(recording, told)
    exchange = TRANSLATABLE[out].read(ANY[out])
    if recording.is_stream:
        events = sent(out, chunks(exchange, told, None, adapter=adapter))
        given = STREAM[out](_decoded(payloads(events)))
    else:
        _, usage, _ = read_all(ADAPTERS[adapter].reading(), told)
        given = WHOLE[out](whole(exchange, recording.body, usage or Usage(), adapter=adapter))
    _require_same(given, _expected(recording, told), recording, out)


def _expected(recording: Recording, told: list[bytes]) -> Gist:
    if recording.is_stream:
        return STREAM[recording.spoken](_decoded(told))
    return WHOLE[recording.spoken](msgspec.json.decode(recording.body))


def _decoded(told: Iterable[bytes]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in told if data != chat.DONE]


def _require_same_meter(recording: Recording, told: list[bytes]) -> None:
    """What the meter counts and the log keeps is what the provider said."""
    reading = ADAPTERS[ADAPTER_OF[recording.spoken]].reading()
    transcript, usage, _ = read_all(reading, told)
    assert reading.is_complete or not recording.is_stream
    expected = _expected(recording, told)
    if expected.tokens is not None:
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == expected.tokens
    if choices(recording) == 1:
        assert transcript.text == expected.text
        assert [call["name"] for call in transcript.tool_calls] == [name for _, name, _ in expected.calls]


def _require_same(given: Gist, expected: Gist, recording: Recording, out: str) -> None:
    assert given.text == expected.text
    assert given.reasoning == expected.reasoning
    assert [name for _, name, _ in given.calls] == [name for _, name, _ in expected.calls]
    for (id, _, arguments), (known, _, meant) in zip(given.calls, expected.calls, strict=True):
        assert id == known or not known
        assert arguments in (meant, json.dumps({"arguments": meant}))
    # A call ends an answer, whatever the provider calls that.
    is_usual = expected.end not in ("length", "content_filter")
    assert given.end in ({"stop", "tool_calls"} if is_usual and expected.calls else {expected.end})
    if expected.tokens is not None:
        assert given.tokens == expected.tokens
    if recording.is_stream or out != "chat_completions":  # a whole Chat Completions message has no order of kinds
        assert given.said == expected.said


def replay_request(recording: Recording, adapter: str) -> str:
    """Ask a provider in its own words: `passed`, `translated`, or the code that it was refused with."""
    assert recording.request is not None
    port = ADAPTERS[adapter]
    try:
        if port.dialect == recording.spoken:
            _require_kept(recording.request, port.passed(recording.request, model="other", stream=False))
            return "passed"
        exchange = TRANSLATABLE[recording.spoken].read(recording.request)
        limit = None if exchange.max_tokens is None else ("max_tokens", exchange.max_tokens)
        body = port.asked(exchange.request, model="other", stream=False, limit=limit)
    except AIBoxError as error:
        return error.code
    request = msgspec.json.decode(body)
    _REQUESTS[adapter].validate_python(request)
    _require_said(recording, request)
    return "translated"


def _require_kept(asked: bytes, passed: bytes) -> None:
    """Every member stands as it came, but for those that are ours to set and what is left out by rule."""
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    before, after = decode(asked), decode(passed)
    assert after["model"] == msgspec.Raw(b'"other"')
    left_out = {"tools"} if any(name in asked for name in (b'"web_search', b'"image_generation"')) else set()
    left_out |= {"input"} if b'"reasoning"' in asked else set()
    for name in before.keys() - CHANGED - left_out:
        assert bytes(after[name]) == bytes(before[name]), name
    assert after.keys() - before.keys() <= CHANGED


def _require_said(recording: Recording, request: dict[str, Any]) -> None:
    """Every text of the conversation is in the translated request, the orders first and the rest in order."""
    assert recording.request is not None
    given = msgspec.json.decode(recording.request)
    before = [text for text in _texts(given.get("messages", given.get("input", []))) if text.strip()]
    after = "\x00".join(_texts(request.get("messages", request.get("input", []))))
    orders = "\x00".join(_texts([request.get("system") or ""]))
    at = 0
    for text in before:
        found = after.find(text, at)
        assert found >= 0 or text in orders, text[:200]
        at = max(at, found)


def _texts(messages: Any) -> list[str]:
    """The texts in messages and items; not what tools were given, whose form differs."""
    if isinstance(messages, str):
        return [messages]
    found: list[str] = []
    for message in messages:
        if isinstance(message, str):
            found.append(message)
            continue
        for member in ("content", "output"):
            content = message.get(member)
            if message.get("type") in ("reasoning", "thinking", "web_search_call") or content is None:
                continue
            for part in [content] if isinstance(content, str) else content:
                if isinstance(part, str):
                    found.append(part)
                elif isinstance(part.get("text"), str):
                    found.append(part["text"])
                elif part.get("type") == "tool_result":
                    found += _texts([part])
    return found


def require_cuts(body: bytes, *, every: bool) -> int:
    """The stream's events are the same however the network cuts it; how many ways were tried.

    Byte by byte; and cut once, at `every` byte or at a hundred. After an event the splitter is as new, so a cut can
    only matter to the event it stands in and to the one that follows: only these are read again.
    """
    expected = _split([body])
    assert _split([body[at : at + 1] for at in range(len(body))]) == expected
    ends = [0, *_ends(body), len(body)]
    tried = 1
    step = 1 if every else max(1, len(body) // 100)
    for at in range(1, len(body), step):
        begin = ends[max(0, bisect_right(ends, at - 1) - 1)]
        end = ends[min(len(ends) - 1, bisect_left(ends, at) + 1)]
        window = body[begin:end]
        assert _split([window[: at - begin], window[at - begin :]]) == _split([window])
        tried += 1
    return tried


def _split(pieces: Iterable[bytes]) -> list[bytes]:
    splitter = sse.Splitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.end()


def _ends(body: bytes) -> Iterable[int]:
    blank = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    at = body.find(blank)
    while at >= 0:
        yield at + len(blank)
        at = body.find(blank, at + len(blank))


def replay_embeddings(recording: Recording) -> None:
    """The request passes but for its model; the answer passes as it is, and what it cost is read."""
    assert recording.request is not None
    _require_kept(recording.request, embeddings.passed(recording.request, model="other"))
    answer = msgspec.json.decode(recording.body)
    usage = embeddings.usage_of(recording.body, count=len(answer["data"]))
    told = answer.get("usage") or {}
    assert (usage.input_tokens if usage else None) == told.get("prompt_tokens", told.get("total_tokens"))


def require_no_crash(recording: Recording) -> set[str]:
    """Another vendor's request, asked here in every dialect, and its answer, read by every adapter.

    Each is refused with a code, or is one of ours by chance; the codes.
    """
    codes = set()
    for name, dialect in TRANSLATABLE.items():
        try:
            DIALECTS[name].open(recording.request or b"")
            dialect.read(recording.request or b"")
        except AIBoxError as error:
            codes.add(error.code)
    adapters: list[Adapter] = list(ADAPTERS.values())
    for adapter in adapters:
        reading = adapter.reading()
        for data in _split([recording.body]) or [recording.body]:
            try:
                reading.take(data)
                reading.steps()
            except chat.MalformedError:
                break
    return codes

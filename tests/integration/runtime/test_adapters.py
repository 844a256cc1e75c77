"""Clients of every dialect over providers of every kind, through a whole AIBox: what was recorded is what is told."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from aibox.core.connections import Urls
from aibox.core.http import Settings as HttpSettings
from aibox.router import ModelTerms
from tests.conformance.corpus import missing, payloads, recordings, sample
from tests.conformance.gist import STREAM, WHOLE, Gist
from tests.conformance.replaying import ADAPTER_OF, choices, is_answer
from tests.conformance.upstream import MODEL, Replaying, message_of, replaying, response_of, told
from tests.conftest import new_database
from tests.system import Served, served

PATHS = {"chat_completions": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
ASKED = "What is the answer?"
SECRET = "sk-" + "proj-" + "A1b2C3d4E5f6G7h8I9j0K1l2"
MAIL = "ada@example.com"


class Pairs(Struct, frozen=True):
    """A served AIBox with a provider for each adapter, named like it, which all are one replaying upstream."""

    one: Served
    upstream: Replaying

    async def ask(self, out: str, adapter: str, *, stream: bool = False, **more: Any) -> Any:
        """A client's call; the answer as httpx has it."""
        body: dict[str, Any] = {"model": f"{adapter}/{MODEL}", "stream": stream}
        match out:
            case "responses":
                body["input"] = ASKED
            case "messages":
                body |= {"messages": [{"role": "user", "content": ASKED}], "max_tokens": 99}
            case _:
                body |= {"messages": [{"role": "user", "content": ASKED}], "stream_options": {"include_usage": True}}
                if not stream:
                    del body["stream_options"]
        headers = more.pop("headers", {})
        return await self.one.client.post(PATHS[out], json=body | more, headers=headers)


@pytest.fixture(scope="module")
async def pairs(cluster: Urls, scratch: Path) -> AsyncGenerator[Pairs]:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    allowed = HttpSettings(internal_hosts=("127.0.0.1",))
    async with (
        replaying() as upstream,
        new_database(cluster) as urls,
        served(urls, folder, http=allowed) as one,
    ):
        turn = one.turn
        for adapter in ADAPTER_OF.values():
            await one.system.catalogue.add_provider(
                turn,
                name=adapter,
                base_url=upstream.base_url,
                api_key="k-provider",
                adapter=adapter,  # type: ignore[arg-type] # one of the three, by its table
            )
        await one.system.log.end(turn, "sealed")
        yield Pairs(one, upstream)


def gist_of(dialect: str, data: bytes, *, is_stream: bool) -> Gist:
    if is_stream:
        return STREAM[dialect](msgspec.json.decode(found) for found in payloads(data) if found != b"[DONE]")
    return WHOLE[dialect](msgspec.json.decode(data))


async def test_what_was_recorded_is_told_alike_through_every_pair(pairs: Pairs) -> None:
    if (why := missing()) is not None:
        pytest.skip(why)
    found = [item for item in sample(recordings(), one_in=10**9) if is_answer(item) and choices(item) == 1]
    taken = [item for n, item in enumerate(sorted(found, key=lambda item: (item.spoken, item.is_stream))) if n % 4 == 0]
    kinds = set()
    for item in taken:
        adapter = ADAPTER_OF[item.spoken]
        said = gist_of(item.spoken, item.body, is_stream=item.is_stream)
        for number, out in enumerate(PATHS):
            pairs.upstream.answer(item.body, is_stream=item.is_stream, piece=(0, 7, 61)[number])
            answer = await pairs.ask(out, adapter, stream=item.is_stream)
            assert answer.status_code == 200, (item.name, answer.text)
            given = gist_of(out, answer.content, is_stream=item.is_stream)
            assert (given.text, given.reasoning) == (said.text, said.reasoning), item.name
            assert [name for _, name, _ in given.calls] == [name for _, name, _ in said.calls]
            assert said.tokens in (None, given.tokens)
            if out == item.spoken:
                as_recorded = payloads(item.body) if item.is_stream else [item.body]
                as_told = payloads(answer.content) if item.is_stream else [answer.content]
                assert as_told == as_recorded, item.name
            kinds.add((item.spoken, item.is_stream, out))
    assert len(kinds) == 18


def events_of(answer: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in payloads(answer.content) if data != b"[DONE]"]


@pytest.mark.parametrize("dialect", ["messages", "responses"])
async def test_a_secret_in_a_passed_stream_is_taken_out_wherever_it_is_repeated(pairs: Pairs, dialect: str) -> None:
    pieces = ("The key is ", SECRET[:9], SECRET[9:], ", keep it.")
    body = message_of(*pieces) if dialect == "messages" else response_of(*pieces)
    pairs.upstream.answer(body, is_stream=True)
    answer = await pairs.ask(dialect, ADAPTER_OF[dialect], stream=True)
    assert SECRET[9:] not in answer.text
    assert gist_of(dialect, answer.content, is_stream=True).text == "The key is <SECRET>, keep it."
    kinds = [event["type"] for event in events_of(answer)]
    assert kinds == [event["type"] for event in map(msgspec.json.decode, payloads(body))]


async def test_a_masked_address_reaches_no_provider_and_comes_back_to_its_user(pairs: Pairs) -> None:
    pairs.upstream.answer(message_of("Mail <EMAIL_ADD", "RESS_1> today."), is_stream=True)
    words = [{"role": "user", "content": [{"type": "text", "text": f"Write to {MAIL}."}]}]
    answer = await pairs.ask("messages", "anthropic_messages", stream=True, messages=words)
    assert MAIL.encode() not in pairs.upstream.asked
    assert gist_of("messages", answer.content, is_stream=True).text == f"Mail {MAIL} today."


async def test_what_a_tool_was_given_is_judged_whatever_its_members_are_called(pairs: Pairs) -> None:
    pairs.upstream.answer(message_of("Done."), is_stream=True)
    used = {"type": "tool_use", "id": "t1", "name": "mail", "input": {"name": MAIL, "data": [MAIL], "id": MAIL}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": f"of {MAIL}"}}
    words = [
        {"role": "user", "content": [{"type": "text", "text": ASKED}, document]},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": f"sent to {MAIL}"}]},
    ]
    answer = await pairs.ask("messages", "anthropic_messages", stream=True, messages=words)
    assert answer.status_code == 200
    assert MAIL.encode() not in pairs.upstream.asked
    assert b'"name":"mail"' in pairs.upstream.asked


async def test_anthropic_is_asked_with_its_own_headers_and_the_clients_beta(pairs: Pairs) -> None:
    pairs.upstream.answer(message_of("Hi."), is_stream=True)
    await pairs.ask("messages", "anthropic_messages", stream=True, headers={"anthropic-beta": "context-1m"})
    headers = pairs.upstream.headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("k-provider", "2023-06-01")
    assert headers["anthropic-beta"] == "context-1m"
    assert "authorization" not in headers
    assert pairs.upstream.path == "/messages"
    await pairs.ask("chat_completions", "anthropic_messages", stream=True, headers={"anthropic-beta": "context-1m"})
    assert "anthropic-beta" not in pairs.upstream.headers


async def test_unknown_members_pass_to_a_provider_that_speaks_the_dialect(pairs: Pairs) -> None:
    pairs.upstream.answer(message_of("Hi."), is_stream=True)
    await pairs.ask("messages", "anthropic_messages", stream=True, brand_new={"depth": [1, 2.5]}, top_k=5)
    asked = msgspec.json.decode(pairs.upstream.asked)
    assert (asked["brand_new"], asked["top_k"], asked["model"], asked["stream"]) == (
        {"depth": [1, 2.5]},
        5,
        MODEL,
        True,
    )


async def test_cached_tokens_are_told_and_counted_on_both_sides(pairs: Pairs) -> None:
    pairs.upstream.answer(message_of("Hi."), is_stream=True)
    answer = await pairs.ask("chat_completions", "anthropic_messages", stream=True)
    usage = events_of(answer)[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (11, 7)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    events = await pairs.one.events(answer.headers["x-aibox-turn-id"])
    (response,) = [event["body"] for event in events if event["type"] == "model_response"]
    assert (response["input_tokens"], response["cached_tokens"], response["output_tokens"]) == (11, 4, 7)


@pytest.mark.parametrize("out", PATHS)
@pytest.mark.parametrize(
    ("adapter", "event"),
    [
        ("anthropic_messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        (
            "responses",
            {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Overloaded"}}},
        ),
        ("responses", {"type": "error", "code": "server_error", "message": "Overloaded"}),
    ],
)
async def test_an_error_in_a_stream_is_told_with_its_code(
    pairs: Pairs, out: str, adapter: str, event: dict[str, Any]
) -> None:
    body = message_of("Hi.") if adapter == "anthropic_messages" else response_of("Hi.")
    events = body.split(b"\n\n")
    pairs.upstream.answer(b"\n\n".join([*events[:3], told(event)]), is_stream=True)
    answer = await pairs.ask(out, adapter, stream=True)
    if answer.status_code == 200:
        assert "backend_failed" in answer.text
    else:  # nothing had been told yet
        assert answer.json()["code"] == "backend_failed"
    assert "Overloaded" in answer.text


@pytest.mark.parametrize("out", PATHS)
@pytest.mark.parametrize("adapter", ["anthropic_messages", "responses"])
async def test_a_stream_without_its_end_is_told_as_cut(pairs: Pairs, out: str, adapter: str) -> None:
    body = message_of("One. ", "Two.") if adapter == "anthropic_messages" else response_of("One. ", "Two.")
    pairs.upstream.answer(body[: body.index(b"Two") + 9], is_stream=True)
    answer = await pairs.ask(out, adapter, stream=True)
    assert "backend_cut" in answer.text


@pytest.mark.parametrize("member", ["previous_response_id", "conversation"])
@pytest.mark.parametrize("adapter", ADAPTER_OF.values())
async def test_a_conversation_that_is_kept_elsewhere_is_refused(pairs: Pairs, member: str, adapter: str) -> None:
    kept: dict[str, Any] = {member: "resp_1"}
    answer = await pairs.ask("responses", adapter, **kept)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_translatable")


async def test_nothing_is_kept_at_a_provider_that_speaks_responses(pairs: Pairs) -> None:
    pairs.upstream.answer(response_of("Hi."), is_stream=True)
    thoughts = [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": ASKED}]
    tools = [{"type": "web_search"}, {"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    answer = await pairs.ask("responses", "responses", stream=True, store=True, input=thoughts, tools=tools)
    asked = msgspec.json.decode(pairs.upstream.asked)
    assert (asked["store"], asked["input"], asked["tools"]) == (False, thoughts[1:], tools[1:])
    assert answer.headers["x-aibox-omitted"] == "web_search"


async def test_sound_and_film_pass_named_to_a_provider_that_speaks_the_dialect(pairs: Pairs) -> None:
    told = {"type": "input_text", "text": ASKED}
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRv/+", "format": "wav"}}
    far = {"type": "input_file", "file_url": "https://example.com/talk.mp4?start=1"}
    pairs.upstream.answer(response_of("Hi."), is_stream=True)
    said = [{"role": "user", "content": [told, sound, far]}]
    answer = await pairs.ask("responses", "responses", stream=True, input=said)
    assert answer.headers["x-aibox-unscanned"] == "audio, video:remote"
    assert msgspec.json.decode(pairs.upstream.asked)["input"] == said

    film = {"type": "video", "source": {"type": "base64", "media_type": "video/mp4", "data": "AAAAIGZ0eXA="}}
    pairs.upstream.answer(message_of("Hi."), is_stream=True)
    said = [{"role": "user", "content": [film, {"type": "text", "text": ASKED}]}]
    answer = await pairs.ask("messages", "anthropic_messages", stream=True, messages=said)
    assert answer.headers["x-aibox-unscanned"] == "video"
    assert msgspec.json.decode(pairs.upstream.asked)["messages"] == said


async def test_tokens_are_counted_by_anthropic_and_estimated_for_others(pairs: Pairs) -> None:
    pairs.upstream.answer(b'{"input_tokens": 2095}', is_stream=False)
    asked = {"model": f"anthropic_messages/{MODEL}", "messages": [{"role": "user", "content": ASKED}]}
    counted = await pairs.one.client.post("/v1/messages/count_tokens", json=asked)
    assert counted.json() == {"input_tokens": 2095}
    assert pairs.upstream.path == "/messages/count_tokens"
    assert "x-aibox-estimated" not in counted.headers
    estimated = await pairs.one.client.post(
        "/v1/messages/count_tokens", json={**asked, "model": f"chat_completions/{MODEL}"}
    )
    assert 5 < estimated.json()["input_tokens"] < 20
    assert estimated.headers["x-aibox-estimated"] == "true"


@pytest.mark.parametrize("adapter", ["anthropic_messages", "responses"])
async def test_a_chat_of_our_own_works_over_any_provider(pairs: Pairs, adapter: str) -> None:
    body = (
        message_of("Paris", ", of course.") if adapter == "anthropic_messages" else response_of("Paris", ", of course.")
    )
    pairs.upstream.answer(body, is_stream=True)
    await pairs.one.use(f"{adapter}/{MODEL}")
    answer = await pairs.one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": ASKED}]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"]["content"] == "Paris, of course."
    assert answer.json()["usage"]["output_tokens"] == 7


@pytest.mark.parametrize("out", PATHS)
async def test_a_model_without_tools_calls_them_all_the_same(pairs: Pairs, out: str) -> None:
    turn = pairs.one.turn
    terms = ModelTerms(capabilities=("chat", "tool_shim"))
    await pairs.one.system.catalogue.set_model(turn, "chat_completions", MODEL, terms)
    await pairs.one.system.log.end(turn, "sealed")
    written = '{"name": "weather", "arguments": {"at": "Rome"}}'
    deltas = [{"content": written[at : at + 5]} for at in range(0, len(written), 5)]
    frames: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = b"".join(b"data: " + msgspec.json.encode(frame) + b"\n\n" for frame in frames)
    pairs.upstream.answer(body + b"data: [DONE]\n\n", is_stream=True)
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    tool: dict[str, Any] = {"name": "weather", "description": "Tells it."}
    match out:
        case "messages":
            tool["input_schema"] = schema
        case "responses":
            tool |= {"type": "function", "parameters": schema}
        case _:
            tool = {"type": "function", "function": {**tool, "parameters": schema}}
    answer = await pairs.ask(out, "chat_completions", stream=True, tools=[tool])
    given = gist_of(out, answer.content, is_stream=True)
    assert [(name, arguments) for _, name, arguments in given.calls] == [("weather", '{"at": "Rome"}')]
    assert (given.text, given.end) == ("", "tool_calls")
    asked = msgspec.json.decode(pairs.upstream.asked)
    assert "tools" not in asked
    assert '"name":"weather"' in asked["messages"][0]["content"]

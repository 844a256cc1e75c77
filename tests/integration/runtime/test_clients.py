"""Other vendors' libraries against AIBox, each over a provider that speaks something else than they do."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from aibox.core.connections import Urls
from aibox.core.http import Settings as HttpSettings
from tests.conformance.upstream import MODEL, Replaying, call_of, message_of, replaying, response_of
from tests.conftest import new_database
from tests.system import Served, served

ASKED = "What is the answer?"
ANSWER = "The answer is forty-two."
PIECES = ("The answer ", "is ", "forty-two.")
PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
CLAUDE = f"anthropic/{MODEL}"
GPT = f"openai/{MODEL}"


@pytest.fixture(scope="module")
async def upstream() -> AsyncGenerator[Replaying]:
    async with replaying() as running:
        yield running


@pytest.fixture(scope="module")
async def one(cluster: Urls, scratch: Path, upstream: Replaying) -> AsyncGenerator[Served]:
    """AIBox with the providers `openai` (Responses) and `anthropic` (Messages), besides the stub's Chat Completions."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    async with (
        new_database(cluster) as urls,
        served(urls, folder, http=HttpSettings(internal_hosts=("127.0.0.1",))) as running,
    ):
        catalogue, turn = running.system.catalogue, running.turn
        await catalogue.add_provider(turn, name="openai", base_url=upstream.base_url, adapter="responses")
        await catalogue.add_provider(turn, name="anthropic", base_url=upstream.base_url, adapter="anthropic_messages")
        await running.system.log.end(turn, "sealed")
        yield running


def langchain(one: Served, model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=f"{one.url}/v1", api_key=SecretStr(one.key), max_retries=0, **more)


async def test_openais_chat_client_streams_what_anthropics_model_says(one: Served, upstream: Replaying) -> None:
    upstream.answer(message_of(*PIECES), is_stream=True)
    async with openai.AsyncOpenAI(base_url=f"{one.url}/v1", api_key=one.key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=CLAUDE,
            messages=[{"role": "user", "content": ASKED}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (11, 7)


async def test_openais_synchronous_chat_client_hears_a_call_of_a_tool(one: Served, upstream: Replaying) -> None:
    upstream.answer(call_of("weather", '{"at": "Rome"}'), is_stream=True)

    def ask() -> list[Any]:
        with openai.OpenAI(base_url=f"{one.url}/v1", api_key=one.key, max_retries=0) as client:
            tool: Any = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
            with client.chat.completions.stream(
                model=GPT, messages=[{"role": "user", "content": ASKED}], tools=[tool]
            ) as stream:
                return list(stream.get_final_completion().choices[0].message.tool_calls or ())

    (call,) = await asyncio.to_thread(ask)
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"at": "Rome"}')


async def test_anthropics_synchronous_client_streams_what_openais_model_says(one: Served, upstream: Replaying) -> None:
    upstream.answer(response_of(*PIECES), is_stream=True)

    def ask() -> Any:
        with (
            anthropic.Anthropic(base_url=one.url, api_key=one.key, max_retries=0) as client,
            client.messages.stream(model=GPT, max_tokens=99, messages=[{"role": "user", "content": ASKED}]) as stream,
        ):
            return "".join(stream.text_stream), stream.get_final_message()

    text, message = await asyncio.to_thread(ask)
    assert text == ANSWER
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 11, 7)


async def test_anthropics_client_counts_tokens(one: Served, upstream: Replaying) -> None:
    upstream.answer(b'{"input_tokens": 14}', is_stream=False)
    async with anthropic.AsyncAnthropic(base_url=one.url, api_key=one.key, max_retries=0) as client:
        counted = await client.messages.count_tokens(model=CLAUDE, messages=[{"role": "user", "content": ASKED}])
    assert counted.input_tokens == 14


@pytest.mark.parametrize("model", ["stub/ok", CLAUDE, GPT])
@pytest.mark.parametrize("speaks_responses", [False, True])
async def test_langchain_is_answered_over_any_provider(
    one: Served, upstream: Replaying, model: str, speaks_responses: bool
) -> None:
    body = message_of(*PIECES) if model == CLAUDE else response_of(*PIECES)
    upstream.answer(body, is_stream=True)
    chat = langchain(one, model, use_responses_api=speaks_responses, stream_usage=True)
    pieces = [piece async for piece in chat.astream([HumanMessage(ASKED)])]
    assert "".join(piece.text for piece in pieces) == ANSWER
    told = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert sum(usage["input_tokens"] for usage in told) == 11


async def test_langchains_tools_are_called_and_answered(one: Served, upstream: Replaying) -> None:
    tool = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": PARAMETERS}}
    upstream.answer(response_of("Sunny."), is_stream=True)
    upstream.script = [call_of("weather", '{"at": "Rome"}')]
    chat = langchain(one, GPT, streaming=True).bind_tools([tool])
    asked: list[Any] = [HumanMessage(ASKED)]
    called = await chat.ainvoke(asked)
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [("weather", {"at": "Rome"})]
    answered = await chat.ainvoke([*asked, called, ToolMessage("Sun", tool_call_id=called.tool_calls[0]["id"])])
    assert answered.text == "Sunny."
    assert b'"function_call_output"' in upstream.asked


async def test_langchains_synchronous_client_reads_a_whole_answer(one: Served) -> None:
    answer = await asyncio.to_thread(langchain(one, "stub/ok").invoke, ASKED)
    assert answer.text == ANSWER


async def test_langchain_embeds_texts(one: Served) -> None:
    embeddings = OpenAIEmbeddings(
        model="stub/embedding",
        base_url=f"{one.url}/v1",
        api_key=SecretStr(one.key),
        check_embedding_ctx_length=False,  # else it sends tokens of OpenAI's, which no other model can read
    )
    assert await embeddings.aembed_query("a") == [1.0, 3.0, 4.0]

"""Codex and opencode, as their makers ship them, against AIBox with its default guardrail."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from aibox.core.connections import Urls
from aibox.core.http import Settings as HttpSettings
from tests.conformance.upstream import MODEL, Replaying, call_of, message_of, replaying, response_of
from tests.system import Served, served

BIN = Path(__file__).parents[2] / ".clients" / "node_modules" / ".bin"
LIMIT = 100.0

CODEX = """
model = "{model}"
model_provider = "aibox"
[model_providers.aibox]
name = "AIBox"
base_url = "{url}/v1"
env_key = "AIBOX_KEY"
wire_api = "responses"
[analytics]
enabled = false
"""


@pytest.fixture
async def upstream() -> AsyncGenerator[Replaying]:
    async with replaying() as running:
        yield running


@pytest.fixture
async def one(urls: Urls, scratch: Path, upstream: Replaying) -> AsyncGenerator[Served]:
    """AIBox with the providers `openai` and `anthropic`, which are one replaying upstream."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    async with served(urls, folder, http=HttpSettings(internal_hosts=("127.0.0.1",))) as running:
        catalogue, turn = running.system.catalogue, running.turn
        await catalogue.add_provider(turn, name="openai", base_url=upstream.base_url, adapter="responses")
        await catalogue.add_provider(turn, name="anthropic", base_url=upstream.base_url, adapter="anthropic_messages")
        await running.system.log.end(turn, "sealed")
        yield running


async def run(name: str, *arguments: str, folder: Path, **environment: str) -> str:
    """What the client printed. Skips the test when it is not installed."""
    program = BIN / name
    if not program.exists():
        pytest.skip(f"{name} is not installed: `make clients` installs it")
    process = await asyncio.create_subprocess_exec(
        str(program),
        *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "NO_COLOR": "1", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def codex(one: Served, model: str, folder: Path) -> str:
    home = folder / "codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX.format(model=model, url=one.url))
    order = "Say what the answer is."
    arguments = ("exec", "--skip-git-repo-check", "--sandbox", "read-only", order)
    return await run("codex", *arguments, folder=folder, CODEX_HOME=str(home), AIBOX_KEY=one.key)


@pytest.mark.parametrize(
    ("provider", "body"),
    [("openai", response_of("It is ", "forty-two.")), ("anthropic", message_of("It is ", "forty-two."))],
)
async def test_codex_is_answered_over_any_provider(
    one: Served, upstream: Replaying, tmp_path: Path, provider: str, body: bytes
) -> None:
    upstream.answer(body, is_stream=True)
    printed = await codex(one, f"{provider}/{MODEL}", tmp_path)
    assert "It is forty-two." in printed
    assert b"Say what the answer is." in upstream.asked


async def test_codex_is_answered_over_chat_completions(one: Served, tmp_path: Path) -> None:
    assert "The answer is forty-two." in await codex(one, "stub/ok", tmp_path)
    assert one.stub.requests[-1]["stream"] is True


async def test_codex_runs_what_it_is_told_and_answers_with_the_result(
    one: Served, upstream: Replaying, tmp_path: Path
) -> None:
    upstream.answer(response_of("Done."), is_stream=True)
    await codex(one, f"openai/{MODEL}", tmp_path)
    offered = {tool.get("name") for tool in json.loads(upstream.asked)["tools"]}
    shell = {"cmd": "echo forty-$((40+2))"} if "exec_command" in offered else {"command": ["echo", "forty-42"]}
    name = "exec_command" if "exec_command" in offered else "shell"
    assert name in offered
    upstream.script = [call_of(name, json.dumps(shell))]
    (tmp_path / "again").mkdir()
    await codex(one, f"openai/{MODEL}", tmp_path / "again")
    (result,) = [item for item in json.loads(upstream.asked)["input"] if item["type"] == "function_call_output"]
    assert "forty-42" in str(result["output"])


@pytest.mark.parametrize(
    ("provider", "body"),
    [("openai", response_of("It is ", "forty-two.")), ("anthropic", message_of("It is ", "forty-two."))],
)
async def test_opencode_is_answered_over_any_provider(
    one: Served, upstream: Replaying, tmp_path: Path, provider: str, body: bytes
) -> None:
    upstream.answer(body, is_stream=True)
    model = f"{provider}/{MODEL}"
    limits = {"context": 32000, "output": 2000}
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "model": f"aibox/{model}",
        "small_model": f"aibox/{model}",
        "enabled_providers": ["aibox"],
        "provider": {
            "aibox": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "AIBox",
                "options": {"baseURL": f"{one.url}/v1", "apiKey": "{env:AIBOX_KEY}"},
                "models": {model: {"name": model, "limit": limits}},
            }
        },
    }
    (tmp_path / "opencode.json").write_text(json.dumps(settings))
    printed = await run(
        "opencode",
        "run",
        "Say what the answer is.",
        folder=tmp_path,
        AIBOX_KEY=one.key,
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
    )
    assert "It is forty-two." in printed

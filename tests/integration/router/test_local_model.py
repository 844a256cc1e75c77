"""The real local model: it answers, is restarted when it dies, and never outlives us."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.router import BackendUnavailable, RoleNoBackend, Settings
from aibox.router.gates import FullError
from aibox.router.local import DEMONSTRATION, LocalModel, memory_mb
from tests.integration.router.conftest import Make, asking, someone

CONFIG = Settings(local_context=1024, local_threads=1)


def _is_alive(pid: int) -> bool:
    """Whether the process still runs; a zombie that waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


async def _until_ready(local: LocalModel) -> int:
    async with asyncio.timeout(60):
        while local.state != "ready":
            await asyncio.sleep(0.05)
    assert local.pid is not None
    return local.pid


async def test_the_local_model_answers_survives_a_kill_and_leaves_no_process(make_routing: Make) -> None:
    call = asking("default", "Say hi.")
    async with make_routing(CONFIG) as routing:
        async with routing.router.stream(someone(), call) as stream:
            text = "".join([chunk.text async for chunk in stream])
        assert "Hello" in text
        assert (stream.provider, stream.model, stream.cost_usd) == ("local", DEMONSTRATION, "0")
        assert stream.usage is not None
        assert stream.usage.output_tokens > 3
        assert not stream.usage.estimated
        first = await _until_ready(routing.local)

        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(10):
            while routing.local.pid == first:
                await asyncio.sleep(0.01)
        answer = await routing.router.complete(someone(), call)
        assert "Hello" in answer.text
        second = await _until_ready(routing.local)
        assert second != first
    assert not _is_alive(first)
    assert not _is_alive(second)


async def test_an_answer_that_the_kill_cuts_is_an_error_and_not_a_short_answer(make_routing: Make) -> None:
    async with make_routing(CONFIG) as routing:
        pid = await _until_ready(routing.local)
        with pytest.raises(BackendUnavailable, match="cut its answer short"):
            await _ask_and_kill(routing, pid)
        answer = await routing.router.complete(someone(), asking("default", "Say hi."))
        assert answer.text


async def _ask_and_kill(routing: Any, pid: int) -> None:
    call = asking("default", "Write a very long story about the sea and its ships.")
    async with routing.router.stream(someone(), call) as stream:
        async for chunk in stream:
            if chunk.text:
                os.kill(pid, signal.SIGKILL)


async def test_it_listens_on_loopback_with_a_key_and_without_the_web_pages_of_llama(make_routing: Make) -> None:
    async with make_routing(CONFIG) as routing:
        await _until_ready(routing.local)
        child = await routing.local.endpoint(timeout=1)
        http = Outgoing(HttpSettings())
        async with http.run():
            found = {}
            for path in ("/", "/slots", "/v1/chat/completions"):
                method = "POST" if "chat" in path else "GET"
                reply = await http.send(
                    method, child.url + path, headers={"Origin": "https://evil.example"}, body=b"{}", ours=child.ours
                )
                assert reply.headers.get("Access-Control-Allow-Origin", "") == ""
                found[path] = reply.status
                reply.close()
    assert found == {"/": 404, "/slots": 401, "/v1/chat/completions": 401}


async def test_the_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from aibox.core.http import Outgoing, Settings as HttpSettings
from aibox.router import Settings
from aibox.router.local import LocalModel

async def main():
    http = Outgoing(HttpSettings())
    async with http.run(), asyncio.TaskGroup() as tasks:
        local = LocalModel(Settings(local_context=512, local_threads=1), http=http)
        async with local.run(tasks):
            await local.endpoint(timeout=60)
            print("pid", local.pid, flush=True)
            await asyncio.sleep(600)

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(60):
            child = await _announced(parent.stdout)
            assert _is_alive(child)
    finally:
        parent.kill()
        await parent.wait()
    async with asyncio.timeout(5):
        while _is_alive(child):
            await asyncio.sleep(0.02)


async def _announced(output: asyncio.StreamReader) -> int:
    while line := await output.readline():
        if line.startswith(b"pid "):
            return int(line[4:])
    raise AssertionError("the parent ended early")


async def test_a_missing_model_file_leaves_the_server_running_and_says_what_is_missing(make_routing: Make) -> None:
    async with make_routing(Settings(local_model="/nowhere/missing.gguf")) as routing:
        with pytest.raises(RoleNoBackend, match=r"names a file that is not there: missing\.gguf"):
            await routing.router.complete(someone(), asking("default"))
        listed = {model["id"]: model["aibox"] for model in await routing.router.models(someone())}
    assert listed["missing"]["healthy"] is False
    assert listed["missing"]["demonstration"] is False
    assert listed["all-minilm-l6-v2"]["healthy"] is True


async def test_a_file_that_is_no_model_is_said_to_be_none(make_routing: Make, tmp_path: Path) -> None:
    (tmp_path / "junk.gguf").write_bytes(b"this is no model")
    async with make_routing(Settings(local_model=str(tmp_path / "junk.gguf"))) as routing:
        with pytest.raises(RoleNoBackend, match=r"llama\.cpp cannot load junk\.gguf"):
            await routing.router.complete(someone(), asking("default"))


async def test_a_local_model_that_takes_too_much_memory_is_started_anew(make_routing: Make) -> None:
    async with make_routing(msgspec.structs.replace(CONFIG, local_memory_mb=1)) as routing:
        processes: set[int] = set()
        async with asyncio.timeout(60):
            while len(processes) < 2:
                if routing.local.pid is not None:
                    processes.add(routing.local.pid)
                await asyncio.sleep(0.01)
    assert not any(_is_alive(pid) for pid in processes)


def test_memory_is_what_a_process_holds_for_itself_without_the_files_it_maps(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(
        "VmRSS:\t9000 kB\nRssAnon:\t  3072 kB\nRssFile:\t5000 kB\nRssShmem:\t1024 kB\n"
    )
    assert memory_mb(7, proc=tmp_path) == 4
    assert memory_mb(8, proc=tmp_path) == 0


async def test_only_so_many_calls_wait_for_the_local_model() -> None:
    local = LocalModel(Settings(local_waiting=1), http=Outgoing(HttpSettings()))
    first = await local.take()
    waiting = asyncio.create_task(local.take())
    await asyncio.sleep(0)
    with pytest.raises(FullError):
        await local.take()
    first.leave()
    (await waiting).leave()

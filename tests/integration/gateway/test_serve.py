"""Starting and stopping the server, in a process of its own."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

from aibox.core.errors import BootRefused
from aibox.gateway import Settings
from aibox.gateway.serve import bind

PROGRAM = """
import asyncio, sys
from aibox.gateway import Settings
from aibox.gateway.serve import new_event_loop, serve

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for answer in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{answer}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.sleep(0.6)
    await send({"type": "http.response.body", "body": b" done", "more_body": False})

async def main():
    await serve(app, Settings(port=int(sys.argv[1])), ready=lambda: print("ready", flush=True))
    print("cleaned up", type(asyncio.get_running_loop()).__module__, flush=True)

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopped_server_finishes_its_answers_and_lets_its_owner_clean_up(stop: signal.Signals) -> None:
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            begun = await reader.readuntil(b"begun")
            process.send_signal(stop)
            rest = await reader.read()
            writer.close()
            said = await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    assert b"200 OK" in begun
    assert b" done" in rest
    assert said == b"cleaned up uvloop\n"


def test_a_taken_port_is_one_sentence_and_no_traceback() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BootRefused, match="AIBOX_GATEWAY_PORT") as refused:
            bind(Settings(port=other.getsockname()[1]))
    assert refused.value.code == "boot_port"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

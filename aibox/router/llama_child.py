"""The local model's own process: runs llama.cpp's HTTP server on a free loopback port until AIBox is gone.

Started by path with `python -I`, never imported, so that it loads nothing of AIBox. It reads one JSON line from
standard input (its configuration, the API key among it), answers one JSON line on standard output (`address` or
`problem`), and ends when standard input ends.
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


def main() -> None:
    _die_with_parent(int(sys.argv[1]))
    config = json.loads(sys.stdin.buffer.readline())
    try:
        import xllamacpp  # noqa: PLC0415 - its absence is an answer, not a crash
    except ImportError as error:
        _say(problem="libgomp" if "libgomp" in str(error) else "import", detail=str(error))
        return
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, config))
    except Exception as error:  # noqa: BLE001 - the supervisor reads why: our standard error goes nowhere
        _say(problem="load" if isinstance(error, RuntimeError) else "start", detail=repr(error))
        return
    _say(address=server.listening_address)
    sys.stdin.buffer.read()
    # The server's threads would hold an orderly exit up while they still answer.
    os._exit(0)


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _parameters(xllamacpp: Any, config: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = config["path"]
    parameters.model_alias = {config["model"]}
    parameters.api_keys = [config["key"]]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = config["context"]
    parameters.n_predict = config["most_tokens"]
    parameters.n_parallel = 1
    parameters.n_threads_http = 4
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = config["threads"]
    parameters.cpuparams_batch.n_threads = config["threads"]
    for name, value in config["sampling"].items():
        setattr(parameters.sampling, name, value)
    parameters.cache_ram_mib = 16
    parameters.offline = True
    parameters.fit_params = False
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    parameters.cors_origins = ""
    parameters.verbosity = 0
    return parameters


def _say(**message: str) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

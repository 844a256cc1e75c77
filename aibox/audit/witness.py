"""`aibox-witness`: cosigns the heads of logs it knows, each only if it continues the one cosigned before.

A small program of its own (https://c2sp.org/tlog-witness) for another machine, and best for other people. Its folder
holds its keys and the head it cosigned last of each log; docs/witness.md says how to run it.
"""

import argparse
import base64
import binascii
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from aibox.audit import AuditPolicy, merkle, notes
from aibox.audit.durable import write_durably
from aibox.audit.notes import Cosigner, NoteError, VerifierKey

MAX_PROOF = 63
MAX_BODY = 64 * 1024
SIZE_TYPE = "text/x.tlog.size"


class WitnessError(Exception):
    """The witness must not start like this; the text says why."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP status, and what comes with it."""

    status: int
    text: str
    media_type: str = "text/plain"


class CosignedHead(msgspec.Struct, frozen=True):
    """What a witness remembers of a log."""

    size: int
    root: bytes


class Memory:
    """The head cosigned last of each log, in a file that is replaced whole, and before a cosignature leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._heads = msgspec.json.decode(path.read_bytes(), type=dict[str, CosignedHead])
        except (OSError, msgspec.DecodeError) as why:
            raise WitnessError(
                f"{path} cannot be read ({why}). A witness that forgets what it cosigned is none: restore the file."
            ) from None

    @staticmethod
    def begin(path: Path) -> None:
        """Make the empty file of a new witness."""
        write_durably(path, b"{}")

    def get(self, origin: str) -> CosignedHead:
        """The head cosigned last, the empty tree's when there is none."""
        return self._heads.get(origin, CosignedHead(0, merkle.EMPTY))

    def put(self, origin: str, head: CosignedHead) -> None:
        """On return it survives a crash of the machine."""
        heads = {**self._heads, origin: head}
        write_durably(self._path, msgspec.json.encode(heads))
        self._heads = heads


class Witness:
    """Judges heads. `logs` maps an origin to the pairs of keys that may sign for it."""

    def __init__(self, cosigner: Cosigner, logs: Mapping[str, Sequence[Sequence[VerifierKey]]], memory: Memory) -> None:
        self.cosigner = cosigner
        self._logs = logs
        self._memory = memory

    def add_checkpoint(self, body: bytes, *, at_seconds: int) -> Answer:
        """Answer `POST /add-checkpoint`. Nothing else runs meanwhile, so two requests cannot both continue one head."""
        try:
            old, proof, note = read_request(body)
            head = notes.parse_checkpoint(note)
        except NoteError as why:
            return Answer(400, f"{why}\n")
        if head.origin not in self._logs:
            return Answer(404, "this log is not known here\n")
        if not any(notes.is_signed_by(head, keys) for keys in self._logs[head.origin]):
            return Answer(403, "the checkpoint is not signed by both keys of its log\n")
        if old > head.size:
            return Answer(400, "the old size is larger than the checkpoint's\n")
        last = self._memory.get(head.origin)
        if old != last.size or (head.size == last.size and head.root != last.root):
            return Answer(409, f"{last.size}\n", SIZE_TYPE)
        if not merkle.verify_consistency(old, head.size, proof, last.root, head.root):
            return Answer(422, "the proof does not lead from the old head to this one\n")
        self._memory.put(head.origin, CosignedHead(head.size, head.root))
        return Answer(200, self.cosigner.cosign(head, at_seconds=at_seconds))


def read_request(body: bytes) -> tuple[int, list[bytes], str]:
    """The old size, the consistency proof and the note of a request; raises NoteError."""
    try:
        head, separator, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise NoteError("not UTF-8") from None
    first, *lines = head.split("\n")
    match = re.fullmatch(r"old (0|[1-9][0-9]{0,15})", first)
    if not match or not separator or len(lines) > MAX_PROOF:
        raise NoteError("not a request: `old` and a size, at most 63 hashes, an empty line, a checkpoint")
    return int(match[1]), [_hash(line) for line in lines], note


def _hash(line: str) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32 or base64.b64encode(data).decode() != line:
        raise NoteError("a line of the proof is not the base64 of a hash")
    return data


def request(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body that asks a witness to cosign `note`."""
    lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + note.encode()


def open_witness(folder: Path, name: str, policy: Path) -> Witness:
    """The witness that lives in `folder`, which is made for a new one. Raises WitnessError."""
    keys, heads = folder / "keys.json", folder / "heads.json"
    folder.mkdir(parents=True, exist_ok=True)
    _alone(folder)
    if not keys.exists():
        if heads.exists():
            raise WitnessError(f"{heads} is there, but not its keys: restore {keys}.")
        Memory.begin(heads)
        seeds = {kind: base64.b64encode(os.urandom(32)).decode() for kind in ("ed25519", "ml-dsa-44")}
        write_durably(keys, json.dumps({"name": name, **seeds}).encode())
    cosigner = _cosigner(keys)
    if cosigner.name != name:
        raise WitnessError(f"The keys in {keys} are named {cosigner.name}: a witness keeps its name.")
    return Witness(cosigner, _logs(policy), Memory(heads))


def _cosigner(path: Path) -> Cosigner:
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        seeds = [base64.b64decode(stored[kind], validate=True) for kind in ("ed25519", "ml-dsa-44")]
        return Cosigner.derive(stored["name"], *seeds)
    except (OSError, ValueError, KeyError) as why:  # also NoteError and msgspec's
        raise WitnessError(f"{path} cannot be read ({why}).") from None


def _logs(policy: Path) -> dict[str, list[list[VerifierKey]]]:
    """The logs that a policy.json pins: the file that verifiers use too."""
    try:
        pinned = msgspec.json.decode(policy.read_bytes(), type=AuditPolicy).logs
        logs: dict[str, list[list[VerifierKey]]] = {}
        for log in pinned:
            logs.setdefault(log.origin, []).append([VerifierKey.parse(vkey) for vkey in log.vkeys])
    except (OSError, msgspec.DecodeError, NoteError) as why:
        raise WitnessError(f"{policy} is not a policy ({why}): take it from /v1/audit/policy of the AIBox.") from None
    return logs


def _alone(folder: Path) -> None:
    """Hold the folder for as long as the process lives: two witnesses with one memory would cosign two heads."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise WitnessError(f"Another process is the witness in {folder}.") from None


def application(witness: Witness) -> web.Application:
    """The HTTP face of a witness."""

    async def add_checkpoint(asked: web.Request) -> web.Response:
        answer = witness.add_checkpoint(await asked.read(), at_seconds=int(time.time()))
        return web.Response(status=answer.status, text=answer.text, content_type=answer.media_type)

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/add-checkpoint", add_checkpoint)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends the process with its exit code."""
    parser = argparse.ArgumentParser(prog="aibox-witness", description="Cosign the heads of AIBox's audit logs.")
    parser.add_argument("--folder", type=Path, default=Path("witness"), help="keys and memory (default ./witness)")
    parser.add_argument("--name", required=True, help="the witness's name, such as witness.example.org")
    parser.add_argument("--policy", type=Path, required=True, help="policy.json: the logs to witness, and their keys")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8090, help="the port to listen on (default 8090)")
    parser.add_argument("--keys", action="store_true", help="print the verifier keys and end")
    options = parser.parse_args(arguments)
    try:
        witness = open_witness(options.folder, options.name, options.policy)
    except WitnessError as why:
        print(f"aibox-witness: {why}", file=sys.stderr)
        sys.exit(78)
    print("\n".join(map(str, witness.cosigner.keys)), flush=True)
    if not options.keys:
        web.run_app(application(witness), host=options.host, port=options.port, print=None)


if __name__ == "__main__":
    main()

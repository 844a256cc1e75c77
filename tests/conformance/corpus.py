"""The recordings of real providers, by what was spoken; and the sample that `make test` takes of them."""

import base64
import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

Spoken = Literal["chat_completions", "responses", "messages", "embeddings", "other"]

FILE = "llm-interactions.jsonl.gz"
VLLM = ("vllm-0.32-capture.json", "vllm-0.32-toolcalls.json")
_ENDS: tuple[tuple[str, Spoken], ...] = (
    ("/chat/completions", "chat_completions"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/embeddings", "embeddings"),
)


class Recording(Struct, frozen=True):
    """One request and its answer. `request` None when none was kept."""

    name: str
    spoken: Spoken
    request: bytes | None
    status: int
    is_stream: bool
    body: bytes


def data_folder() -> Path:
    """Where the recordings are: beside the repository, or where `AIBOX_SHARED_DATA` says."""
    return Path(os.environ.get("AIBOX_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def missing() -> str | None:
    """Why the recordings cannot be replayed, None when they can."""
    absent = [name for name in (FILE, *VLLM) if not (data_folder() / name).exists()]
    return f"the recordings are not here: {', '.join(absent)} (set AIBOX_SHARED_DATA)" if absent else None


def recordings() -> Iterator[Recording]:
    """All that were kept, the captures of vLLM among them."""
    with gzip.open(data_folder() / FILE, "rb") as lines:
        for line in lines:
            item = msgspec.json.decode(line)
            name = f"{item['file'].rpartition('/')[2]}#{item['i']}"
            yield _recording(name, item, item["status"], item["content_type"] or "")
    for file in VLLM:
        for name, item in msgspec.json.decode((data_folder() / file).read_bytes()).items():
            if item.get("request") is not None and item.get("body"):
                path = {"url": item.get("path", "/v1/chat/completions")}
                kind = "event-stream" if item["body"].startswith(("data:", "event:")) else "json"
                yield _recording(f"vllm#{name}", {**item, **path}, item.get("code", 200), kind)


def _recording(name: str, item: dict[str, Any], status: int, content_type: str) -> Recording:
    path = urlsplit(item["url"]).path
    is_ours = "/threads/" not in path and not path.startswith("/api/")  # OpenAI's assistants, Ollama's own API
    spoken: Spoken = next((spoken for end, spoken in _ENDS if is_ours and path.endswith(end)), "other")
    request = item["request"]
    return Recording(
        name=name,
        spoken=spoken,
        request=_bytes(request) if request else None,
        status=status,
        is_stream="event-stream" in content_type,
        body=_unpacked(_bytes(item["body"]), item.get("body_encoding")),
    )


def _bytes(value: object) -> bytes:
    """A recorded body as bytes; some were recorded as JSON values."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _unpacked(body: bytes, encoding: str | None) -> bytes:
    """Some bodies were recorded as they came over the wire."""
    if encoding != "base64":
        return body
    packed = base64.b64decode(body)
    return gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed


def sample(all_of_them: Iterable[Recording], *, one_in: int) -> list[Recording]:
    """Every shape once, and one in so many of the rest: the same ones each time."""
    shapes: set[str] = set()
    taken = []
    for recording in all_of_them:
        shape = _shape(recording)
        lot = int.from_bytes(hashlib.sha256(recording.name.encode() + recording.body[:2000]).digest()[:4])
        if shape not in shapes or lot % one_in == 0:
            shapes.add(shape)
            taken.append(recording)
    return taken


def _shape(recording: Recording) -> str:
    """Which members the answer has, and of which types its parts are; not what they say."""
    found: set[str] = {recording.spoken, str(recording.status), str(recording.is_stream)}
    for data in payloads(recording.body) if recording.is_stream else [recording.body]:
        try:
            _paths(msgspec.json.decode(data), "", found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found.add("no JSON")
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def _paths(value: object, path: str, found: set[str]) -> None:
    match value:
        case dict():
            for name, inner in value.items():
                if name == "type" and isinstance(inner, str):
                    found.add(f"{path}={inner}")
                elif name not in ("arguments", "input", "properties", "metadata", "content_filter_results"):
                    _paths(inner, f"{path}.{name}"[-60:], found)
        case list():
            for inner in value:
                _paths(inner, f"{path}[]", found)
        case _:
            found.add(path)


def payloads(stream: bytes) -> list[bytes]:
    """The data of a recorded stream's events, read in the simplest way."""
    events = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [line for event in events for line in event.split(b"\n") if line.startswith(b"data:")]
    return [line[5:].strip() for line in lines]

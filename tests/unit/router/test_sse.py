"""The splitter of server-sent events: cut anywhere, it gives the same."""

import gzip
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.router.dialects import chat, sse

CASES: dict[bytes, list[bytes]] = {
    b"data: one\n\ndata: two\n\n": [b"one", b"two"],
    b"data: one\r\n\r\ndata: two\r\n\r\n": [b"one", b"two"],
    b"data: one\r\rdata: two\r\r": [b"one", b"two"],
    b"\xef\xbb\xbfdata: after a byte order mark\n\n": [b"after a byte order mark"],
    b": a comment\n\ndata: one\n\n": [b"one"],
    b"event: error\nid: 7\nretry: 3\ndata: one\n\n": [b"one"],
    b"data: two\ndata: lines\n\n": [b"two\nlines"],
    b"data:no space\n\ndata:  two spaces\n\n": [b"no space", b" two spaces"],
    b"data\n\ndata:\n\n": [b"", b""],
    b"database: not data\n\n": [],
    b"\n\n\n\ndata: one\n\n\n\n": [b"one"],
    b"data: one\n\ndata: [DONE]\n": [b"one", b"[DONE]"],
    b"data: one\n\ndata: [DONE]": [b"one", b"[DONE]"],
    b"data: \xe2\x82\xac and \xf0\x9f\x98\x80\n\n": ["€ and 😀".encode()],
    b"data: mixed\n\r\ndata: ends\r\n\n": [b"mixed", b"ends"],
}


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = sse.Splitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.end()


@pytest.mark.parametrize("text", CASES)
def test_an_event_is_the_same_wherever_the_network_cuts_it(text: bytes) -> None:
    assert split([text]) == CASES[text]
    assert split([bytes([byte]) for byte in text]) == CASES[text]
    for cut in range(len(text) + 1):
        assert split([text[:cut], text[cut:]]) == CASES[text], cut


@given(st.lists(st.sampled_from([b"data: x", b"data", b": c", b"\n", b"\r", b"\r\n", b"\n\n"]), max_size=12), st.data())
def test_no_cut_changes_what_comes_out(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(pieces) == split([text])


def test_an_event_without_an_end_is_refused() -> None:
    splitter = sse.Splitter()
    splitter.feed(b"x" * sse.MAX_EVENT_BYTES)
    with pytest.raises(sse.TooLongError):
        splitter.feed(b"x")


def shared_data() -> Path:
    return Path(os.environ.get("AIBOX_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def recorded_streams() -> list[str]:
    """Every Chat Completions stream that was recorded against a real provider, short ones first."""
    path = shared_data() / "llm-interactions.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the recordings are not here: {path.name} (set AIBOX_SHARED_DATA)")
    with gzip.open(path, "rb") as lines:
        items = [msgspec.json.decode(line) for line in lines if b"chat/completions" in line and b"event-stream" in line]
    streams = [item["body"] for item in items if "chat/completions" in item["url"]]
    return sorted((body for body in streams if body.startswith("data:")), key=len)


def test_recorded_streams_survive_every_cut() -> None:
    for body in recorded_streams()[:12]:
        text = body.encode()
        whole = split([text])
        # One byte at a time is every boundary at once; then each boundary alone.
        assert split([bytes([byte]) for byte in text]) == whole
        for cut in range(1, len(text)):
            assert split([text[:cut], text[cut:]]) == whole


def test_every_recorded_stream_ends_in_done_with_a_reason_or_in_an_error() -> None:
    streams = recorded_streams()
    assert len(streams) > 100
    for body in streams:
        events = split([body.encode()])
        seen = [chat.read(data) for data in events if data != chat.DONE]
        if any(item.error for item in seen):
            continue
        finished = {index for item in seen for index in item.finished}
        assert finished
        assert {index for item in seen for index in item.open} <= finished
        assert events[-1] == chat.DONE

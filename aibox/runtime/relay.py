"""The texts in requests and answers of Chat Completions, and how a stream passes the output filter.

Whatever is text is judged: contents, refusals, reasoning and the arguments of tools, each choice for itself. What
nothing changes passes byte for byte.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from aibox.guardrail import OutputFilter
from aibox.router import Chunk

PASSED = frozenset({"model", "stream", "stream_options"})
"""Members of a request that are ours to read."""

NAMES = frozenset(
    {
        "role",
        "type",
        "id",
        "tool_call_id",
        "name",
        "required",
        "$ref",
        "url",
        "image_url",
        "data",
        "file_data",
        "file_id",
    }
)
"""Members whose value is a name, a place or bytes: to mask them would break the request."""

INSTRUCTING = frozenset({"system", "developer"})
"""Roles of messages in which the client gives the model its orders. Tools may come from elsewhere: they do not."""

SAID = ("content", "refusal", "reasoning_content", "reasoning")
"""Members of a message or delta that hold text, or a list of parts that do."""


class Place(Struct, frozen=True):
    """Where a text stands: `holder[key]`."""

    holder: Any
    key: Any
    is_instruction: bool = False
    """The client's own orders to the model, not something the model is to read."""

    @property
    def text(self) -> str:
        text: str = self.holder[self.key]
        return text

    def put(self, text: str) -> None:
        self.holder[self.key] = text


class Piece(Struct, frozen=True):
    """A text in an answer; pieces of one lane follow each other."""

    lane: str
    choice: dict[str, Any]
    place: Place

    def put(self, text: str) -> None:
        """Put `text` in its place. The choice's token probabilities would still spell out the old one."""
        self.place.put(text)
        self.choice.pop("logprobs", None)


def asked(body: bytes) -> tuple[dict[str, Raw | Any], list[Place]]:
    """The members of a request, those with text decoded, and where their texts stand."""
    members: dict[str, Raw | Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
    places: list[Place] = []
    for name, raw in members.items():
        value = None if name in PASSED else msgspec.json.decode(raw)
        if isinstance(value, str):
            members[name] = value
            places.append(Place(members, name))
        elif isinstance(value, dict | list) and (found := list(_found(name, value))):
            members[name] = value
            places += found
    return members, places


def _found(member: str, value: Any) -> Iterator[Place]:
    if member != "messages":
        yield from _strings(value)
        return
    for message in value:
        yield from _strings(message, is_instruction=message["role"] in INSTRUCTING)


def _strings(tree: Any, *, is_instruction: bool = False) -> Iterator[Place]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if key in NAMES and not isinstance(value, dict):
            continue
        if isinstance(value, str):
            yield Place(tree, key, is_instruction)
        elif isinstance(value, dict | list):
            yield from _strings(value, is_instruction=is_instruction)


def answered(body: dict[str, Any], member: Literal["message", "delta"]) -> Iterator[Piece]:
    """The texts of an answer or of a chunk."""
    for number, choice in enumerate(body.get("choices") or []):
        message = choice.get(member)
        if isinstance(message, dict):
            index = choice.get("index", number)
            for lane, place in _message(message):
                if place.text:
                    yield Piece(f"{index} {lane}", choice, place)


def _message(message: dict[str, Any]) -> Iterator[tuple[str, Place]]:
    for member in SAID:
        if isinstance(message.get(member), str):
            yield member, Place(message, member)
        for part in _objects(message.get(member)):
            if isinstance(part.get("text"), str):
                yield member, Place(part, "text")
    for number, call in enumerate(_objects(message.get("tool_calls"))):
        for kind, argument in (("function", "arguments"), ("custom", "input")):
            for holder in _objects([call.get(kind)]):
                if isinstance(holder.get(argument), str):
                    yield f"{kind} {call.get('index', number)}", Place(holder, argument)
    for holder in _objects([message.get("function_call")]):
        if isinstance(holder.get("arguments"), str):
            yield "function_call", Place(holder, "arguments")


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


class Lane:
    """One text of a stream on its way through a filter of its own."""

    def __init__(self, output: OutputFilter) -> None:
        self.output = output
        self.released = ""
        self.waiting = 0
        """Pieces that have not passed."""
        self._is_changed = False

    def settle(self, piece: Piece, *, is_last: bool) -> bool | None:
        """Let the lane's next piece pass: True as it was, False with the filter's words; None: it must wait."""
        ends = is_last and self.waiting == 1
        text = piece.place.text
        if not self._is_changed:
            if self.released == text if ends else self.released.startswith(text):
                self.released = self.released[len(text) :]
                self.waiting -= 1
                return True
            if not is_last and text.startswith(self.released):
                return None  # its rest is still held back
            self._is_changed = True
        # From here the words are the filter's, put into the pieces that wait; the last takes the rest.
        if not is_last and (self.waiting == 1 or not self.released):
            return None
        piece.put(self.released)
        self.released = ""
        self.waiting -= 1
        return False


class Frame:
    """A chunk that waits until all its texts may pass."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tree = msgspec.json.decode(data)
        self._is_changed = False
        self.pieces = deque(answered(self._tree, "delta"))

    def pass_pieces(self, lanes: dict[str, Lane], *, is_last: bool) -> bool:
        """Let the pieces pass that may; whether all have."""
        while self.pieces:
            passed = lanes[self.pieces[0].lane].settle(self.pieces[0], is_last=is_last)
            if passed is None:
                return False
            self._is_changed = self._is_changed or not passed
            self.pieces.popleft()
        return True

    @property
    def data(self) -> bytes:
        return msgspec.json.encode(self._tree) if self._is_changed else self._data


class Relay:
    """Passes a stream's chunks on, in order: as they are while the filters change nothing, with their text after."""

    def __init__(self, output: Callable[[], OutputFilter]) -> None:
        self._output = output
        self._lanes: dict[str, Lane] = {}
        self._waiting: deque[Frame] = deque()

    async def push(self, chunk: Chunk) -> list[bytes]:
        """Take a chunk in; return the frames that may go out."""
        frame = Frame(chunk.data)
        self._waiting.append(frame)
        for piece in frame.pieces:
            lane = self._lanes.get(piece.lane)
            if lane is None:
                lane = self._lanes[piece.lane] = Lane(self._output())
            lane.waiting += 1
            lane.released += await lane.output.push(piece.place.text)
        return self._pass(is_last=False)

    async def close(self) -> list[bytes]:
        """The rest."""
        for lane in self._lanes.values():
            lane.released += await lane.output.close()
        return self._pass(is_last=True)

    def _pass(self, *, is_last: bool) -> list[bytes]:
        ready: list[bytes] = []
        while self._waiting and self._waiting[0].pass_pieces(self._lanes, is_last=is_last):
            ready.append(self._waiting.popleft().data)
        return ready

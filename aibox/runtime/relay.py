"""The texts in requests of every dialect, and how a stream passes the output filter.

Whatever is text is judged: contents, refusals, reasoning and what tools are given, each part for itself. What nothing
changes passes byte for byte.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from aibox.core.errors import BadRequest, ValidationFailed
from aibox.guardrail import Form, OutputFilter
from aibox.router import Chunk, Dialect, ModelStream, Said
from aibox.runtime.attachments import Carried, carried

PASSED = frozenset({"model", "stream", "stream_options", "include", "store"})
"""Members of a request that are ours to read, or name things."""

NAMES = frozenset(
    {
        "role",
        "type",
        "id",
        "tool_call_id",
        "tool_use_id",
        "call_id",
        "name",
        "required",
        "status",
        "$ref",
        "url",
        "image_url",
        "audio_url",
        "video_url",
        "file_url",
        "media_type",
        "data",
        "file_data",
        "file_id",
        "signature",
        "encrypted_content",
    }
)
"""Members whose value is a name, a place or bytes: to mask them would break the request. What bytes hold is for
`aibox.runtime.attachments`."""

GIVEN = frozenset({"tool_use", "server_tool_use"})
"""Types of parts whose `input` is what a tool was given: in it no member is only a name."""

INSTRUCTING = frozenset({"system", "developer"})
"""Roles of messages in which the client gives the model its orders. Tools may come from elsewhere: they do not."""

CONVERSATION = frozenset({"messages", "input"})
"""Members of a request that hold what was said."""

ORDERS = frozenset({"system", "instructions"})
"""Members of a request that are such orders."""


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


class Asked(Struct, frozen=True):
    """A request taken apart: its members, those with text decoded; where texts stand; and what is carried besides."""

    members: dict[str, Raw | Any]
    places: list[Place]
    carried: list[Carried]


class Part(Struct, frozen=True):
    type: str
    text: str | None = None


class ReadMessage(Struct, frozen=True):
    """What a message has to be; more is not asked of it."""

    role: str
    content: str | list[Part] | None = None


def asked(body: bytes) -> Asked:
    """The request, taken apart.

    Raises `BadRequest` for what is no JSON object, `ValidationFailed` for messages that are none.
    """
    try:
        members: dict[str, Raw | Any] = dict(msgspec.json.decode(body, type=dict[str, Raw]))
        if "messages" in members:
            msgspec.json.decode(members["messages"], type=list[ReadMessage])
        places: list[Place] = []
        brought: list[Carried] = []
        for name, raw in members.items():
            value = None if name in PASSED else msgspec.json.decode(raw)
            if isinstance(value, str):
                members[name] = value
                places.append(Place(members, name, name in ORDERS))
            elif isinstance(value, dict | list):
                found = list(_found(name, value))
                more = list(carried(value)) if name in CONVERSATION else []
                if found or more:
                    members[name] = value
                    places += found
                    brought += more
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"A message is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    return Asked(members, places, brought)


def _found(member: str, value: Any) -> Iterator[Place]:
    if member not in CONVERSATION or not isinstance(value, list):
        yield from _strings(value, is_instruction=member in ORDERS)
        return
    for number, message in enumerate(value):
        if isinstance(message, str):
            yield Place(value, number)
        elif isinstance(message, dict | list):
            role = message.get("role") if isinstance(message, dict) else None
            yield from _strings(message, is_instruction=isinstance(role, str) and role in INSTRUCTING)


def _strings(tree: Any, *, is_instruction: bool = False, has_names: bool = True) -> Iterator[Place]:
    kind = tree.get("type") if isinstance(tree, dict) else None
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        is_name = has_names and key in NAMES and not (key == "data" and kind == "text")
        if is_name and not isinstance(value, dict):
            continue
        if isinstance(value, str):
            yield Place(tree, key, is_instruction)
        elif isinstance(value, dict | list):
            is_given = key == "input" and kind in GIVEN
            yield from _strings(value, is_instruction=is_instruction, has_names=has_names and not is_given)


class Piece(Struct, frozen=True):
    """A text in an answer. `shown`: what takes its place, where that is known already."""

    said: Said
    shown: str | None = None

    @property
    def text(self) -> str:
        text: str = self.said.holder[self.said.key]
        return text

    def put(self, text: str) -> None:
        """Put `text` in its place. The token probabilities beside it would still spell out the old one."""
        self.said.holder[self.said.key] = text
        if self.said.beside is not None:
            self.said.beside.pop("logprobs", None)


class Lane:
    """One text of a stream on its way through a filter of its own."""

    def __init__(self, output: OutputFilter) -> None:
        self.released = ""
        self.waiting = 0
        """Pieces that have not passed."""
        self.is_closed = False
        self._output = output
        self._is_changed = False
        self._arrived: list[str] = []
        self._shown: list[str] = []

    async def push(self, text: str) -> None:
        self.waiting += 1
        self._arrived.append(text)
        self._release(await self._output.push(text))

    async def close(self) -> tuple[str, str]:
        """All that arrived, and all that is shown of it."""
        if not self.is_closed:
            self.is_closed = True
            self._release(await self._output.close())
        return "".join(self._arrived), "".join(self._shown)

    def settle(self, piece: Piece) -> bool | None:
        """Let the lane's next piece pass: True as it was, False with the filter's words; None: it must wait."""
        ends = self.is_closed and self.waiting == 1
        text = piece.text
        if not self._is_changed:
            if self.released == text if ends else self.released.startswith(text):
                self.released = self.released[len(text) :]
                self.waiting -= 1
                return True
            if not self.is_closed and text.startswith(self.released):
                return None  # its rest is still held back
            self._is_changed = True
        # From here the words are the filter's, put into the pieces that wait; the last takes the rest.
        if not self.is_closed and (self.waiting == 1 or not self.released):
            return None
        piece.put(self.released)
        self.released = ""
        self.waiting -= 1
        return False

    def _release(self, text: str) -> None:
        self.released += text
        self._shown.append(text)


class Frame:
    """A chunk that waits until all its texts may pass."""

    def __init__(self, chunk: Chunk, tree: Any) -> None:
        self._chunk = chunk
        self._tree = tree
        self._is_changed = False
        self.pieces: deque[Piece] = deque()

    def pass_pieces(self, lanes: dict[str, Lane]) -> bool:
        """Let the pieces pass that may; whether all have."""
        while self.pieces:
            piece = self.pieces[0]
            if piece.shown is None:
                passed = lanes[piece.said.lane].settle(piece)
                if passed is None:
                    return False
                self._is_changed = self._is_changed or not passed
            elif piece.shown != piece.text:
                piece.put(piece.shown)
                self._is_changed = True
            self.pieces.popleft()
        return True

    @property
    def chunk(self) -> Chunk:
        return replace(self._chunk, data=msgspec.json.encode(self._tree)) if self._is_changed else self._chunk


def _form(said: Said) -> Form:
    """The arguments of a call are JSON, in which a value is restored escaped. A string in them, decoded, is a text."""
    is_decoded = "/" in said.lane
    is_json = said.key in ("arguments", "partial_json") or "_arguments" in said.lane
    return "json" if is_json and not is_decoded else "text"


class Relay:
    """Passes a stream's chunks on, in order: as they are while the filters change nothing, with their text after."""

    def __init__(self, dialect: Dialect, output: Callable[[Form], OutputFilter]) -> None:
        self._dialect = dialect
        self._output = output
        self._lanes: dict[str, Lane] = {}
        self._waiting: deque[Frame] = deque()
        self._wholes: dict[str, str] = {}
        """What is shown of each text that is repeated as a whole."""

    async def through(self, stream: ModelStream) -> AsyncIterator[Chunk]:
        """The chunks of `stream` as they may be shown."""
        async for chunk in stream:
            for ready in await self.push(chunk):
                yield ready
        for ready in await self.close():
            yield ready

    async def push(self, chunk: Chunk) -> list[Chunk]:
        """Take a chunk in; return those that may go out."""
        tree = msgspec.json.decode(chunk.data)
        frame = Frame(chunk, tree)
        self._waiting.append(frame)
        for said in list(self._dialect.said(tree)):
            text = said.holder[said.key]
            if not text:
                continue
            if said.is_whole:
                frame.pieces.append(Piece(said, await self._whole(said.lane, text, _form(said))))
                continue
            lane = self._lanes.get(said.lane)
            if lane is None or lane.is_closed:
                lane = self._lanes[said.lane] = Lane(self._output(_form(said)))
            frame.pieces.append(Piece(said))
            await lane.push(text)
        if (ended := self._lanes.get(self._dialect.closed(tree) or "")) is not None:
            await ended.close()
        return self._pass()

    async def close(self) -> list[Chunk]:
        """The rest."""
        for lane in self._lanes.values():
            await lane.close()
        return self._pass()

    async def whole(self, data: bytes) -> bytes:
        """A whole answer as it may be shown."""
        tree = msgspec.json.decode(data)
        is_changed = False
        for said in list(self._dialect.said(tree)):
            piece = Piece(said)
            if piece.text and (shown := await self._whole("", piece.text, _form(said))) != piece.text:
                piece.put(shown)
                is_changed = True
        return msgspec.json.encode(tree) if is_changed else data

    async def _whole(self, name: str, text: str, form: Form) -> str:
        if (lane := self._lanes.get(name)) is not None:
            arrived, shown = await lane.close()
            self._wholes[arrived] = shown
        if text not in self._wholes:
            output = self._output(form)
            self._wholes[text] = await output.push(text) + await output.close()
        return self._wholes[text]

    def _pass(self) -> list[Chunk]:
        ready: list[Chunk] = []
        while self._waiting and self._waiting[0].pass_pieces(self._lanes):
            ready.append(self._waiting.popleft().chunk)
        return ready

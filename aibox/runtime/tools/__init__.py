"""Tools of AIBox's own that a model may use in a chat: what each is called, what it takes, and who may use it."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from aibox.core.errors import ValidationFailed
from aibox.core.turn import Turn
from aibox.knowledge import Found, Knowledge, Wiki
from aibox.memory import Memories

FORM = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
"""What a tool may be called."""

UNNAMED = "unknown_tool"
"""What stands for the name of a tool that a model made up, where no such name may be shown."""


class Services(Struct, frozen=True, kw_only=True):
    """What tools work with."""

    memories: Memories
    knowledge: Knowledge
    wiki: Wiki


class Result(Struct, frozen=True):
    """What a tool gave: a JSON value whose texts are all judged, or passages that the answer may rest on and cite."""

    value: object = None
    found: tuple[Found, ...] = ()


class Tool(Struct, frozen=True, kw_only=True):
    """A tool. `needs` are the permissions of what it does, `scope` the one that an API key must have.

    One that `asks` is never used before its user approves: it does what cannot be taken back, or what others see.
    `reaches_others` says for given arguments whether others see it; then it asks as well.
    """

    name: str
    description: str
    arguments: type[Struct]
    act: Callable[[Services, Turn, Any], Awaitable[Result]]
    needs: tuple[str, ...]
    scope: str
    asks: bool = False
    reaches_others: Callable[[Services, Turn, Any], Awaitable[bool]] | None = None

    @property
    def definition(self) -> dict[str, Any]:
        """As Chat Completions offers it to a model."""
        _, shapes = msgspec.json.schema_components([self.arguments])
        shape = shapes[self.arguments.__name__]
        parameters = {name: shape[name] for name in ("type", "properties", "required") if name in shape}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}

    def is_for(self, turn: Turn) -> bool:
        """Whether the turn's principal may use it."""
        return self.is_permitted(turn) and self.is_in_scope(turn)

    def is_permitted(self, turn: Turn) -> bool:
        """Whether the rights of the turn's principal are enough for it."""
        return all(map(turn.principal.may, (f"tools.{self.name}", *self.needs)))

    def is_in_scope(self, turn: Turn) -> bool:
        """Whether it is among what the turn's API key is for, if it is one."""
        scopes = turn.principal.scopes
        return scopes is None or self.scope in scopes


def taken(tool: Tool, arguments: bytes | str) -> Struct:
    """The arguments as the tool takes them. Raises `ValidationFailed`, whose fields a model can mend its call by."""
    try:
        given = msgspec.json.decode(arguments or b"{}", type=tool.arguments)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise ValidationFailed(fields=[{"field": f"arguments{place.rstrip('`')}", "error": problem}]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationFailed(fields=[{"field": "arguments", "error": "It is no JSON object."}]) from None
    if b"\\u0000" in msgspec.json.encode(given):
        raise ValidationFailed(
            fields=[{"field": "arguments", "error": "It holds a NUL character, which cannot be kept."}]
        )
    return given

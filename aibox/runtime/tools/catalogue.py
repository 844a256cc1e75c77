"""All tools, by name, and which of them a turn is offered."""

from typing import Final

from aibox.core.turn import Turn
from aibox.runtime.tools import Tool, knowledge, memory

TOOLS: Final = {tool.name: tool for tool in (*memory.TOOLS, *knowledge.TOOLS)}


def offered(turn: Turn, *, remembers: bool) -> tuple[Tool, ...]:
    """The tools that the turn's principal may use; those of memory only where the chat `remembers`."""
    return tuple(tool for tool in TOOLS.values() if tool.is_for(turn) and (remembers or tool not in memory.TOOLS))

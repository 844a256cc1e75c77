"""The tools `memory_*`: what the assistant may do with what is remembered of its user."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import NotFound
from aibox.core.turn import Turn
from aibox.memory import MAX_CONTENT, Kind, Memory
from aibox.runtime.tools import Result, Services, Tool

Content = Annotated[
    str, Meta(min_length=1, max_length=MAX_CONTENT, description="One statement that is understood without the chat")
]
Id = Annotated[UUID, Meta(description="The `id` of a memory, as memory_recall or memory_list gives it")]


class StoreArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: Content
    kind: Kind = "fact"


class RecallArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT, description="What to look for")]


class OneArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    memory_id: Id


class ListArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=50)] = 20
    before: Annotated[UUID | None, Meta(description="The last `id` of the page before")] = None


class UpdateArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    memory_id: Id
    content: Content


async def _store(services: Services, turn: Turn, given: StoreArguments) -> Result:
    return Result(_told(await services.memories.store(turn, given.content, kind=given.kind)))


async def _recall(services: Services, turn: Turn, given: RecallArguments) -> Result:
    found = await services.memories.recall(turn, given.query)
    return Result({"memories": [_told(memory) for memory in found.memories]})


async def _get(services: Services, turn: Turn, given: OneArguments) -> Result:
    return Result(_told(await _here(services, turn, given.memory_id)))


async def _list(services: Services, turn: Turn, given: ListArguments) -> Result:
    page = await services.memories.list(turn, limit=given.limit, before=given.before)
    return Result({"memories": [_told(memory) for memory in page if _is_here(turn, memory)]})


async def _update(services: Services, turn: Turn, given: UpdateArguments) -> Result:
    await _here(services, turn, given.memory_id)
    return Result(_told(await services.memories.update(turn, given.memory_id, given.content)))


async def _is_shared(services: Services, turn: Turn, given: UpdateArguments) -> bool:
    return (await _here(services, turn, given.memory_id)).visibility != "private"


async def _delete(services: Services, turn: Turn, given: OneArguments) -> Result:
    await _here(services, turn, given.memory_id)
    await services.memories.delete(turn, given.memory_id)
    return Result({"deleted": str(given.memory_id)})


async def _here(services: Services, turn: Turn, memory_id: UUID) -> Memory:
    memory = await services.memories.get(turn, memory_id)
    if not _is_here(turn, memory):
        raise NotFound("There is no such memory.")
    return memory


def _is_here(turn: Turn, memory: Memory) -> bool:
    """A memory of another agent or session is not there."""
    scope = memory.scope
    return scope.agent_id in ("", turn.agent) and scope.session_id in ("", str(turn.conversation or ""))


def _told(memory: Memory) -> dict[str, object]:
    """Its id and time are no texts: nothing is to be masked in them."""
    return {
        "id": memory.id,
        "content": memory.content,
        "kind": memory.kind,
        "updated_at": memory.updated_at,
    }


READ = ("memory.read_own",)
WRITE = ("memory.write",)

TOOLS = (
    Tool(
        name="memory_recall",
        description="Look for what is remembered of the user, by meaning and by words.",
        arguments=RecallArguments,
        act=_recall,
        needs=READ,
        scope="memory",
    ),
    Tool(
        name="memory_store",
        description="Remember something about the user for later chats. Use it when they ask for it.",
        arguments=StoreArguments,
        act=_store,
        needs=WRITE,
        scope="memory",
    ),
    Tool(
        name="memory_list",
        description="List what is remembered of the user, the newest first.",
        arguments=ListArguments,
        act=_list,
        needs=READ,
        scope="memory",
    ),
    Tool(
        name="memory_get",
        description="Read one memory by its id.",
        arguments=OneArguments,
        act=_get,
        needs=READ,
        scope="memory",
    ),
    Tool(
        name="memory_update",
        description="Correct what a memory says; its earlier words stay in its history.",
        arguments=UpdateArguments,
        act=_update,
        reaches_others=_is_shared,
        needs=(*READ, *WRITE),
        scope="memory",
    ),
    Tool(
        name="memory_delete",
        description="Delete a memory for good. The user is asked first.",
        arguments=OneArguments,
        act=_delete,
        needs=(*READ, "memory.delete"),
        scope="memory",
        asks=True,
    ),
)

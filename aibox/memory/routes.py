"""`/v1/memory`: what is remembered of the caller."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from aibox.core.errors import NotFound
from aibox.core.turn import Turn
from aibox.identity import TenantMismatch
from aibox.memory import Memories, Memory
from aibox.memory.schemas import (
    ErasedBody,
    ExportBody,
    ExportedBody,
    HistoryBody,
    MemoryBody,
    MemoryList,
    Named,
    ScopeBody,
    SearchBody,
    StoreBody,
    SwitchBody,
    UpdateBody,
    body,
)

READ = {"policy": "memory.read_own", "scope": "memory"}
WRITE = {"policy": "memory.write", "scope": "memory"}
DELETE = {"policy": "memory.delete", "scope": "memory"}


class MemoryController(Controller):
    """The caller's memories over HTTP; another's are not there."""

    path = "/v1/memory"

    @get(opt=READ)
    async def list_memories(
        self,
        turn: NamedDependency[Turn],
        memories: NamedDependency[Memories],
        user_id: FromQuery[UUID | None] = None,
        cursor: FromQuery[UUID | None] = None,
        agent_id: FromQuery[Named | None] = None,
        session_id: FromQuery[Named | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    ) -> MemoryList:
        """The caller's own, the newest first; of an agent or session by name only its own."""
        scope = ScopeBody(user_id=user_id, agent_id=agent_id, session_id=session_id)
        _require_own(turn, scope)
        found = await memories.list(turn, limit=limit, before=cursor, scope=scope.narrowed)
        return MemoryList(
            memories=[body(memory, turn.tenant) for memory in found],
            next_cursor=str(found[-1].id) if len(found) == limit else None,
        )

    @post(opt=WRITE)
    async def store(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], data: JSONBody[StoreBody]
    ) -> MemoryBody | MemoryList:
        """Keep something; the same content again is the same memory. With `infer` the answer lists what was found."""
        _require_own(turn, data.scope)
        keep = memories.extract if data.infer else memories.store
        kept = await keep(
            turn,
            data.content,
            memory_type=data.memory_type,
            kind=data.kind,
            visibility=data.visibility,
            scope=data.scope.narrowed,
        )
        if isinstance(kept, Memory):
            return body(kept, turn.tenant)
        return MemoryList(memories=[body(memory, turn.tenant) for memory in kept])

    @post("/search", status_code=HTTP_200_OK, opt=READ)
    async def search(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], data: JSONBody[SearchBody]
    ) -> MemoryList:
        """By meaning and by words, best first."""
        _require_own(turn, data.scope)
        found = await memories.search(turn, data.query, limit=data.limit, scope=data.scope.narrowed)
        return MemoryList(memories=[body(memory, turn.tenant) for memory in found])

    @get("/export", opt=READ)
    async def export(self, turn: NamedDependency[Turn], memories: NamedDependency[Memories]) -> ExportBody:
        """Everything that is remembered of the caller, with histories, the oldest first."""
        told = await memories.export(turn)
        return ExportBody(
            memories=[ExportedBody(memory=body(one.memory, turn.tenant), history=one.history) for one in told]
        )

    @get("/switch", opt=READ)
    async def switched(self, turn: NamedDependency[Turn], memories: NamedDependency[Memories]) -> SwitchBody:
        """Whether the caller's chats recall and keep memories."""
        return SwitchBody(enabled=not await memories.is_off(turn))

    @put("/switch", opt=WRITE)
    async def switch(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], data: JSONBody[SwitchBody]
    ) -> SwitchBody:
        """Switch them on or off; what is stored stays."""
        await memories.switch(turn, off=not data.enabled)
        return data

    @get("/{memory_id:uuid}", opt=READ)
    async def get_memory(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], memory_id: FromPath[UUID]
    ) -> MemoryBody:
        """One memory."""
        return body(await memories.get(turn, memory_id), turn.tenant)

    @get("/{memory_id:uuid}/history", opt=READ)
    async def history(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], memory_id: FromPath[UUID]
    ) -> HistoryBody:
        """What it said, the oldest first."""
        return HistoryBody(history=list(await memories.history(turn, memory_id)))

    @put("/{memory_id:uuid}", opt=WRITE)
    async def update(
        self,
        turn: NamedDependency[Turn],
        memories: NamedDependency[Memories],
        memory_id: FromPath[UUID],
        data: JSONBody[UpdateBody],
    ) -> MemoryBody:
        """Change what it says."""
        return body(await memories.update(turn, memory_id, data.content), turn.tenant)

    @delete("/{memory_id:uuid}", opt=DELETE)
    async def delete_memory(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], memory_id: FromPath[UUID]
    ) -> None:
        """Remove it with its vector and history."""
        await memories.delete(turn, memory_id)

    @delete(status_code=HTTP_200_OK, opt=DELETE)
    async def erase(
        self, turn: NamedDependency[Turn], memories: NamedDependency[Memories], user_id: FromQuery[UUID | None] = None
    ) -> ErasedBody:
        """Remove all of the caller's memories, vectors and history too."""
        _require_own(turn, ScopeBody(user_id=user_id))
        return ErasedBody(erased=await memories.erase(turn))


def _require_own(turn: Turn, scope: ScopeBody) -> None:
    if scope.tenant_id is not None and scope.tenant_id != turn.tenant:
        raise TenantMismatch()
    if scope.user_id is not None and scope.user_id != turn.principal.id:
        raise NotFound()


ROUTES: list[type[Controller]] = [MemoryController]

"""Requests and responses of the memory routes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from aibox.memory import MAX_CONTENT, Change, Kind, Match, Memory, MemoryType, Scope, Visibility

Content = Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT)]


Named = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
"""The id of an agent or a session: letters and digits, so that none is a wildcard or looks like another."""


class ScopeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose memories. Tenant and user must be the caller's own; agent and session only narrow."""

    tenant_id: UUID | None = None
    user_id: UUID | None = None
    agent_id: Named | None = None
    session_id: Named | None = None

    @property
    def narrowed(self) -> Scope:
        return Scope(agent_id=self.agent_id or "", session_id=self.session_id or "")


class StoreBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory to keep; with `infer` a text, from which the role `memory` extracts what to keep."""

    content: Content
    memory_type: MemoryType
    scope: ScopeBody = ScopeBody()
    kind: Kind = "fact"
    visibility: Visibility = "private"
    infer: bool = False


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to the memories."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT)]
    scope: ScopeBody = ScopeBody()
    limit: Annotated[int, Meta(ge=1, le=50)] = 8


class UpdateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the memory says from now on."""

    content: Content


class OwnerBody(Struct, frozen=True, kw_only=True):
    """Whose memory it is, and where it is recalled."""

    tenant_id: UUID
    user_id: UUID
    agent_id: str | None = None
    session_id: str | None = None


class MemoryBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A memory. `score` is its cosine similarity and `matched` why it was found, in search results."""

    id: UUID
    content: str
    memory_type: MemoryType
    kind: Kind
    visibility: Visibility
    scope: OwnerBody
    created_at: datetime
    updated_at: datetime
    score: float | None = None
    matched: tuple[Match, ...] = ()


class MemoryList(Struct, frozen=True, kw_only=True):
    """A page of memories; `next_cursor` is null on the last."""

    memories: list[MemoryBody]
    next_cursor: str | None = None


class HistoryBody(Struct, frozen=True, kw_only=True):
    """What a memory said, the oldest first."""

    history: list[Change]


class ExportedBody(Struct, frozen=True, kw_only=True):
    """A memory with what it said before."""

    memory: MemoryBody
    history: tuple[Change, ...]


class ExportBody(Struct, frozen=True, kw_only=True):
    """Everything that is remembered of the caller."""

    memories: list[ExportedBody]


class SwitchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the caller's chats recall and keep memories."""

    enabled: bool


class ErasedBody(Struct, frozen=True, kw_only=True):
    """How many memories are gone."""

    erased: int


def body(memory: Memory, tenant: UUID) -> MemoryBody:
    """`memory` as the API shows it."""
    return MemoryBody(
        id=memory.id,
        content=memory.content,
        memory_type=memory.memory_type,
        kind=memory.kind,
        visibility=memory.visibility,
        scope=OwnerBody(
            tenant_id=tenant,
            user_id=memory.user_id,
            agent_id=memory.scope.agent_id or None,
            session_id=memory.scope.session_id or None,
        ),
        created_at=memory.created_at,
        updated_at=memory.updated_at,
        score=memory.score,
        matched=memory.matched,
    )

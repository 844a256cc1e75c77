"""Requests and responses of the memory routes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from aibox.memory import MAX_CONTENT, Change, Kind, Memory, MemoryType, Visibility

Content = Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT)]


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose memories. Both must be the caller's own; neither can be a wildcard."""

    tenant_id: UUID | None = None
    user_id: UUID | None = None


class StoreBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory to keep. `infer` (a model extracts facts) is not available yet."""

    content: Content
    memory_type: MemoryType
    scope: Scope = Scope()
    kind: Kind = "fact"
    visibility: Visibility = "private"
    infer: bool = False


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to the memories."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT)]
    scope: Scope = Scope()
    limit: Annotated[int, Meta(ge=1, le=50)] = 8


class UpdateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the memory says from now on."""

    content: Content


class OwnerBody(Struct, frozen=True, kw_only=True):
    """Whose memory it is."""

    tenant_id: UUID
    user_id: UUID


class MemoryBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A memory. `score` is its cosine similarity, in search results."""

    id: UUID
    content: str
    memory_type: MemoryType
    kind: Kind
    visibility: Visibility
    scope: OwnerBody
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class MemoryList(Struct, frozen=True, kw_only=True):
    """A page of memories; `next_cursor` is null on the last."""

    memories: list[MemoryBody]
    next_cursor: str | None = None


class HistoryBody(Struct, frozen=True, kw_only=True):
    """What a memory said, the oldest first."""

    history: list[Change]


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
        scope=OwnerBody(tenant_id=tenant, user_id=memory.user_id),
        created_at=memory.created_at,
        updated_at=memory.updated_at,
        score=memory.score,
    )

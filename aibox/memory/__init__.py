"""What is remembered of a person between turns: mem0 on our vectors, confined to its tenant and user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.events import Event
from aibox.core.turn import Turn

MemoryType = Literal["user", "feedback", "project", "reference"]
Kind = Literal["fact", "preference", "event", "skill-note"]
Visibility = Literal["private", "team", "org"]

MAX_CONTENT = 8000
"""Most characters of a memory."""


class Settings(Struct, frozen=True, kw_only=True):
    """Recall."""

    collection: Annotated[
        str, Meta(description="Prefix of the vector collection", extra={"env": "COLLECTION_PREFIX"})
    ] = "mem0"
    threshold: Annotated[float, Meta(description="Least cosine similarity that is recalled")] = 0.3
    limit: Annotated[int, Meta(description="Most memories recalled for a turn")] = 8
    token_budget: Annotated[int, Meta(description="Most tokens of memories put before a prompt")] = 2000


class Memory(Struct, frozen=True, kw_only=True):
    """One remembered thing. `score` is set in search results."""

    id: UUID
    content: str
    memory_type: MemoryType
    kind: Kind
    visibility: Visibility
    user_id: UUID
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class Change(Struct, frozen=True, kw_only=True):
    """What a memory said from a time on."""

    op: Literal["store", "update"]
    content: str
    at: datetime


class Recall(Struct, frozen=True, kw_only=True):
    """What was recalled for a turn. `context` is the `<memory-context>` block, empty when there is nothing."""

    memories: tuple[Memory, ...] = ()
    context: str = ""
    degraded: bool = False
    """The embedder failed and the most recent memories were taken instead."""


@runtime_checkable
class Memories(Protocol):
    """The memories of the turn's user. Another user's or tenant's is NotFound."""

    async def recall(self, turn: Turn, text: str) -> Recall:
        """What fits `text`, for the prompt, as data and never as instruction. Never raises for a failing embedder."""
        ...

    async def observe(self, turn: Turn, text: str) -> list[Memory]:
        """Keep what the user's message states about themselves or asks to remember; often nothing."""
        ...

    async def store(
        self,
        turn: Turn,
        content: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
    ) -> Memory:
        """Keep `content`, also when no embedder answers: it is indexed later. The same content again is one memory.

        Raises `ValidationFailed`, and `Forbidden` for a visibility that the principal may not share with.
        """
        ...

    async def search(self, turn: Turn, query: str, *, limit: int = 8) -> list[Memory]:
        """By meaning and by words, best first, with scores. Raises what the embedder raises."""
        ...

    async def list(self, turn: Turn, *, limit: int = 50, before: UUID | None = None) -> Sequence[Memory]:
        """The newest first; `before` is the last id of the page before."""
        ...

    async def get(self, turn: Turn, memory_id: UUID) -> Memory: ...

    async def history(self, turn: Turn, memory_id: UUID) -> Sequence[Change]:
        """What the memory said, the oldest first. It goes when the memory is deleted."""
        ...

    async def update(self, turn: Turn, memory_id: UUID, content: str) -> Memory: ...

    async def delete(self, turn: Turn, memory_id: UUID) -> None: ...

    async def erase(self, turn: Turn) -> int:
        """Remove all memories of the turn's user, vectors and history too; the number removed."""
        ...


class MemoryOp(Event, frozen=True, kw_only=True):
    """Memory was read or written in a turn: `op` is `recall`, `store`, `update`, `delete` or `erase`."""

    type: ClassVar[str] = "memory_op"
    op: str
    count: int
    ids: tuple[str, ...] = ()
    degraded: bool = False

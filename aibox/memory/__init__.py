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
Match = Literal["meaning", "words", "recent"]
"""Why a memory was found."""

MAX_CONTENT = 8000
"""Most characters of a memory."""


class Settings(Struct, frozen=True, kw_only=True):
    """Recall."""

    collection: Annotated[
        str, Meta(description="Prefix of the vector collection", extra={"env": "COLLECTION_PREFIX"})
    ] = "mem0"
    threshold: Annotated[float, Meta(description="Least cosine similarity that is recalled")] = 0.3
    limit: Annotated[int, Meta(description="Most memories recalled for a turn")] = 8
    consolidate_at: Annotated[
        int, Meta(description="Hour of the day (UTC) at which the role `memory` merges what says the same", ge=0, le=23)
    ] = 3
    token_budget: Annotated[int, Meta(description="Most tokens of memories put before a prompt")] = 2000


class Scope(Struct, frozen=True, kw_only=True):
    """Narrows memories to an agent's, to a session's, or to both. Empty narrows nothing."""

    agent_id: str = ""
    session_id: str = ""


EVERYWHERE = Scope()


class Memory(Struct, frozen=True, kw_only=True):
    """One remembered thing. A memory of an agent or session is recalled there only. `score` (the cosine) and `matched`
    are set in search results."""

    id: UUID
    content: str
    memory_type: MemoryType
    kind: Kind
    visibility: Visibility
    user_id: UUID
    created_at: datetime
    updated_at: datetime
    scope: Scope = Scope()
    score: float | None = None
    matched: tuple[Match, ...] = ()


class Change(Struct, frozen=True, kw_only=True):
    """What a memory said from a time on."""

    op: Literal["store", "update", "merge"]
    content: str
    at: datetime


class Exported(Struct, frozen=True, kw_only=True):
    """A memory with its history."""

    memory: Memory
    history: tuple[Change, ...]


class Noticed(Struct, frozen=True, kw_only=True):
    """Something in a message that is worth keeping."""

    content: str
    memory_type: MemoryType
    kind: Kind


class Recall(Struct, frozen=True, kw_only=True):
    """What was recalled for a turn. `lines` are the memories as a prompt has them, each escaped and on one line."""

    memories: tuple[Memory, ...] = ()
    lines: tuple[str, ...] = ()
    degraded: bool = False
    """The embedder failed and the most recent memories were taken instead."""


@runtime_checkable
class Memories(Protocol):
    """The memories of the turn's user, and those that others share, for who may read them. Any other is NotFound.

    `team` and `org` memories are read by who has `memory.read_team` and `memory.read_org`; only their owner changes
    them.
    """

    async def recall(self, turn: Turn, text: str) -> Recall:
        """What fits `text`, for the prompt, as data and never as instruction. Never raises for a failing embedder.

        Of scoped memories only those of the turn's agent and conversation. Nothing for who has switched memory off.
        """
        ...

    def context(self, lines: Sequence[str]) -> str:
        """The `<memory-context>` block of what was recalled; empty when there is nothing."""
        ...

    async def observe(self, turn: Turn, text: str) -> list[Memory]:
        """Keep what the user's message states about themselves, corrects, or asks to remember; often nothing."""
        ...

    async def noticed(self, turn: Turn, text: str) -> Sequence[Noticed]:
        """What `observe` would keep of the message; nothing for who has switched memory off."""
        ...

    async def store(
        self,
        turn: Turn,
        content: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
        scope: Scope = EVERYWHERE,
    ) -> Memory:
        """Keep `content`, also when no embedder answers: it is indexed later. The same content again is one memory.

        Raises `ValidationFailed`, and `Forbidden` for a visibility that the principal may not share with.
        """
        ...

    async def extract(
        self,
        turn: Turn,
        text: str,
        *,
        memory_type: MemoryType = "user",
        kind: Kind = "fact",
        visibility: Visibility = "private",
        scope: Scope = EVERYWHERE,
    ) -> Sequence[Memory]:
        """Let the role `memory` read `text` and keep what it finds; nothing stored is changed.

        Raises what `store` and the router raise, and `BackendMalformed` when the model answers what is no list.
        """
        ...

    async def search(self, turn: Turn, query: str, *, limit: int = 8, scope: Scope = EVERYWHERE) -> list[Memory]:
        """By meaning and by words, best first, with scores. Raises what the embedder raises."""
        ...

    async def list(
        self, turn: Turn, *, limit: int = 50, before: UUID | None = None, scope: Scope = EVERYWHERE
    ) -> Sequence[Memory]:
        """The user's own, the newest first; `before` is the last id of the page before."""
        ...

    async def export(self, turn: Turn) -> Sequence[Exported]:
        """All of the user's own with their histories, the oldest first."""
        ...

    async def is_off(self, turn: Turn) -> bool:
        """Whether the user has switched memory off."""
        ...

    async def switch(self, turn: Turn, *, off: bool) -> None:
        """Off: nothing is recalled or observed. What is stored stays until it is deleted."""
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
    """Memory was read or written in a turn: `op` is `recall`, `store`, `update`, `delete`, `erase`,
    `merge`, `on` or `off`."""

    type: ClassVar[str] = "memory_op"
    op: str
    count: int
    ids: tuple[str, ...] = ()
    degraded: bool = False

"""The turn: prepare, guard, recall, ask, guard, resolve, remember; conversations, runs and the API for AI clients."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from aibox.core.errors import AIBoxError, Conflict
from aibox.core.events import Event
from aibox.core.turn import Turn
from aibox.memory import Match

RunStatus = Literal["queued", "running", "waiting_approval", "completed", "failed", "cancelled"]


ABANDONED = "abandoned"
"""The code of a run whose process was killed."""


class Settings(Struct, frozen=True, kw_only=True):
    """Limits of a turn."""

    turn_seconds: Annotated[float, Meta(description="Time limit for a whole turn")] = 600.0
    seal_wait_seconds: Annotated[float, Meta(description="How long the last frame waits for the seal")] = 0.25
    events_hours: Annotated[int, Meta(description="How long the stream events of a run can be read again")] = 24
    history_items: Annotated[int, Meta(description="Most earlier messages put into a prompt")] = 40
    history_characters: Annotated[int, Meta(description="Most characters of earlier messages in a prompt")] = 8000
    tool_rounds: Annotated[int, Meta(description="How often a turn may go from the model to tools and back", ge=0)] = 25
    tool_seconds: Annotated[float, Meta(description="Time limit of one use of a tool")] = 60.0
    approval_minutes: Annotated[float, Meta(description="How long a tool waits for its user's approval")] = 30.0


class RunEnded(Conflict):
    code = "run_ended"
    sentence = "The run is over."


class ApprovalClosed(Conflict):
    code = "approval_closed"
    sentence = "This was decided already, or it is too late."


class StreamExpired(AIBoxError):
    """The stream events of the run are no longer kept."""

    status = 410
    code = "stream_expired"
    sentence = "The events of this run are no longer kept; read the conversation's items instead."


class Conversation(Struct, frozen=True, kw_only=True):
    """A tree of items with one owner; the API also calls it a session."""

    id: UUID
    title: str
    pinned: bool
    updated_at: datetime


class Citation(Struct, frozen=True, kw_only=True):
    """A passage that was before the model when it answered; `cited`: the answer names it as `[n]`.

    Its text is not kept here: `/v1/knowledge/items/{document_id}/chunks/{chunk_id}` gives it to who may read it now.
    `meaning` is the cosine similarity with the question; `score` and `rationale` are the search's.
    """

    n: int
    document_id: UUID
    chunk_id: UUID
    title: str
    section: str
    page: int | None
    score: float
    meaning: float | None
    rationale: str
    cited: bool = False


class Recalled(Struct, frozen=True, kw_only=True):
    """A memory that was before the model when it answered, and why: `score` is the cosine similarity with the question.

    What it says is not kept here: `/v1/memory/{memory_id}` gives it to who may read it now.
    """

    memory_id: UUID
    score: float | None
    matched: tuple[Match, ...]


class TraceStep(Struct, frozen=True, kw_only=True):
    """What a step of the turn told of itself, such as `2 items masked`."""

    step: str
    label: str
    state: Literal["done", "failed"]


ApprovalStatus = Literal["pending", "approved", "approved_with_edits", "denied", "expired"]


class ToolUse(Struct, frozen=True, kw_only=True):
    """A use of a tool in the turn. What it was given and what it gave are in the log, sealed, and not copied here.

    `at` is how many characters of the answer stood before it, `approval` what became of the question to its user.
    """

    call_id: str
    name: str
    state: Literal["running", "done", "failed", "denied"]
    at: int = 0
    approval: ApprovalStatus | None = None


class Approval(Struct, frozen=True, kw_only=True):
    """A use of a tool that waits for its user, or did. `arguments` are those it is carried out with.

    `risk` says why it asks: `prompt_injection` (the turn is flagged) or `tool` (this tool always asks).
    """

    approval_id: UUID
    run_id: UUID
    session_id: UUID
    call_id: str
    tool: str
    arguments: dict[str, Any]
    risk: str
    status: ApprovalStatus
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None


class Item(Struct, frozen=True, kw_only=True):
    """A message in a conversation. Several items with one parent are branches. `run_id` is the turn it belongs to."""

    id: UUID
    parent_id: UUID | None
    type: Literal["message"] = "message"
    role: Literal["user", "assistant"]
    content: str
    created_at: datetime
    run_id: UUID
    status: RunStatus | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    citations: tuple[Citation, ...] = ()
    recalled: tuple[Recalled, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    masked: tuple[str, ...] = ()
    """The tokens that the model read in the question; `/v1/guard/masked` gives their values to who wrote them."""


class Run(Struct, frozen=True, kw_only=True):
    """One stored turn of a conversation; `run_id` is the turn's id, `item_id` its answer."""

    run_id: UUID
    status: RunStatus
    item_id: UUID
    started_at: datetime
    ended_at: datetime | None = None
    finish_reason: str | None = None
    code: str | None = None


class StreamEvent(Struct, frozen=True):
    """One event of a run's stream, numbered from 1; `data` is its JSON."""

    n: int
    name: str
    data: bytes


class Question(Struct, frozen=True, kw_only=True):
    """What a user sends. `parent_id` unset: after the newest item; None: a new root; an id: a branch under it."""

    text: str
    session_id: UUID | None = None
    parent_id: UUID | UnsetType | None = UNSET
    temporary: bool = False


class Started(Struct, frozen=True, kw_only=True):
    """A run that has begun."""

    run_id: UUID
    session_id: UUID
    item_id: UUID


@runtime_checkable
class Chat(Protocol):
    """Conversations of the turn's user and the runs in them; a stranger's are NotFound."""

    async def start(self, turn: Turn, question: Question) -> Started:
        """Store the question and begin the run, which outlives the caller. The run ends the turn."""
        ...

    async def events(self, turn: Turn, conversation: UUID, run: UUID, *, after: int = 0) -> AsyncIterator[StreamEvent]:
        """The run's events numbered above `after`, the stored ones and then the coming ones, until it ends.

        Raises `StreamExpired` when they are no longer kept.
        """
        ...

    async def cancel(self, turn: Turn, conversation: UUID, run: UUID) -> None:
        """Stop the run; what was answered so far is kept. Raises `RunEnded`."""
        ...


@runtime_checkable
class Conversations(Protocol):
    """The stored conversations of the turn's user."""

    async def list(
        self, turn: Turn, *, query: str = "", limit: int = 50, before: str | None = None
    ) -> tuple[Sequence[Conversation], str | None]: ...

    async def create(self, turn: Turn, *, title: str = "") -> Conversation: ...

    async def get(self, turn: Turn, conversation: UUID) -> Conversation: ...

    async def update(
        self, turn: Turn, conversation: UUID, *, title: str | None, pinned: bool | None
    ) -> Conversation: ...

    async def delete(self, turn: Turn, conversation: UUID) -> None: ...

    async def items(
        self, turn: Turn, conversation: UUID, *, limit: int = 200, after: str | None = None
    ) -> tuple[Sequence[Item], str | None]: ...

    async def runs(self, turn: Turn, conversation: UUID) -> Sequence[Run]: ...


@runtime_checkable
class Approvals(Protocol):
    """What the turn's user is asked before a tool is used; a stranger's are NotFound."""

    async def list(self, turn: Turn, *, status: ApprovalStatus | None = None) -> Sequence[Approval]:
        """The newest first, at most 200."""
        ...

    async def decide(
        self, turn: Turn, approval: UUID, *, approve: bool, arguments: dict[str, Any] | None = None
    ) -> Approval:
        """Let the tool be used, with other `arguments` if they are given, or not; on return the run has heard it.

        Raises `ApprovalClosed`, also where the run is gone, and `ValidationFailed` for arguments that the tool does
        not take.
        """
        ...


class QuestionAsked(Event, frozen=True, kw_only=True):
    """A user's message was taken on, before anything is done with it; the text is an artifact."""

    type: ClassVar[str] = "question.asked"
    actor: str
    conversation: str
    run: str


class PromptGenerated(Event, frozen=True, kw_only=True):
    """The prompt of a chat turn is complete; it is an artifact. `recalled` and `passages` count what was put in it,
    `tools` those that the model is offered."""

    type: ClassVar[str] = "prompt_generated"
    conversation: str
    messages: int
    recalled: int
    passages: int = 0
    tools: int = 0


class ConversationChanged(Event, frozen=True, kw_only=True):
    """A conversation was created, renamed, pinned or deleted; `change` says which."""

    type: ClassVar[str] = "conversation.changed"
    actor: str
    conversation: str
    change: Literal["created", "updated", "deleted"]


class RunFinished(Event, frozen=True, kw_only=True):
    """A run of a conversation is stored with its answer, before the client is told that it is done."""

    type: ClassVar[str] = "run.finished"
    conversation: str
    status: RunStatus
    finish_reason: str


class ToolCalled(Event, frozen=True, kw_only=True):
    """A tool is about to be used; the arguments are an artifact. `call` is the same in the use's `tool_returned`.

    `decision`: nobody was asked (`auto`), or what the user said to it.
    """

    type: ClassVar[str] = "tool_called"
    call: str
    tool: str
    decision: Literal["auto", "approved", "approved_with_edits"]


class ToolReturned(Event, frozen=True, kw_only=True):
    """A use of a tool ended; the result is an artifact. When not `ok`, `code` names the failure (`cancelled`: the turn
    was stopped, and what the tool did may have been done)."""

    type: ClassVar[str] = "tool_returned"
    call: str
    tool: str
    ok: bool
    code: str = ""
    size: int = 0
    duration_ms: int = 0


class ApprovalRequested(Event, frozen=True, kw_only=True):
    """A tool will not be used before its user says so; the arguments are an artifact."""

    type: ClassVar[str] = "approval_requested"
    approval: str
    call: str
    tool: str
    risk: str
    expires_us: int


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """An approval was decided, or nobody did in time. It stands in the turn that decided, and in the run's own."""

    type: ClassVar[str] = "approval_decided"
    approval: str
    run: str
    tool: str
    status: ApprovalStatus
    decided_in: str = ""

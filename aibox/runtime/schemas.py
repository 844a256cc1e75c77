"""Requests and responses of the runtime's routes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from aibox.audit import Receipt
from aibox.runtime import Approval, Citation, Item, Run


class TextPart(Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class ChatMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A message; `content` is text or a list of text parts."""

    role: Literal["user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class ChatRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/chat` and `/v1/chat/stream`. The last message is the question; it must be the user's.

    With `session_id` it is appended there. `parent_id` absent: after the newest item; null: a new root; an id: a new
    branch under that item. `user_id` and `tenant_id` are ignored in favour of the caller's.
    """

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    session_id: UUID | None = None
    parent_id: UUID | UnsetType | None = UNSET
    temporary: bool = False
    user_id: str | None = None
    tenant_id: UUID | None = None


class AnswerMessage(Struct, frozen=True, kw_only=True):
    id: UUID
    role: Literal["assistant"] = "assistant"
    content: str


class ChatResponse(Struct, frozen=True, kw_only=True):
    """What `done` holds, and the message."""

    turn_id: UUID
    run_id: UUID
    session_id: UUID
    item_id: UUID
    finish_reason: str
    receipt: Receipt
    message: AnswerMessage
    usage: dict[str, Any] | None
    citations: list[Citation] = []
    artifacts: list[dict[str, Any]] = []


class SessionView(Struct, frozen=True, kw_only=True, rename="camel"):
    session_id: UUID
    title: str
    updated_at: str
    pinned: bool
    folder_id: UUID | None = None


class SessionList(Struct, frozen=True, kw_only=True):
    sessions: list[SessionView]
    next_cursor: str | None


class NewSession(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str = ""


class SessionCreated(Struct, frozen=True, kw_only=True, rename="camel"):
    session_id: UUID


class SessionChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str | None = None
    pinned: bool | None = None


class ItemList(Struct, frozen=True, kw_only=True):
    items: list[Item]
    next_cursor: str | None


class ReplayBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/replay/live`: whether the model is offered the tools again that it was offered then."""

    tools: bool = False


class ApprovalList(Struct, frozen=True, kw_only=True):
    approvals: list[Approval]


class ApproveBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/approve`: the arguments to use the tool with, where they are not to be those that the model wrote."""

    arguments: dict[str, Any] | None = None


class RunList(Struct, frozen=True, kw_only=True):
    runs: list[Run]

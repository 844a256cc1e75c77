"""Requests and responses of the audit's routes."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from aibox.audit import ExternalAct, FoundEvent, Stamped
from aibox.core.events import json_artifact

Name = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40}){0,4}$")]


class ExternalBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/audit`: an act of another program. `detail` may be any JSON; the log keeps only a commitment to it.

    `turn_id` is a sealed turn of the caller's own, to which the act is added; left out, the act is a turn of its own.
    """

    action: Name
    resource_type: Annotated[str, Meta(max_length=100)] = ""
    resource_id: Annotated[str, Meta(max_length=200)] = ""
    detail: Any = None
    result: Annotated[str, Meta(max_length=100)] = ""
    turn_id: UUID | None = None

    @property
    def act(self) -> ExternalAct:
        return ExternalAct(
            action=self.action,
            resource_type=self.resource_type,
            resource_id=self.resource_id,
            result=self.result,
            artifacts=() if self.detail is None else (json_artifact(self.detail),),
        )


class EraseBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/audit/erase`: whose contents, one's own when left out, and of which conversation, all when left out."""

    user_id: UUID | None = None
    conversation_id: UUID | None = None


class Reported(Struct, frozen=True, kw_only=True):
    """Where an external act stands in the log."""

    event_id: UUID
    turn_id: UUID


class FoundEvents(Struct, frozen=True, kw_only=True):
    """A page of events."""

    events: list[FoundEvent]
    limit: int
    offset: int


class Stamps(Struct, frozen=True, kw_only=True):
    """The stamped heads of a log."""

    stamps: list[Stamped]

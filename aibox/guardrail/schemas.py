"""Requests and responses of the guardrail's routes."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from aibox.guardrail import Decision, Held, Id, Policy


class ScopeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom a text is checked; the tenant must be the caller's."""

    tenant_id: UUID | None = None
    agent_id: Id | None = None


class CheckBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to judge."""

    content: str
    scope: ScopeBody = ScopeBody()


class ScannerResult(Struct, frozen=True, kw_only=True):
    """One scanner's finding; `risk_score` from 0 to 100."""

    scanner_name: str
    is_safe: bool
    risk_score: int
    detail: str


class CheckAnswer(Struct, frozen=True, kw_only=True):
    """The verdict. `rewritten_content` is what may go on, null when blocked or unchanged."""

    decision: Decision
    reason: str
    scanner_results: list[ScannerResult]
    rewritten_content: str | None
    masked: int = 0
    flagged: bool = False
    """It may be an attack: every tool asks first in such a turn."""


class DeidentifyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text, and the conversation in which its tokens hold: one of the caller's, or any id that nobody uses yet."""

    content: Annotated[str, Meta(max_length=1_000_000)]
    conversation_id: UUID


class ContentBody(Struct, frozen=True, kw_only=True):
    """A text with its personal data back."""

    content: str


class HeldBody(Struct, frozen=True, kw_only=True):
    """What was masked of the caller's own words."""

    items: list[Held]


class PolicyBody(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant's policy, or with `agent_id` or `key_id` that of one agent or API key."""

    agent_id: Id = ""
    key_id: Id = ""

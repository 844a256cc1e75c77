"""Requests and responses of the guardrail's routes."""

from uuid import UUID

from msgspec import Struct

from aibox.guardrail import Decision, Policy


class ScopeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom a text is checked; the tenant must be the caller's."""

    tenant_id: UUID | None = None
    agent_id: str | None = None


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


class PolicyBody(Policy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant's policy, or with `key_id` that of one API key."""

    key_id: str = ""

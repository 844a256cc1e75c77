"""Requests and responses of observability's routes that are not values of its face."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from aibox.observability import Action, BudgetState, Period, Subject, TraceSummary


class BudgetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A budget to make. `subject_id`: a person's pseudonym, a key's id, an agent's id; left out for the tenant."""

    subject: Subject
    period: Period
    limit_usd: Annotated[Decimal, Meta(description="US dollars as a decimal string")]
    subject_id: str = ""
    soft_pct: Annotated[int, Meta(description="At how much of the limit, in percent, it is told once")] = 80
    action: Action = "block"


class BudgetPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a budget; what is absent stays."""

    limit_usd: Annotated[Decimal | None, Meta(description="US dollars as a decimal string")] = None
    soft_pct: int | None = None
    action: Action | None = None


class BudgetsFound(Struct, frozen=True):
    budgets: list[BudgetState]


class TracesFound(Struct, frozen=True):
    """`next_cursor` is None on the last page."""

    traces: list[TraceSummary]
    next_cursor: UUID | None

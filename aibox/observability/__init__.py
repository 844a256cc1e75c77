"""What it cost: prices, budgets that hold before a call, generations, usage and traces; never a prompt or an answer."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, Conflict
from aibox.core.events import Event
from aibox.core.turn import Turn

__all__ = [
    "DIMENSIONS",
    "Action",
    "Balance",
    "BudgetDecision",
    "BudgetExceeded",
    "BudgetRemoved",
    "BudgetSet",
    "BudgetSoftLimit",
    "BudgetState",
    "BudgetTerms",
    "Budgets",
    "Burned",
    "Dimension",
    "Observability",
    "OwnUsage",
    "Period",
    "Price",
    "PriceList",
    "PriceListUnset",
    "PriceUnknown",
    "PricedModel",
    "Prices",
    "PricesRefreshed",
    "PricesUnavailable",
    "Purchase",
    "Settings",
    "Span",
    "Subject",
    "Trace",
    "TraceSummary",
    "Usage",
    "UsageReport",
    "UsageRow",
    "UsedModel",
    "cost",
    "dollars",
]

Subject = Literal["tenant", "user", "key", "agent"]
Period = Literal["day", "month"]
Action = Literal["warn", "block"]
Dimension = Literal["model", "user", "key", "agent", "day"]
DIMENSIONS: tuple[Dimension, ...] = ("model", "user", "key", "agent", "day")


class Settings(Struct, frozen=True, kw_only=True):
    """Prices, budgets and where traces go."""

    local_prices: Annotated[
        str,
        Meta(
            description="A JSON file of prices, model → {input_usd, output_usd, …} per million tokens",
            extra={"env": "OBS_LOCAL_PRICE_JSON"},
        ),
    ] = ""
    prices_url: Annotated[
        str,
        Meta(
            description="The public price list; nothing is fetched before an administrator asks for it once",
            extra={"env": "OPENROUTER_MODELS_URL"},
        ),
    ] = "https://openrouter.ai/api/v1/models"
    reserved_output_tokens: Annotated[
        int, Meta(description="Output tokens that a budget reserves for a call without a limit of its own", ge=1)
    ] = 4096
    otlp_endpoint: Annotated[
        str, Meta(description="Where traces go by OTLP/HTTP, such as http://collector:4318; empty: nowhere")
    ] = ""
    otlp_headers: Annotated[
        tuple[str, ...],
        Meta(description="Headers for the collector, each `Name=value`", extra={"secret": True}),
    ] = ()
    otlp_sample: Annotated[float, Meta(description="The share of turns whose trace is sent", ge=0, le=1)] = 1.0


class Price(Struct, frozen=True, kw_only=True):
    """US dollars per million tokens. None where a kind of token costs what its direction costs."""

    input_usd: Decimal
    output_usd: Decimal
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one generation. `estimated`: the provider did not say and we counted.

    `cached_tokens` (read from the provider's cache) and `cache_write_tokens` are among `input_tokens`;
    `reasoning_tokens` are among `output_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


def cost(price: Price | None, usage: Usage) -> Decimal | None:
    """US dollars of `usage`, exact; None when the price is not known (which is not zero)."""
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    reasoned = min(usage.reasoning_tokens, usage.output_tokens)
    millionths = (
        price.input_usd * (usage.input_tokens - cached - written)
        + _or(price.cached_input_usd, price.input_usd) * cached
        + _or(price.cache_write_usd, price.input_usd) * written
        + price.output_usd * (usage.output_tokens - reasoned)
        + _or(price.reasoning_usd, price.output_usd) * reasoned
    )
    return millionths.scaleb(-6)


def _or(special: Decimal | None, usual: Decimal) -> Decimal:
    return usual if special is None else special


def dollars(amount: Decimal) -> str:
    """An amount as a decimal string without an exponent and without needless zeros: `0.00000075`."""
    return format(amount.normalize(), "f")


class BudgetExceeded(AIBoxError):
    """A hard limit would be passed. The sentence names the budget and when it begins anew."""

    status = 402
    code = "budget_exceeded"
    sentence = "A budget is used up."

    def __init__(
        self, sentence: str | None = None, *, subject: str = "", period: str = "", resets_at: str | None = None
    ) -> None:
        super().__init__(sentence)
        self._budget = {"subject": subject, "period": period, "resets_at": resets_at}

    @property
    def details(self) -> dict[str, Any]:
        return {"budget": self._budget}


class PriceUnknown(Conflict):
    """A budget that blocks cannot hold for a model whose price nobody knows."""

    code = "price_unknown"
    sentence = "The model has no known price, and a budget holds here; an administrator can set the price."


class PricesUnavailable(AIBoxError):
    """The price list could not be fetched or read; the last one stays."""

    status = 502
    code = "prices_unavailable"
    sentence = "The price list could not be fetched; the last one stays."


class PriceListUnset(Conflict):
    """There is nowhere to fetch the price list from."""

    code = "price_list_unset"
    sentence = "No price list is set; an operator can set OPENROUTER_MODELS_URL."


class Purchase(Struct, frozen=True, kw_only=True):
    """A model call that is about to be made, as far as one can tell what it will use.

    `call` names it in its events. `output_tokens` is the caller's own limit, None without one; the answer may have
    `choices`, each that long. `context` is the model's, in tokens.
    """

    call: str
    provider: str
    model: str
    price: Price | None
    input_tokens: int
    output_tokens: int | None
    choices: int = 1
    context: int | None = None


class BudgetTerms(Struct, frozen=True, kw_only=True):
    """What a budget is set to. `subject_id`: a person's pseudonym, a key's id, an agent's id; empty for the tenant."""

    subject: Subject
    subject_id: str
    period: Period
    limit_usd: Decimal
    soft_pct: int = 80
    action: Action = "block"


class Burned(Struct, frozen=True):
    """What was spent on one day."""

    day: date
    spent_usd: str


class BudgetState(Struct, frozen=True, kw_only=True):
    """A budget and how far it is used in its present period; amounts are decimal strings of US dollars.

    `projected_usd`: what the period comes to at the pace so far. `days`: what each day of the period took.
    """

    id: UUID
    subject: Subject
    subject_id: str
    period: Period
    limit_usd: str
    soft_pct: int
    action: Action
    created_at: datetime
    starts_at: datetime
    resets_at: datetime
    spent_usd: str
    reserved_usd: str
    remaining_usd: str
    projected_usd: str
    used_pct: str
    state: Literal["ok", "soft", "exceeded"]
    days: list[Burned]


class PricedModel(Struct, frozen=True, kw_only=True):
    """The price of a model in the operator's file or in the public list; US dollars per million tokens."""

    model: str
    input_usd: str
    output_usd: str
    cached_input_usd: str | None
    cache_write_usd: str | None
    reasoning_usd: str | None
    source: Literal["file", "list"]
    as_of: datetime | None


class PriceList(Struct, frozen=True, kw_only=True):
    """All prices that are known besides those set on models; `fetched_at` None when no list was fetched."""

    source_url: str
    fetched_at: datetime | None
    problem: str
    prices: list[PricedModel]


class UsedModel(Struct, frozen=True, kw_only=True):
    """One's own use of one model."""

    provider: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    unpriced_requests: int


class OwnUsage(Struct, frozen=True, kw_only=True):
    """One's own use. `cost_usd` leaves out the unpriced requests: an unknown price is not zero."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    unpriced_requests: int
    by_model: list[UsedModel]


class UsageRow(Struct, frozen=True, kw_only=True):
    """What the generations of one combination of the asked dimensions add up to; a dimension not asked for is None."""

    provider: str | None = None
    model: str | None = None
    user: str | None = None
    key: str | None = None
    agent: str | None = None
    day: date | None = None
    requests: int
    failed_requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated_requests: int
    unpriced_requests: int
    cost_usd: str
    latency_ms: int
    first_byte_ms: int


class UsageReport(Struct, frozen=True, kw_only=True):
    """Usage by `by`, from the beginning of `since` to the end of `until` (days in UTC); the dearest first.

    `is_complete` is false when there are more rows than one answer holds; the CSV has all of them.
    """

    by: list[Dimension]
    since: date
    until: date
    rows: list[UsageRow]
    total: UsageRow
    is_complete: bool


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One turn that asked models. `cost_usd` leaves out the unpriced calls: an unknown price is not zero."""

    turn_id: UUID
    started_at: datetime
    user: str
    calls: int
    failed_calls: int
    unpriced_calls: int
    models: list[str]
    input_tokens: int
    output_tokens: int
    cost_usd: str
    latency_ms: int


class Span(Struct, frozen=True, kw_only=True):
    """One bar of a turn's waterfall. `start_us` and `end_us` count from the turn's beginning.

    `attributes` hold names, numbers and codes; never a text of a person or a model.
    """

    id: str
    parent: str | None
    name: str
    kind: Literal["turn", "guardrail", "recall", "model", "tool", "budget", "event"]
    start_us: int
    end_us: int
    status: Literal["ok", "error", "unset"]
    attributes: dict[str, str | int | bool]


class Trace(Struct, frozen=True, kw_only=True):
    """A turn as a waterfall: its first span is the turn itself."""

    turn_id: UUID
    started_at: datetime
    duration_us: int
    is_over: bool
    user: str
    spans: list[Span]


class Balance(Struct, frozen=True, kw_only=True):
    """Whether the books of a tenant agree; every list names what does not.

    `reserved_usd`: what open reservations hold. `spent_usd`: what the tenant's generations cost, in all.
    """

    is_balanced: bool
    reserved_usd: str
    spent_usd: str
    open_reservations: int
    unbooked_responses: int
    problems: list[str]


class BudgetDecision(Event, frozen=True, kw_only=True):
    """A budget let a model call pass, warned of it, or refused it; amounts are decimal strings of US dollars.

    `reserved_usd` is what the call may cost. `subject` and the members after it name the budget that warned or
    refused.
    """

    type: ClassVar[str] = "budget_decision"
    decision: Literal["granted", "warned", "refused"]
    call: str
    provider: str
    model: str
    reserved_usd: str
    subject: str = ""
    subject_id: str = ""
    period: str = ""
    limit_usd: str = ""
    spent_usd: str = ""


class BudgetSoftLimit(Event, frozen=True, kw_only=True):
    """A budget is used to its soft limit; told once a period."""

    type: ClassVar[str] = "budget.soft_limit"
    actor: str
    budget: str
    subject: str
    subject_id: str
    period: str
    starts: str
    limit_usd: str
    spent_usd: str
    soft_pct: int


class BudgetSet(Event, frozen=True, kw_only=True):
    """A budget was made or changed."""

    type: ClassVar[str] = "admin.budget.set"
    actor: str
    budget: str
    subject: str
    subject_id: str
    period: str
    limit_usd: str
    soft_pct: int
    action: str


class BudgetRemoved(Event, frozen=True, kw_only=True):
    """A budget was removed."""

    type: ClassVar[str] = "admin.budget.removed"
    actor: str
    budget: str


class PricesRefreshed(Event, frozen=True, kw_only=True):
    """The public price list was fetched."""

    type: ClassVar[str] = "admin.prices.refreshed"
    actor: str
    url: str
    models: int


@runtime_checkable
class Prices(Protocol):
    """Prices that are not set on a model: from the operator's file, then from the public list."""

    def find(self, provider: str, model: str, *, is_ours: bool) -> Price | None:
        """The price of a model, read from memory. For what we serve ourselves (`is_ours`) only the file counts."""
        ...

    async def listed(self, turn: Turn) -> PriceList:
        """All that is known, by name."""
        ...

    async def refresh(self, turn: Turn) -> PriceList:
        """Fetch the public list. Raises `PriceListUnset`, `PricesUnavailable`; the last one stays then."""
        ...


@runtime_checkable
class Budgets(Protocol):
    """Limits of cost by tenant, person, key and agent. They hold before a call; the log settles after it."""

    def bind(self, turn: Turn) -> bool:
        """Whether any limit holds for calls of `turn`; read from memory."""
        ...

    async def reserve(self, turn: Turn, purchase: Purchase) -> BudgetDecision | None:
        """Set aside what the call may cost in every budget that holds for it, or in none.

        The decision is to be logged before the call; None when no limit holds. A refusal is logged already. Raises
        `BudgetExceeded`, `PriceUnknown`, `StateUnavailable`. What was reserved is settled by the `model_response`
        that names the same call, whoever writes it and whenever it is read.
        """
        ...

    async def all(self, turn: Turn) -> list[BudgetState]:
        """The tenant's budgets with their present use."""
        ...

    async def one(self, turn: Turn, budget_id: UUID) -> BudgetState:
        """Raises `NotFound`."""
        ...

    async def add(self, turn: Turn, terms: BudgetTerms) -> BudgetState:
        """Raises `ValidationFailed`, and `Conflict` where the subject has a budget of this period."""
        ...

    async def change(
        self,
        turn: Turn,
        budget_id: UUID,
        *,
        limit_usd: Decimal | None = None,
        soft_pct: int | None = None,
        action: Action | None = None,
    ) -> BudgetState:
        """Change what is given. Raises `NotFound`, `ValidationFailed`."""
        ...

    async def remove(self, turn: Turn, budget_id: UUID) -> None:
        """Raises `NotFound`."""
        ...


@runtime_checkable
class Observability(Protocol):
    """Reads what the generations of the turn's tenant add up to, and what a turn did."""

    async def usage_of(self, turn: Turn) -> OwnUsage:
        """The principal's own totals."""
        ...

    async def usage(
        self, turn: Turn, by: Sequence[Dimension], *, since: date, until: date, limit: int | None = None
    ) -> UsageReport:
        """The tenant's usage by any combination of dimensions, at most `limit` rows. Raises `ValidationFailed`."""
        ...

    async def traces(self, turn: Turn, *, before: UUID | None = None, limit: int = 50) -> list[TraceSummary]:
        """Turns that asked models, the newest first; those before the turn `before`."""
        ...

    async def trace(self, turn: Turn, turn_id: UUID) -> Trace:
        """A turn as a waterfall. Raises `NotFound`."""
        ...

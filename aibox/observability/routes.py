"""HTTP of observability: usage, budgets, prices, traces, and whether the books agree."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal, get_args
from uuid import UUID

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from aibox.core.connections import Connections
from aibox.core.errors import ValidationFailed
from aibox.core.turn import Turn
from aibox.observability import (
    Balance,
    Budgets,
    BudgetState,
    BudgetTerms,
    Dimension,
    Observability,
    OwnUsage,
    PriceList,
    Prices,
    Trace,
    UsageReport,
)
from aibox.observability.balancing import balance
from aibox.observability.schemas import BudgetBody, BudgetPatch, BudgetsFound, TracesFound
from aibox.observability.usage import as_csv

BASE: Final = "/v1/admin/observability"
READER: Final = {"policy": "admin.view_audit_log", "scope": "admin"}
MANAGER: Final = {"policy": "admin.manage_providers", "scope": "admin"}
MOST_ROWS: Final = 5000
USUAL_DAYS: Final = 30


@get("/v1/usage/me", opt={"policy": "signed-in", "scope": "models"})
async def own_usage(turn: NamedDependency[Turn], observability: NamedDependency[Observability]) -> OwnUsage:
    """What one's own model calls add up to."""
    return await observability.usage_of(turn)


@get(f"{BASE}/usage", opt=READER)
async def usage(
    turn: NamedDependency[Turn],
    observability: NamedDependency[Observability],
    by: Annotated[str, QueryParameter(description="Some of model, user, key, agent, day; with commas")] = "model",
    since: Annotated[date | None, QueryParameter(name="from", description="The first day (UTC)")] = None,
    until: Annotated[date | None, QueryParameter(name="to", description="The last day (UTC)")] = None,
    form: Annotated[Literal["json", "csv"], QueryParameter(name="format")] = "json",
) -> Response[UsageReport | str]:
    """What the tenant's model calls add up to, by any combination of dimensions; the last 30 days unless told."""
    until = until or datetime.now(UTC).date()
    since = since or until - timedelta(days=USUAL_DAYS - 1)
    limit = None if form == "csv" else MOST_ROWS
    report = await observability.usage(turn, _dimensions(by), since=since, until=until, limit=limit)
    headers = {"Cache-Control": "no-store"}
    if form == "json":
        return Response(report, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="usage-{since}-{until}.csv"'
    return Response(as_csv(report), headers=headers, media_type="text/csv; charset=utf-8")


@get(f"{BASE}/traces", opt=READER)
async def traces(
    turn: NamedDependency[Turn],
    observability: NamedDependency[Observability],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[UUID | None, QueryParameter()] = None,
) -> TracesFound:
    """Turns that asked models, the newest first."""
    found = await observability.traces(turn, before=cursor, limit=limit + 1)
    shown = found[:limit]
    return TracesFound(shown, shown[-1].turn_id if len(found) > limit else None)


@get(f"{BASE}/traces/{{turn_id:uuid}}", opt=READER)
async def trace(
    turn: NamedDependency[Turn], turn_id: FromPath[UUID], observability: NamedDependency[Observability]
) -> Trace:
    """A turn as a waterfall: what ran when and how long; never a text."""
    return await observability.trace(turn, turn_id)


@get(f"{BASE}/prices", opt=READER)
async def listed_prices(turn: NamedDependency[Turn], prices: NamedDependency[Prices]) -> PriceList:
    """Known prices with their source and date. A price that is set on a model wins over these."""
    return await prices.listed(turn)


@post(f"{BASE}/prices/refresh", opt=MANAGER, status_code=200)
async def refresh_prices(turn: NamedDependency[Turn], prices: NamedDependency[Prices]) -> PriceList:
    """Fetch the public price list now; from then on it is fetched anew each day."""
    return await prices.refresh(turn)


@get(f"{BASE}/budgets", opt=MANAGER)
async def all_budgets(turn: NamedDependency[Turn], budgets: NamedDependency[Budgets]) -> BudgetsFound:
    """All budgets with their use in the present period, day by day."""
    return BudgetsFound(await budgets.all(turn))


@post(f"{BASE}/budgets", opt=MANAGER)
async def add_budget(
    turn: NamedDependency[Turn], budgets: NamedDependency[Budgets], data: JSONBody[BudgetBody]
) -> BudgetState:
    """Make a budget; what the subject spent in the present period already counts."""
    terms = BudgetTerms(
        subject=data.subject,
        subject_id=data.subject_id.strip(),
        period=data.period,
        limit_usd=data.limit_usd,
        soft_pct=data.soft_pct,
        action=data.action,
    )
    return await budgets.add(turn, terms)


@get(f"{BASE}/budgets/{{budget_id:uuid}}", opt=MANAGER)
async def one_budget(
    turn: NamedDependency[Turn], budget_id: FromPath[UUID], budgets: NamedDependency[Budgets]
) -> BudgetState:
    """One budget with its use."""
    return await budgets.one(turn, budget_id)


@patch(f"{BASE}/budgets/{{budget_id:uuid}}", opt=MANAGER)
async def change_budget(
    turn: NamedDependency[Turn],
    budget_id: FromPath[UUID],
    budgets: NamedDependency[Budgets],
    data: JSONBody[BudgetPatch],
) -> BudgetState:
    """Change a budget; what is absent stays."""
    return await budgets.change(turn, budget_id, limit_usd=data.limit_usd, soft_pct=data.soft_pct, action=data.action)


@delete(f"{BASE}/budgets/{{budget_id:uuid}}", opt=MANAGER)
async def remove_budget(
    turn: NamedDependency[Turn], budget_id: FromPath[UUID], budgets: NamedDependency[Budgets]
) -> None:
    """Remove a budget. What was spent stays on record."""
    await budgets.remove(turn, budget_id)


@get(f"{BASE}/balance", opt=READER)
async def books_balance(turn: NamedDependency[Turn], connections: NamedDependency[Connections]) -> Balance:
    """Whether what was reserved and spent equals what the log says, to the last digit."""
    return await balance(connections, turn.tenant)


ROUTES: list[ControllerRouterHandler] = [
    own_usage,
    usage,
    traces,
    trace,
    listed_prices,
    refresh_prices,
    all_budgets,
    add_budget,
    one_budget,
    change_budget,
    remove_budget,
    books_balance,
]


def _dimensions(by: str) -> list[Dimension]:
    """`model,day` as dimensions, each once; empty for totals alone. Raises `ValidationFailed`."""
    known: dict[str, Dimension] = {name: name for name in get_args(Dimension)}
    names = [name.strip() for name in by.split(",") if name.strip()]
    if not set(names) <= set(known):
        raise ValidationFailed(fields=[{"field": "by", "error": f"some of {', '.join(known)}"}])
    return [known[name] for name in dict.fromkeys(names)]

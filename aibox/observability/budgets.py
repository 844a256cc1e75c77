"""Budgets: who has one is known in memory; how much is left is decided in PostgreSQL, before each call."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import structlog
from msgspec.structs import replace
from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import AIBoxError, Conflict, NotFound, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.freshness import kept_fresh
from aibox.core.tasks import beside
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.observability import (
    Action,
    BudgetDecision,
    BudgetExceeded,
    BudgetRemoved,
    BudgetSet,
    BudgetSoftLimit,
    BudgetState,
    BudgetTerms,
    Burned,
    Period,
    PriceUnknown,
    Purchase,
    Settings,
    Subject,
    Usage,
    cost,
    dollars,
)
from aibox.observability.books import Ask, Books, Verdict
from aibox.observability.generations import LOST as LOST_CALL
from aibox.observability.metrics import DECISIONS, RECOVERED
from aibox.observability.models import BudgetRow, SpendingRow
from aibox.observability.reserving import Desk

log = structlog.get_logger("aibox.observability.budgets")

CHANNEL: Final = "aibox_budget"
REFRESH_SECONDS: Final = 30.0
RECOVER_SECONDS: Final = 20.0
"""How often, and from which age on, reservations are looked at whose call has perhaps ended unseen."""

EXPIRES_SECONDS: Final = 900.0
"""A reservation of a call that was never announced, in a turn that never entered the log, ends after this."""

MOST_DOLLARS: Final = Decimal(1_000_000_000)
_CENT: Final = Decimal("0.01")
_MILLIONTH: Final = Decimal("0.000001")

_SUBJECTS = {"tenant": "the organisation", "user": "this person", "key": "this API key", "agent": "this agent"}

_DUE = """
SELECT b.tenant, b.id, b.subject, b.subject_id, b.period, b.limit_usd, b.soft_pct, s.starts, s.spent_usd
FROM observability.budget b JOIN observability.spending s
  ON (s.tenant, s.subject, s.subject_id, s.period) = (b.tenant, b.subject, b.subject_id, b.period)
 AND s.starts = date_trunc(b.period, now() AT TIME ZONE 'UTC')::date
WHERE b.tenant = ANY ($1) AND s.spent_usd > 0 AND s.spent_usd * 100 >= b.limit_usd * b.soft_pct
  AND NOT EXISTS (
    SELECT 1 FROM observability.notice n WHERE (n.tenant, n.budget, n.starts) = (b.tenant, b.id, s.starts))
"""


class BudgetService:
    """See `Budgets`."""

    def __init__(self, settings: Settings, *, db: Database, connections: Connections, log: EventLog) -> None:
        self._settings = settings
        self._db = db
        self._connections = connections
        self._log = log
        self.books = Books(connections)
        self._desk = Desk(self.books)
        self._held: dict[UUID, dict[tuple[str, str], bool]] = {}
        """tenant → (subject, id) → whether one of its budgets blocks. Swapped whole."""
        self._recovering = asyncio.Lock()
        self._recovered: dict[UUID, float] = {}

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Decide, and end what a crash left, until the block ends."""
        async with (
            kept_fresh(tasks, self._connections, CHANNEL, self.refresh, seconds=REFRESH_SECONDS),
            self._desk.run(tasks),
            beside(tasks, {"budgets.recover": self._recover_always()}),
        ):
            yield

    async def refresh(self) -> None:
        """Read who has a budget. Raises `StateUnavailable`; what was known stays then."""
        try:
            rows = await self._connections.system.fetch(
                "SELECT tenant, subject, subject_id, bool_or(action = 'block') AS blocks"
                " FROM observability.budget GROUP BY 1, 2, 3"
            )
        except LOST:
            raise StateUnavailable() from None
        held: dict[UUID, dict[tuple[str, str], bool]] = {}
        for row in rows:
            held.setdefault(row["tenant"], {})[row["subject"], row["subject_id"]] = row["blocks"]
        self._held = held

    def bind(self, turn: Turn) -> bool:
        """See `Budgets.bind`."""
        limits = turn.principal.limits
        return (
            limits.monthly_usd is not None
            or limits.key_usd is not None
            or limits.per_request_usd is not None
            or bool(self._holding(turn))
        )

    async def reserve(self, turn: Turn, purchase: Purchase) -> BudgetDecision | None:
        """See `Budgets.reserve`."""
        if not self.bind(turn):
            return None
        usd = self._at_most(purchase)
        if usd is None:
            await self._require_price(turn, purchase)
        if not usd:
            return None
        limits = turn.principal.limits
        if limits.per_request_usd is not None and usd > limits.per_request_usd:
            await self._refused(turn, _decision("refused", purchase, usd, period="request"))
            raise BudgetExceeded(
                f"This request may cost ${_shown(usd)}, and one request may cost at most"
                f" ${_shown(limits.per_request_usd)} here.",
                subject="user",
                period="request",
            )
        ask = _ask(turn, purchase, usd)
        asked_at = time.monotonic()
        verdict = await self._desk.ask(ask)
        if verdict is not None and verdict.verdict == "refused" and _is_held_back(verdict, usd):
            # Calls that have ended may not be booked yet, and hold more than they cost.
            await self._recover_since(turn.tenant, asked_at)
            verdict = await self._desk.ask(ask)
        if verdict is None:
            return None
        if verdict.verdict == "refused":
            await self._refused(turn, _decision("refused", purchase, usd, verdict))
            raise _exceeded(verdict, usd)
        DECISIONS.labels(verdict.verdict).inc()
        return _decision(verdict.verdict, purchase, usd, verdict if verdict.verdict == "warned" else None)

    async def all(self, turn: Turn) -> list[BudgetState]:
        """See `Budgets.all`: the oldest first."""
        async with self._db.read(turn) as session:
            rows = list(
                await session.scalars(
                    select(BudgetRow)
                    .where(BudgetRow.tenant == turn.tenant)
                    .order_by(BudgetRow.created_at, BudgetRow.id)
                )
            )
            return await _states(session, turn.tenant, rows)

    async def one(self, turn: Turn, budget_id: UUID) -> BudgetState:
        """See `Budgets.one`."""
        async with self._db.read(turn) as session:
            row = await _row(session, turn, budget_id)
            return (await _states(session, turn.tenant, [row]))[0]

    async def add(self, turn: Turn, terms: BudgetTerms) -> BudgetState:
        """See `Budgets.add`."""
        _check(terms)
        budget_id = uuid7()
        async with self._db.work(turn) as work:
            added = await work.session.scalar(
                text(
                    "INSERT INTO observability.budget"
                    " (tenant, id, subject, subject_id, period, limit_usd, soft_pct, action)"
                    " VALUES (:tenant, :id, :subject, :subject_id, :period, :limit_usd, :soft_pct, :action)"
                    " ON CONFLICT (tenant, subject, subject_id, period) DO NOTHING RETURNING id"
                ),
                {
                    "tenant": turn.tenant,
                    "id": budget_id,
                    "subject": terms.subject,
                    "subject_id": terms.subject_id,
                    "period": terms.period,
                    "limit_usd": terms.limit_usd,
                    "soft_pct": terms.soft_pct,
                    "action": terms.action,
                },
            )
            if added is None:
                raise Conflict("There is a budget for this subject and period already; change that one.")
            work.record(_set(turn, budget_id, terms))
            await _announce(work.session)
        await self.refresh()
        return await self.one(turn, budget_id)

    async def change(
        self,
        turn: Turn,
        budget_id: UUID,
        *,
        limit_usd: Decimal | None = None,
        soft_pct: int | None = None,
        action: Action | None = None,
    ) -> BudgetState:
        """See `Budgets.change`."""
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, budget_id)
            row.limit_usd = row.limit_usd if limit_usd is None else limit_usd
            row.soft_pct = row.soft_pct if soft_pct is None else soft_pct
            row.action = row.action if action is None else action
            terms = _terms(row)
            _check(terms)
            work.record(_set(turn, budget_id, terms))
            await _announce(work.session)
        await self.refresh()
        return await self.one(turn, budget_id)

    async def remove(self, turn: Turn, budget_id: UUID) -> None:
        """See `Budgets.remove`. What is reserved stays reserved until its calls end."""
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, budget_id)
            await work.session.execute(delete(BudgetRow).where(BudgetRow.tenant == turn.tenant, BudgetRow.id == row.id))
            work.record(BudgetRemoved(actor=actor(turn), budget=str(budget_id)))
            await _announce(work.session)
        await self.refresh()

    async def notify(self, tenants: Iterable[UUID]) -> None:
        """Tell once a period of each budget of these tenants that has reached its soft limit."""
        concerned = [tenant for tenant in set(tenants) if tenant in self._held]
        if not concerned:
            return
        for due in await self._connections.system.fetch(_DUE, concerned):
            turn = system_turn(due["tenant"])
            async with self._db.work(turn) as work:
                told = await work.session.scalar(
                    text(
                        "INSERT INTO observability.notice (tenant, budget, starts)"
                        " SELECT tenant, id, :starts FROM observability.budget WHERE tenant = :tenant AND id = :id"
                        " ON CONFLICT DO NOTHING RETURNING budget"
                    ),
                    {"tenant": due["tenant"], "id": due["id"], "starts": due["starts"]},
                )
                if told is not None:
                    work.record(_soft_limit(due))
            await self._log.end(turn, "sealed")

    def _holding(self, turn: Turn) -> list[bool]:
        """Of each subject of the turn that has a budget, whether one blocks."""
        held = self._held.get(turn.tenant)
        if held is None:
            return []
        principal = turn.principal
        subjects = (
            ("tenant", ""),
            ("user", principal.pseudonym),
            ("key", principal.key_id or ""),
            ("agent", turn.agent),
        )
        return [held[subject] for subject in subjects if subject in held]

    def _at_most(self, purchase: Purchase) -> Decimal | None:
        """What the call may cost; None when nobody knows the price. Tokens of every kind cost as the dearest may."""
        if purchase.price is None:
            return None
        output = purchase.output_tokens
        if output is None:
            room = self._settings.reserved_output_tokens
            left = room if purchase.context is None else max(purchase.context - purchase.input_tokens, 0)
            output = min(room, left)
        used = Usage(input_tokens=purchase.input_tokens, output_tokens=output * purchase.choices)
        written = replace(used, cache_write_tokens=used.input_tokens)
        reasoned = replace(written, reasoning_tokens=used.output_tokens)
        return max(usd for usage in (used, written, reasoned) if (usd := cost(purchase.price, usage)) is not None)

    async def _require_price(self, turn: Turn, purchase: Purchase) -> None:
        """For a call whose cost nobody can say: it passes where budgets only warn. Raises `PriceUnknown`."""
        limits = turn.principal.limits
        is_limited = any(limit is not None for limit in (limits.monthly_usd, limits.key_usd, limits.per_request_usd))
        if not is_limited and not any(self._holding(turn)):
            return
        await self._refused(turn, _decision("refused", purchase, None))
        raise PriceUnknown(
            f"{purchase.provider}/{purchase.model} has no known price, and a budget holds here;"
            " an administrator can set the price."
        )

    async def _refused(self, turn: Turn, decision: BudgetDecision) -> None:
        DECISIONS.labels(decision.decision).inc()
        await self._log.log(turn, decision)

    async def _recover_since(self, tenant: UUID, moment: float) -> None:
        """Book what the log has by `moment`. Callers at the same time share one look."""
        async with self._recovering:
            if self._recovered.get(tenant, 0.0) > moment:
                return
            began = time.monotonic()
            await self.recover(seconds=0.0, tenant=tenant)
            self._recovered[tenant] = began

    async def recover(self, *, seconds: float = RECOVER_SECONDS, tenant: UUID | None = None) -> None:
        """End reservations whose call has ended (`Books.recover`)."""
        for made in await self.books.recover(seconds=seconds, tenant=tenant):
            RECOVERED.labels("lost" if made.code == LOST_CALL else "settled").inc()

    async def _recover_always(self) -> None:
        while True:
            await asyncio.sleep(RECOVER_SECONDS)
            try:
                await self.recover()
            except Exception as error:
                # Every budget relies on it: what cannot be ended now is looked at again.
                known = isinstance(error, (AIBoxError, *LOST))
                log.warning("budgets.recover_failed", error=type(error).__name__, exc_info=not known)


def actor(turn: Turn) -> str:
    """Who acts, as events name it."""
    return "system" if turn.principal.kind == "system" else f"user:{turn.principal.pseudonym}"


def _ask(turn: Turn, purchase: Purchase, usd: Decimal) -> Ask:
    principal = turn.principal
    return Ask(
        tenant=turn.tenant,
        call=purchase.call,
        turn=turn.id,
        principal=principal.pseudonym,
        key=principal.key_id,
        agent=turn.agent or None,
        provider=purchase.provider,
        model=purchase.model,
        usd=usd,
        expires_at=datetime.now(UTC) + timedelta(seconds=EXPIRES_SECONDS),
        month_limit_usd=principal.limits.monthly_usd,
        key_limit_usd=principal.limits.key_usd,
    )


def _is_held_back(verdict: Verdict, usd: Decimal) -> bool:
    """Whether only what is reserved stands in the way, not what is spent."""
    assert verdict.limit_usd is not None
    assert verdict.spent_usd is not None
    return bool(verdict.held_usd) and verdict.spent_usd + usd <= verdict.limit_usd


def _decision(
    decision: Any, purchase: Purchase, usd: Decimal | None, verdict: Verdict | None = None, *, period: str = ""
) -> BudgetDecision:
    return BudgetDecision(
        decision=decision,
        call=purchase.call,
        provider=purchase.provider,
        model=purchase.model,
        reserved_usd="" if usd is None else dollars(usd),
        subject=verdict.subject or "" if verdict is not None else "",
        subject_id=verdict.subject_id or "" if verdict is not None else "",
        period=verdict.period or "" if verdict is not None else period,
        limit_usd=dollars(verdict.limit_usd) if verdict is not None and verdict.limit_usd is not None else "",
        spent_usd=dollars(verdict.spent_usd) if verdict is not None and verdict.spent_usd is not None else "",
    )


def _exceeded(verdict: Verdict, usd: Decimal) -> BudgetExceeded:
    subject, period = verdict.subject or "", verdict.period or ""
    kind = {"day": "daily budget", "month": "monthly budget"}.get(period, "budget")
    sentence = f"The {kind} of {_SUBJECTS[subject]} does not cover this request, which may cost ${_shown(usd)}."
    resets_at = None
    if period in ("day", "month"):
        resets_at = bounds(cast(Period, period), datetime.now(UTC))[1]
        sentence += f" It begins anew on {resets_at:%Y-%m-%d} at 00:00 UTC."
    return BudgetExceeded(
        sentence, subject=subject, period=period, resets_at=resets_at.isoformat() if resets_at is not None else None
    )


def _shown(usd: Decimal) -> str:
    """Dollars for people: cents, or as many digits as a smaller amount needs."""
    return f"{usd:.2f}" if usd >= _CENT else dollars(usd.quantize(_MILLIONTH) if usd >= _MILLIONTH else usd)


def bounds(period: Period, moment: datetime) -> tuple[datetime, datetime]:
    """When the period that `moment` stands in began, and when the next one begins; in UTC."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


async def _row(session: AsyncSession, turn: Turn, budget_id: UUID) -> BudgetRow:
    row = await session.get(BudgetRow, (turn.tenant, budget_id))
    if row is None:
        raise NotFound("There is no such budget.")
    return row


def _terms(row: BudgetRow) -> BudgetTerms:
    # The table's CHECKs hold these columns to the literals.
    return BudgetTerms(
        subject=cast(Subject, row.subject),
        subject_id=row.subject_id,
        period=cast(Period, row.period),
        limit_usd=row.limit_usd,
        soft_pct=row.soft_pct,
        action=cast(Action, row.action),
    )


def _check(terms: BudgetTerms) -> None:
    limit = terms.limit_usd
    problems = {
        "subject_id": "empty for the tenant, else whom the budget is for"
        if (terms.subject == "tenant") != (terms.subject_id == "")
        or len(terms.subject_id) > 200
        or not terms.subject_id.isprintable()
        else "",
        "limit_usd": "" if _is_amount(limit) else f"0 to {MOST_DOLLARS:f}, with at most six decimals",
        "soft_pct": "" if 1 <= terms.soft_pct <= 100 else "1 to 100",
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem]
    if fields:
        raise ValidationFailed(fields=fields)


def _is_amount(usd: Decimal) -> bool:
    return usd.is_finite() and 0 <= usd <= MOST_DOLLARS and usd == usd.quantize(_MILLIONTH)


async def _announce(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


def _set(turn: Turn, budget_id: UUID, terms: BudgetTerms) -> BudgetSet:
    return BudgetSet(
        actor=actor(turn),
        budget=str(budget_id),
        subject=terms.subject,
        subject_id=terms.subject_id,
        period=terms.period,
        limit_usd=dollars(terms.limit_usd),
        soft_pct=terms.soft_pct,
        action=terms.action,
    )


def _soft_limit(due: Any) -> BudgetSoftLimit:
    return BudgetSoftLimit(
        actor="system",
        budget=str(due["id"]),
        subject=due["subject"],
        subject_id=due["subject_id"],
        period=due["period"],
        starts=due["starts"].isoformat(),
        limit_usd=dollars(due["limit_usd"]),
        spent_usd=dollars(due["spent_usd"]),
        soft_pct=due["soft_pct"],
    )


async def _states(session: AsyncSession, tenant: UUID, rows: Sequence[BudgetRow]) -> list[BudgetState]:
    now = datetime.now(UTC)
    if not rows:
        return []
    first = bounds("month", now)[0].date()
    spending = SpendingRow
    known = await session.scalars(
        select(spending).where(
            spending.tenant == tenant,
            tuple_(spending.subject, spending.subject_id).in_({(row.subject, row.subject_id) for row in rows}),
            spending.starts >= first,
        )
    )
    used: dict[tuple[str, str], list[SpendingRow]] = {}
    for item in known:
        used.setdefault((item.subject, item.subject_id), []).append(item)
    return [_state(row, used.get((row.subject, row.subject_id), []), now) for row in rows]


def _state(row: BudgetRow, used: Sequence[SpendingRow], now: datetime) -> BudgetState:
    starts, ends = bounds(cast(Period, row.period), now)
    of_period = [item for item in used if item.period == row.period and item.starts == starts.date()]
    spent = sum((item.spent_usd for item in of_period), Decimal(0))
    reserved = sum((item.reserved_usd for item in of_period), Decimal(0))
    days = sorted((item.starts, item.spent_usd) for item in used if _is_within(item, starts.date()))
    is_soft = spent > 0 and spent * 100 >= row.limit_usd * row.soft_pct
    terms = _terms(row)
    return BudgetState(
        id=row.id,
        subject=terms.subject,
        subject_id=row.subject_id,
        period=terms.period,
        limit_usd=dollars(row.limit_usd),
        soft_pct=row.soft_pct,
        action=terms.action,
        created_at=row.created_at,
        starts_at=starts,
        resets_at=ends,
        spent_usd=dollars(spent),
        reserved_usd=dollars(reserved),
        remaining_usd=dollars(max(row.limit_usd - spent - reserved, Decimal(0))),
        projected_usd=dollars(_projected(spent, starts, ends, now)),
        used_pct=f"{spent / row.limit_usd * 100:.1f}" if row.limit_usd else "100.0",
        state="exceeded" if spent >= row.limit_usd else "soft" if is_soft else "ok",
        days=[Burned(day, dollars(usd)) for day, usd in days],
    )


def _is_within(item: SpendingRow, first: date) -> bool:
    return item.period == "day" and item.starts >= first


def _projected(spent: Decimal, starts: datetime, ends: datetime, now: datetime) -> Decimal:
    """What the period comes to if it goes on as it began; in its first hour, as if an hour had passed."""
    passed = max(now - starts, timedelta(hours=1))
    return (
        spent * Decimal((ends - starts) // timedelta(seconds=1)) / Decimal(passed // timedelta(seconds=1))
    ).quantize(_MILLIONTH)

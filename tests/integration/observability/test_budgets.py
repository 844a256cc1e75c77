"""Budgets: never overspent by calls at the same time, never lost by a crash, and clear about what they refuse."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from aibox.core.connections import Connections
from aibox.core.connections import Settings as ConnectionSettings
from aibox.core.errors import Conflict, NotFound, StateUnavailable, ValidationFailed
from aibox.core.turn import Turn
from aibox.observability import BudgetExceeded, BudgetTerms, PriceUnknown, Settings
from aibox.observability.budgets import BudgetService, bounds
from tests.integration.observability.conftest import (
    OURS,
    THEIRS,
    Money,
    buying,
    invoked,
    response,
    turn_of,
)


async def bodies(money: Money, type: str) -> list[dict[str, Any]]:
    rows = await money.kernel.connections.system.fetch("SELECT data FROM core.event WHERE type = $1", type)
    return [msgspec.json.decode(row["data"])["body"] for row in rows]


async def test_sixty_four_calls_at_once_get_the_ten_that_the_budget_allows(money: Money) -> None:
    await money.limit("10")
    assert await money.granted([turn_of(f"p_{n}") for n in range(64)], 1) == 10
    books = await money.balance()
    assert (books.reserved_usd, books.open_reservations, books.is_balanced) == ("10", 10, True)


async def test_what_was_reserved_for_callers_that_went_away_is_free_again(money: Money) -> None:
    """They leave before, while and after the books decide; nobody announces such a call."""
    await money.limit("100")
    stayed = 0
    for patience in (*range(12), 0.0005, 0.001, 0.002, 0.004) * 3:
        calls = [asyncio.create_task(money.budgets.reserve(turn_of(), buying(1))) for _ in range(3)]
        for _ in range(patience if isinstance(patience, int) else 1):
            await asyncio.sleep(0 if isinstance(patience, int) else patience)
        for call in calls:
            call.cancel()
        stayed += len(calls)
        for left in await asyncio.gather(*calls, return_exceptions=True):
            stayed -= isinstance(left, asyncio.CancelledError)
    # On a quick machine the last ones had their answer before they could leave: theirs stays reserved.
    async with asyncio.timeout(20):
        while (await money.balance()).open_reservations != stayed:
            await asyncio.sleep(0.02)
    assert await money.granted([turn_of(f"p_{n}") for n in range(101)], 1) == 100 - stayed


async def test_budgets_of_all_subjects_hold_at_once_over_two_servers(money: Money) -> None:
    """Two servers share the database: 40 calls of a person by two keys, 40 of others, in two tenants."""
    other = BudgetService(Settings(), db=money.kernel.db, connections=money.kernel.connections, log=money.kernel.log)
    for tenant in (OURS, THEIRS):
        admin = turn_of("p_admin", tenant=tenant)
        await money.limit("30", admin)
        await money.limit("12", admin, subject="user", subject_id="p_me")
        await money.limit("5", admin, subject="key", subject_id="k1", period="day")
    async with other.run(money.kernel.tasks):
        turns = [
            turn_of("p_me" if n % 2 else f"p_{n}", tenant=tenant, key=("k1", "k2")[n // 2 % 2] if n % 2 else None)
            for n in range(80)
            for tenant in (OURS, THEIRS)
        ]
        answers = await asyncio.gather(
            *((money.budgets, other)[n % 2].reserve(turn, buying(1)) for n, turn in enumerate(turns)),
            return_exceptions=True,
        )
    granted = [turn for turn, answer in zip(turns, answers, strict=True) if not isinstance(answer, Exception)]
    for tenant in (OURS, THEIRS):
        mine = [turn for turn in granted if turn.tenant == tenant]
        assert len(mine) == 30
        assert len([turn for turn in mine if turn.principal.pseudonym == "p_me"]) <= 12
        assert len([turn for turn in mine if turn.principal.key_id == "k1"]) <= 5
        assert (await money.balance(tenant)).reserved_usd == "30"


async def test_a_call_is_settled_at_its_real_cost_and_frees_the_rest(money: Money) -> None:
    budget = await money.limit("10")
    await money.call(turn_of(), 8, cost_usd="0.25")
    await money.settled()
    state = await money.budgets.one(turn_of(), budget)
    assert (state.spent_usd, state.reserved_usd, state.remaining_usd) == ("0.25", "0", "9.75")
    assert [day.spent_usd for day in state.days] == ["0.25"]


async def test_an_ended_call_does_not_hold_back_the_next_one_before_delivery_has_booked_it(money: Money) -> None:
    """Nothing is delivered here. 20 calls that reserve 8 of 10 dollars pass one after the other: each costs little."""
    await money.limit("10")
    for _ in range(20):
        await money.call(turn_of(), 8, cost_usd="0.01")
    assert (await money.balance()).spent_usd in ("0.19", "0.2")
    await money.settled()
    books = await money.balance()
    assert (books.spent_usd, books.open_reservations, books.is_balanced) == ("0.2", 0, True)


async def test_a_refusal_names_the_budget_and_when_it_begins_anew_and_is_logged_before_any_call(money: Money) -> None:
    await money.limit("2", subject="user", subject_id="p_me")
    turn = turn_of("p_me")
    with pytest.raises(BudgetExceeded, match=r"The monthly budget of this person .* may cost \$3\.00") as refused:
        await money.budgets.reserve(turn, buying(3))
    starts_anew = bounds("month", datetime.now(UTC))[1]
    assert f"{starts_anew:%Y-%m-%d}" in str(refused.value)
    assert refused.value.status == 402
    assert refused.value.details["budget"]["resets_at"] == starts_anew.isoformat()
    assert await money.events(turn) == ["turn_started", "budget_decision"]
    (decision,) = await bodies(money, "budget_decision")
    assert (decision["decision"], decision["limit_usd"], decision["reserved_usd"]) == ("refused", "2", "3")
    assert await money.budgets.reserve(turn_of("p_you"), buying(3)) is None


async def test_a_budget_that_warns_lets_the_call_pass_and_says_so(money: Money) -> None:
    await money.limit("2", action="warn")
    assert (await money.call(turn_of(), 1)).decision == "granted"  # type: ignore[union-attr]
    warned = await money.call(turn_of(), 5)
    assert warned is not None
    assert (warned.decision, warned.subject, warned.limit_usd) == ("warned", "tenant", "2")


async def test_the_soft_limit_is_told_once_a_period(money: Money) -> None:
    await money.limit("10", soft_pct=50)
    for cost in ("4.9", "0.2", "0.2"):
        await money.call(turn_of(), 1, cost_usd=cost)
        await money.settled()
    await money.service.handle([])
    (told,) = await bodies(money, "budget.soft_limit")
    assert (told["spent_usd"], told["limit_usd"], told["soft_pct"], told["subject"]) == ("5.1", "10", 50, "tenant")


async def test_a_model_without_a_price_is_refused_only_where_a_budget_blocks(money: Money) -> None:
    assert await money.budgets.reserve(turn_of(), buying(1, price=None)) is None
    await money.limit("5", action="warn")
    assert await money.budgets.reserve(turn_of(), buying(1, price=None)) is None
    await money.limit("5", subject="agent", subject_id="a1")
    assert await money.budgets.reserve(turn_of(), buying(1, price=None)) is None
    with pytest.raises(PriceUnknown, match="stub/ok has no known price") as refused:
        await money.budgets.reserve(turn_of(agent="a1"), buying(1, price=None))
    assert (refused.value.status, refused.value.code) == (409, "price_unknown")


async def test_limits_of_a_key_a_role_and_a_request_hold_without_any_budget(money: Money) -> None:
    keyed = turn_of("p_a", key="k1", key_usd=Decimal(5))
    assert await money.granted([keyed] * 8, 1) == 5
    with pytest.raises(BudgetExceeded, match="The budget of this API key"):
        await money.budgets.reserve(keyed, buying(1))
    assert await money.granted([turn_of("p_b", monthly_usd=Decimal(3))] * 8, 1) == 3
    with pytest.raises(BudgetExceeded, match=r"one request may cost at most \$2\.00"):
        await money.budgets.reserve(turn_of("p_c", per_request_usd=Decimal(2)), buying(3))


async def test_a_free_call_asks_nothing_and_passes_an_exhausted_budget(money: Money) -> None:
    await money.limit("0")
    assert await money.budgets.reserve(turn_of(), buying(0)) is None
    assert await money.kernel.connections.system.fetchval("SELECT count(*) FROM observability.reservation") == 0
    with pytest.raises(BudgetExceeded):
        await money.budgets.reserve(turn_of(), buying(1))


async def test_a_call_without_a_limit_of_tokens_reserves_the_usual_answer_within_the_context(money: Money) -> None:
    await money.limit("100000")
    open_ended = msgspec.structs.replace(buying(0), output_tokens=None, choices=2)
    decision = await money.budgets.reserve(turn_of(), open_ended)
    assert decision is not None
    assert decision.reserved_usd == str(2 * 4096)
    small = msgspec.structs.replace(open_ended, call="other", context=100, input_tokens=40)
    decision = await money.budgets.reserve(turn_of(), small)
    assert decision is not None
    assert decision.reserved_usd == "120"


async def test_a_tenant_without_budgets_asks_the_database_nothing(money: Money) -> None:
    unopened = Connections(ConnectionSettings())
    budgets = BudgetService(Settings(), db=money.kernel.db, connections=unopened, log=money.kernel.log)
    assert not budgets.bind(turn_of(key="k1", agent="a1"))
    assert await budgets.reserve(turn_of(), buying(1)) is None


async def test_what_was_spent_before_a_budget_was_made_counts(money: Money) -> None:
    await money.call(turn_of(), 1, cost_usd="7")
    await money.settled()
    budget = await money.limit("10")
    assert (await money.budgets.one(turn_of(), budget)).spent_usd == "7"
    with pytest.raises(BudgetExceeded):
        await money.budgets.reserve(turn_of(), buying(4))


async def test_a_server_that_was_not_told_hears_of_a_new_budget(money: Money) -> None:
    other = BudgetService(Settings(), db=money.kernel.db, connections=money.kernel.connections, log=money.kernel.log)
    async with other.run(money.kernel.tasks):
        assert not other.bind(turn_of())
        await money.limit("1")
        deadline = asyncio.get_running_loop().time() + 20
        while not other.bind(turn_of()) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        assert other.bind(turn_of())


async def test_budgets_that_cannot_be_asked_refuse_and_work_again_after(money: Money) -> None:
    await money.limit("10")
    owner = await asyncpg.connect(money.kernel.urls.owner)
    try:
        await owner.execute("REVOKE INSERT ON observability.reservation FROM aibox_system")
        with pytest.raises(StateUnavailable):
            await money.budgets.reserve(turn_of(), buying(1))
        await owner.execute("GRANT INSERT ON observability.reservation TO aibox_system")
    finally:
        await owner.close()
    assert await money.granted([turn_of()], 1) == 1


async def test_budgets_that_do_not_run_refuse(money: Money) -> None:
    await money.limit("10")
    closed = BudgetService(Settings(), db=money.kernel.db, connections=money.kernel.connections, log=money.kernel.log)
    await closed.refresh()
    with pytest.raises(StateUnavailable):
        await closed.reserve(turn_of(), buying(1))


async def test_asking_twice_for_the_same_call_reserves_once(money: Money) -> None:
    """The answer of the first was lost with its connection."""
    await money.limit("10")
    purchase = buying(6)
    turn = turn_of()
    for _ in range(2):
        assert (await money.budgets.reserve(turn, purchase)) is not None
    assert (await money.balance()).reserved_usd == "6"


class TestChanging:
    async def test_a_budget_is_made_read_changed_and_removed(self, money: Money) -> None:
        admin = turn_of("p_admin")
        budget = await money.limit("10", admin, subject="key", subject_id="k1")
        assert [state.id for state in await money.budgets.all(admin)] == [budget]
        state = await money.budgets.change(admin, budget, limit_usd=Decimal("2.50"), action="warn")
        assert (state.limit_usd, state.soft_pct, state.action) == ("2.5", 80, "warn")
        await money.budgets.remove(admin, budget)
        assert await money.budgets.all(admin) == []
        with pytest.raises(NotFound):
            await money.budgets.one(admin, budget)
        assert not money.budgets.bind(turn_of(key="k1"))
        assert [body["action"] for body in await bodies(money, "admin.budget.set")] == ["block", "warn"]

    async def test_a_second_budget_for_the_same_subject_and_period_is_a_conflict(self, money: Money) -> None:
        await money.limit("10")
        await money.limit("1", period="day")
        with pytest.raises(Conflict):
            await money.limit("20")

    async def test_another_tenants_budget_does_not_exist(self, money: Money) -> None:
        budget = await money.limit("10")
        stranger = turn_of("p_admin", tenant=THEIRS)
        assert await money.budgets.all(stranger) == []
        for act in (money.budgets.one, money.budgets.remove, money.budgets.change):
            with pytest.raises(NotFound):
                await act(stranger, budget)
        assert await money.budgets.reserve(stranger, buying(100)) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"limit_usd": Decimal("-1")},
            {"limit_usd": Decimal("NaN")},
            {"limit_usd": Decimal("1e-9")},
            {"limit_usd": Decimal("1e300")},
            {"soft_pct": 0},
            {"soft_pct": 101},
            {"subject": "user"},
            {"subject_id": "p_me"},
            {"subject": "key", "subject_id": "k\x00"},
        ],
        ids=str,
    )
    async def test_a_budget_that_cannot_be_is_refused(self, money: Money, changes: dict[str, Any]) -> None:
        members = {"subject": "tenant", "subject_id": "", "period": "day", "limit_usd": Decimal(1), **changes}
        with pytest.raises(ValidationFailed):
            await money.budgets.add(turn_of("p_admin"), BudgetTerms(**members))

    async def test_the_projection_goes_on_as_the_period_began(self, money: Money) -> None:
        budget = await money.limit("100", period="day")
        await money.call(turn_of(), 1, cost_usd="2")
        await money.settled()
        state = await money.budgets.one(turn_of(), budget)
        passed = max(datetime.now(UTC) - state.starts_at, timedelta(hours=1))
        likely = 2 * timedelta(days=1) / passed
        assert abs(float(state.projected_usd) - likely) < likely * 0.02
        assert (state.used_pct, state.state) == ("2.0", "ok")


class TestRecovery:
    async def announce(self, money: Money, turn: Turn, dollars: int) -> str:
        purchase = buying(dollars)
        decision = await money.budgets.reserve(turn, purchase)
        assert decision is not None
        await money.kernel.log.log(turn, decision, invoked(purchase.call))
        return purchase.call

    async def test_a_running_call_keeps_its_reservation(self, money: Money) -> None:
        await money.limit("10")
        await self.announce(money, turn_of(), 3)
        await money.budgets.recover(seconds=0)
        assert (await money.balance()).reserved_usd == "3"

    async def test_a_response_in_the_log_settles_once_whoever_reads_it_first(self, money: Money) -> None:
        budget = await money.limit("10")
        turn = turn_of()
        call = await self.announce(money, turn, 3)
        await money.kernel.log.log(turn, response(turn, call=call, cost_usd="1.5"))
        await asyncio.gather(*(money.budgets.recover(seconds=0) for _ in range(4)), money.settled())
        await money.settled()
        state = await money.budgets.one(turn_of(), budget)
        assert (state.spent_usd, state.reserved_usd) == ("1.5", "0")
        assert (await money.balance()).is_balanced

    async def test_a_call_whose_turn_ended_without_a_response_costs_what_was_reserved(self, money: Money) -> None:
        await money.limit("10")
        turn = turn_of()
        await self.announce(money, turn, 3)
        await money.kernel.log.end(turn, "abandoned")
        await money.budgets.recover(seconds=0)
        books = await money.balance()
        assert (books.spent_usd, books.open_reservations, books.is_balanced) == ("3", 0, True)
        (lost,) = (await money.service.usage_of(turn_of())).by_model
        assert (lost.cost_usd, lost.requests) == ("3", 1)

    async def test_a_call_that_was_never_announced_costs_nothing(self, money: Money) -> None:
        await money.limit("10")
        turn = turn_of()
        await money.budgets.reserve(turn, buying(3))
        await money.budgets.recover(seconds=0)
        assert (await money.balance()).reserved_usd == "3"
        await money.kernel.connections.system.execute("UPDATE observability.reservation SET expires_at = now()")
        await money.budgets.recover(seconds=0)
        books = await money.balance()
        assert (books.spent_usd, books.reserved_usd, books.open_reservations) == ("0", "0", 0)


class TestBalance:
    async def test_books_that_were_changed_behind_our_back_do_not_balance(self, money: Money) -> None:
        await money.limit("10")
        await money.call(turn_of(), 1)
        await money.settled()
        assert (await money.balance()).is_balanced
        system = money.kernel.connections.system
        await system.execute("UPDATE observability.spending SET spent_usd = spent_usd + 0.000001 WHERE period = 'day'")
        books = await money.balance()
        assert not books.is_balanced
        assert "says 1.000001 spent" in books.problems[0]

    async def test_a_response_that_delivery_has_not_brought_is_no_problem_but_is_counted(self, money: Money) -> None:
        turn = turn_of()
        await money.kernel.log.log(turn, response(turn))
        books = await money.balance()
        assert (books.unbooked_responses, books.is_balanced, books.spent_usd) == (1, True, "0")

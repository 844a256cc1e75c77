"""Usage: written once per `model_response`, added up per person and by any combination of dimensions."""

import csv
import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from aibox.core.errors import ValidationFailed
from aibox.observability import DIMENSIONS, Dimension, UsageReport
from aibox.observability.usage import as_csv
from tests.integration.observability.conftest import OURS, THEIRS, Money, response, turn_of

TODAY = datetime.now(UTC).date()


async def report_by(money: Money, *by: Dimension, limit: int | None = None, ago: int = 0) -> UsageReport:
    """The usage of three days around today, or as many days ago."""
    middle = TODAY - timedelta(days=ago)
    since, until = middle - timedelta(days=1), middle + timedelta(days=1)
    return await money.service.usage(turn_of(), by, since=since, until=until, limit=limit)


async def test_ones_own_usage_is_exact_by_model(money: Money) -> None:
    me, you, stranger = turn_of("p_me"), turn_of("p_you"), turn_of("p_me", tenant=THEIRS)
    log = money.kernel.log
    await log.log(me, response(me), response(me, cost_usd="0.2"), response(me, model="free", cost_usd="0"))
    await log.log(you, response(you))
    await log.log(stranger, response(stranger, cost_usd="7"))
    await money.settled()
    assert msgspec.to_builtins(await money.service.usage_of(turn_of("p_me"))) == {
        "requests": 3,
        "input_tokens": 30,
        "output_tokens": 15,
        "cost_usd": "0.3",
        "unpriced_requests": 0,
        "by_model": [
            {
                "provider": "stub",
                "model": "ok",
                "requests": 2,
                "input_tokens": 20,
                "output_tokens": 10,
                "cost_usd": "0.3",
                "unpriced_requests": 0,
            },
            {
                "provider": "stub",
                "model": "free",
                "requests": 1,
                "input_tokens": 10,
                "output_tokens": 5,
                "cost_usd": "0",
                "unpriced_requests": 0,
            },
        ],
    }


async def test_the_same_event_twice_is_one_generation(money: Money) -> None:
    me = turn_of("p_me")
    (_, recorded) = await money.kernel.log.log(me, response(me))
    await money.service.handle([recorded])
    await money.service.handle([recorded, recorded])
    await money.settled()
    assert (await money.service.usage_of(me)).requests == 1
    assert (await money.balance()).spent_usd == "0.1"


async def test_an_unknown_price_is_not_zero_and_a_try_that_nobody_took_is_no_request(money: Money) -> None:
    me = turn_of("p_me")
    failed = {"ok": False, "code": "backend_unavailable", "input_tokens": 0, "output_tokens": 0, "cost_usd": "0"}
    await money.kernel.log.log(me, response(me, cost_usd=""), response(me), response(me, **failed))
    await money.settled()
    used = await money.service.usage_of(me)
    assert (used.requests, used.unpriced_requests, used.cost_usd) == (2, 1, "0.1")
    assert await money.kernel.connections.system.fetchval("SELECT count(*) FROM observability.generation") == 3


async def test_a_cancelled_call_with_tokens_is_counted(money: Money) -> None:
    me = turn_of("p_me")
    await money.kernel.log.log(me, response(me, ok=False, code="cancelled", estimated=True))
    await money.settled()
    assert (await money.service.usage_of(me)).output_tokens == 5


async def test_nobody_has_used_anything_at_first(money: Money) -> None:
    used = await money.service.usage_of(turn_of("p_new"))
    assert (used.requests, used.cost_usd, used.by_model) == (0, "0", [])


class TestReports:
    async def fill(self, money: Money) -> None:
        ada, bob = turn_of("p_ada", key="k1"), turn_of("p_bob", agent="a1")
        await money.kernel.log.log(ada, response(ada), response(ada, model="big", cost_usd="2", reasoning_tokens=3))
        await money.kernel.log.log(bob, response(bob), response(bob, cost_usd="", estimated=True))
        stranger = turn_of("p_ada", tenant=THEIRS)
        await money.kernel.log.log(stranger, response(stranger, cost_usd="99"))
        await money.settled()

    async def test_any_combination_adds_up_to_the_same_total(self, money: Money) -> None:
        await self.fill(money)
        combinations: list[tuple[Dimension, ...]] = [("model",), ("user", "day"), DIMENSIONS, ()]
        for by in combinations:
            report = await report_by(money, *by)
            assert (report.total.requests, report.total.cost_usd) == (4, "2.2")
            if by:
                assert sum(row.requests for row in report.rows) == 4

    async def test_rows_are_the_dearest_first_and_name_their_dimensions(self, money: Money) -> None:
        await self.fill(money)
        report = await report_by(money, "user", "model")
        assert report.by == ["model", "user"]
        assert [(row.model, row.user, row.cost_usd, row.requests) for row in report.rows] == [
            ("big", "p_ada", "2", 1),
            ("ok", "p_ada", "0.1", 1),
            ("ok", "p_bob", "0.1", 2),
        ]
        assert (report.rows[0].reasoning_tokens, report.rows[2].unpriced_requests) == (3, 1)
        by_day = await report_by(money, "day")
        assert [row.day for row in by_day.rows] == [TODAY]

    async def test_more_rows_than_asked_for_are_not_hidden_in_silence(self, money: Money) -> None:
        await self.fill(money)
        report = await report_by(money, "user", "model", limit=2)
        assert (len(report.rows), report.is_complete, report.total.requests) == (2, False, 4)

    async def test_other_days_are_left_out(self, money: Money) -> None:
        await self.fill(money)
        report = await report_by(money, "model", ago=9)
        assert (report.rows, report.total.requests, report.total.cost_usd) == ([], 0, "0")

    async def test_days_in_the_wrong_order_are_refused(self, money: Money) -> None:
        with pytest.raises(ValidationFailed):
            await money.service.usage(turn_of(), ["model"], since=TODAY, until=TODAY - timedelta(days=1))

    async def test_no_cell_of_the_csv_can_be_taken_for_a_formula(self, money: Money) -> None:
        me = turn_of("p_me", agent="@evil")
        await money.kernel.log.log(me, response(me, model='=HYPERLINK("http://x","a,b")\n', provider="+1"))
        await money.settled()
        report = await report_by(money, "model", "agent")
        (heading, row) = csv.reader(io.StringIO(as_csv(report)))
        cells = dict(zip(heading, row, strict=True))
        assert (cells["provider"], cells["model"]) == ("'+1", '\'=HYPERLINK("http://x","a,b")\n')
        assert (cells["agent"], cells["requests"], cells["cost_usd"]) == ("'@evil", "1", "0.1")


class TestTraces:
    async def test_turns_are_listed_newest_first_and_page_by_page(self, money: Money) -> None:
        turns = [turn_of(f"p_{n}") for n in range(3)]
        for turn in turns:
            await money.kernel.log.log(turn, response(turn), response(turn, ok=False, code="cancelled", model="b"))
        await money.settled()
        found = await money.service.traces(turn_of(), limit=2)
        assert [trace.turn_id for trace in found] == [turns[2].id, turns[1].id]
        assert (found[0].calls, found[0].failed_calls, found[0].cost_usd) == (2, 1, "0.2")
        assert found[0].models == ["stub/b", "stub/ok"]
        rest = await money.service.traces(turn_of(), before=found[-1].turn_id)
        assert [trace.turn_id for trace in rest] == [turns[0].id]
        assert await money.service.traces(turn_of(tenant=THEIRS)) == []

    async def test_a_call_whose_price_nobody_knows_is_told_apart_from_one_that_cost_nothing(self, money: Money) -> None:
        free, unknown = turn_of(), turn_of()
        await money.kernel.log.log(free, response(free, cost_usd="0"))
        await money.kernel.log.log(unknown, response(unknown, cost_usd=""))
        await money.settled()
        found = {trace.turn_id: trace for trace in await money.service.traces(turn_of())}
        assert (found[free.id].cost_usd, found[free.id].unpriced_calls) == ("0", 0)
        assert (found[unknown.id].cost_usd, found[unknown.id].unpriced_calls) == ("0", 1)


async def test_the_tenant_of_a_generation_is_its_turns(money: Money) -> None:
    stranger = turn_of("p_me", tenant=THEIRS)
    await money.kernel.log.log(stranger, response(stranger))
    await money.settled()
    assert (await money.balance(OURS)).spent_usd == "0"
    assert (await money.balance(THEIRS)).spent_usd == "0.1"

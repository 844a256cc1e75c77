"""Events that come after the seal: the turn stays as it was sealed, and an addendum commits to what came late."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from aibox.audit import ExternalAct, NotSealed, OnlyTheOwner, verifier
from aibox.audit.check import check
from aibox.audit.console import LEFT_OVER
from aibox.core.errors import NotFound
from aibox.core.events import text_artifact
from aibox.core.turn import Turn, begin
from tests.integration.audit.conftest import ANN, AUDITOR, BOB, STRANGER, Bench
from tests.integration.audit.test_erasure import erasure
from tests.integration.audit.test_sealing import execute_as_owner


def delivered(text: str = "At gate 7.") -> ExternalAct:
    return ExternalAct(
        action="delivered", resource_type="order", resource_id="4711", result="ok", artifacts=(text_artifact(text),)
    )


async def added(bench: Bench, about: Turn, *acts: ExternalAct) -> Turn:
    """The turn in which Ann added to another."""
    turn = begin(ANN)
    for act in acts or (delivered(),):
        await bench.trail.report(turn, act, about=about.id)
    await bench.kernel.log.end(turn, "sealed")
    return turn


async def proof(bench: Bench, turn: Turn, **options: Any) -> tuple[bytes, dict[str, Any]]:
    """A receipt that verifies by the tenant's policy, and what it says."""
    data = await bench.audit.proof(begin(ANN), turn.id, **options)
    verdict = verifier.verify(data, msgspec.json.encode(await bench.audit.policy(turn)))
    assert verdict.ok, verdict.summary
    return data, json.loads(data)


async def sealed(bench: Bench) -> Turn:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    return turn


async def test_a_late_event_is_sealed_by_an_addendum_and_the_receipt_proves_it(bench: Bench) -> None:
    turn = await sealed(bench)
    before, _ = await proof(bench, turn)

    await added(bench, turn)
    waiting = (await bench.audit.receipt(turn, turn.id)).addenda
    await bench.audit.sealer.seal_pending()

    receipt = await bench.audit.receipt(turn, turn.id)
    assert [(one.first, one.events, one.state, one.idx) for one in waiting] == [(3, 1, "open", None)]
    assert [(one.first, one.events, one.state, one.log) for one in receipt.addenda] == [(3, 1, "sealed", receipt.log)]
    _, shown = await proof(bench, turn)
    (addendum,) = shown["addenda"]
    assert shown["envelope"] == json.loads(before)["envelope"]
    assert json.loads(addendum["leaf"])["idx"] == receipt.addenda[0].idx
    (event,) = (json.loads(one["event"]) for one in addendum["events"])
    assert (event["type"], event["seq"], event["turn"]) == ("external.delivered", 3, str(turn.id))
    assert verifier.verify(before).ok


async def test_the_turn_that_added_says_so_itself(bench: Bench) -> None:
    turn = await sealed(bench)

    by = await added(bench, turn)
    await bench.audit.sealer.seal_pending()

    _, shown = await proof(bench, by)
    (act,) = (json.loads(one["event"]) for one in shown["events"][1:-1])
    assert (act["type"], act["body"]) == ("audit.addendum_made", {"about": str(turn.id), "count": 1, "first": 3})


async def test_events_that_are_added_at_once_get_numbers_of_their_own(bench: Bench) -> None:
    turn = await sealed(bench)

    await asyncio.gather(*(added(bench, turn) for _ in range(5)))
    await bench.audit.sealer.seal_pending()

    _, shown = await proof(bench, turn)
    numbers = [json.loads(item["events"][0]["event"])["seq"] for item in shown["addenda"]]
    assert numbers == [3, 4, 5, 6, 7]


async def test_an_open_turn_and_anothers_take_no_late_events(bench: Bench) -> None:
    open_turn, own = begin(ANN), await sealed(bench)
    await bench.kernel.log.log(open_turn, delivered())

    with pytest.raises(NotSealed):
        await bench.trail.report(begin(ANN), delivered(), about=open_turn.id)
    for stranger in (BOB, STRANGER):
        with pytest.raises(NotFound):
            await bench.trail.report(begin(stranger), delivered(), about=own.id)
    with pytest.raises(OnlyTheOwner):
        await bench.trail.report(begin(AUDITOR), delivered(), about=own.id)

    events = await bench.kernel.connections.system.fetchval("SELECT count(*) FROM core.event WHERE turn = $1", own.id)
    assert events == 3


async def test_a_late_event_is_found_replayed_and_checked_with_its_turn(bench: Bench) -> None:
    turn = await sealed(bench)
    await added(bench, turn)
    await bench.audit.sealer.seal_pending()

    replay = await bench.trail.replay(begin(ANN), turn.id)

    assert [event.type for event in replay.events][2:] == ["turn_sealed", "external.delivered"]
    assert replay.events[3].artifacts[0].text == "At gate 7."
    found = await check(bench.kernel.db, bench.audit.copies, begin(AUDITOR))
    assert found.ok, found
    for what, query in LEFT_OVER.items():
        assert await bench.kernel.connections.system.fetchval(query) == 0, what


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            "UPDATE core.event SET data = convert_to(replace(convert_from(data, 'UTF8'), '4711', '4712'), 'UTF8')",
            "the late events do not hash",
        ),
        ("UPDATE core.event SET type = 'external.lost'", "the event is not what its row says"),
        ("DELETE FROM core.event", "an event is missing"),
    ],
)
async def test_the_check_names_a_late_event_that_was_edited(bench: Bench, edit: str, reason: str) -> None:
    turn = await sealed(bench)
    await added(bench, turn)
    await bench.audit.sealer.seal_pending()

    await execute_as_owner(bench, f"{edit} WHERE turn = '{turn.id}' AND seq = 3")

    bad = (await check(bench.kernel.db, bench.audit.copies, begin(AUDITOR))).first_bad
    assert bad is not None
    assert bad.reason.startswith(reason)
    assert (bad.turn_id, bad.seq) == (turn.id, None if reason.startswith("the late") else 3)


async def test_a_late_event_without_an_addendum_is_found_by_fsck(bench: Bench) -> None:
    turn = await sealed(bench)

    await execute_as_owner(
        bench,
        "INSERT INTO core.event (tenant, turn, seq, type, source, data)"
        f" SELECT tenant, turn, 3, type, source, data FROM core.event WHERE turn = '{turn.id}' AND seq = 1",
    )

    query = LEFT_OVER["turns have events after their seal that no addendum has"]
    assert await bench.kernel.connections.system.fetchval(query) == 1


async def test_what_a_late_event_holds_opens_for_its_owner_until_it_is_erased(bench: Bench) -> None:
    turn = await sealed(bench)
    await added(bench, turn)
    await bench.audit.sealer.seal_pending()
    _, shown = await proof(bench, turn, opened=True)
    assert [(one["event"], one["mt"]) for one in shown["openings"]] == [(3, "text/plain; charset=utf-8")]

    by = begin(ANN)
    await erasure(bench).erase(by)
    await bench.kernel.log.end(by, "sealed")
    await bench.audit.sealer.seal_pending()

    _, shown = await proof(bench, turn, opened=True)
    assert shown["openings"] == []
    assert [(art["event"], art["art"]) for art in shown["erased"][0]["arts"]] == [(3, 0)]


async def test_a_process_that_dies_after_it_added_leaves_no_addendum_behind(bench: Bench) -> None:
    turn, by = await sealed(bench), begin(ANN)
    await bench.trail.report(by, delivered(), about=turn.id)

    system = bench.kernel.connections.system
    await system.execute("UPDATE core.turn SET lease_until = now() - interval '1 hour' WHERE turn = $1", by.id)
    await bench.audit.reaper.reap()
    await bench.audit.sealer.seal_pending()

    assert [one.state for one in (await bench.audit.receipt(turn, turn.id)).addenda] == ["sealed"]
    assert (await bench.audit.receipt(by, by.id)).outcome == "abandoned"


async def test_late_events_that_are_not_there_when_they_are_to_be_sealed_do_not_stop_the_log(bench: Bench) -> None:
    turn = await sealed(bench)
    await added(bench, turn)
    await execute_as_owner(bench, f"DELETE FROM core.event WHERE turn = '{turn.id}' AND seq = 3")

    await bench.audit.sealer.seal_pending()

    other = await sealed(bench)
    assert (await bench.audit.receipt(other, other.id)).state == "sealed"
    assert [one.state for one in (await bench.audit.receipt(turn, turn.id)).addenda] == ["open"]

"""A tenant's log at the turn of the year: the old one is closed for good, and the new one names it."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from aibox.audit import ExternalAct, notes, verifier
from aibox.audit.check import check
from aibox.audit.sealer import Sealer
from aibox.audit.signing import HeadKeys
from aibox.core.errors import ValidationFailed
from aibox.core.turn import Turn, begin
from tests.integration.audit.conftest import ANN, STRANGER, Bench


class Clocked:
    """A sealer whose clock a test sets."""

    def __init__(self, bench: Bench) -> None:
        self.now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
        self.bench = bench
        self.sealer = Sealer(
            bench.kernel.connections,
            HeadKeys(bench.kernel.rings["audit"]),
            bench.audit.copies,
            host="aibox.test",
            build="0.1.0",
            policy="default@1",
            clock=lambda: int(self.now.timestamp()) * 10**9,
        )

    async def seal(self, year: int) -> Turn:
        self.now = datetime(year, 6, 1, tzinfo=UTC)
        turn = await self.bench.ended()
        await self.sealer.seal_pending()
        return turn

    async def entries(self, turn: Turn) -> list[dict[str, object]]:
        """The entries of the log that `turn` is in."""
        origin = (await self.bench.audit.receipt(turn, turn.id)).log
        rows = await self.bench.kernel.connections.system.fetch(
            "SELECT data FROM audit.entry WHERE origin = $1 ORDER BY idx", origin
        )
        return [json.loads(row["data"]) for row in rows]

    async def head(self, turn: Turn) -> notes.Checkpoint:
        origin = (await self.bench.audit.receipt(turn, turn.id)).log or ""
        return notes.parse_checkpoint(await self.bench.audit.checkpoint(turn, origin.split("/")[-2]))


@pytest.fixture
def clocked(bench: Bench) -> Clocked:
    return Clocked(bench)


async def test_the_old_log_names_the_new_one_and_the_new_one_its_last_head(clocked: Clocked) -> None:
    old, new = await clocked.seal(2026), await clocked.seal(2027)

    before, after = await clocked.entries(old), await clocked.entries(new)
    head = await clocked.head(old)
    assert [entry["@"] for entry in before] == ["aibox.key/1", "aibox.turn/1", "aibox.shard/1"]
    assert [entry["@"] for entry in after] == ["aibox.key/1", "aibox.shard/1", "aibox.turn/1"]
    assert before[-1]["next"] == after[0]["log"]
    assert (after[1]["last"], after[1]["size"], after[1]["root"]) == (head.origin, head.size, head.root.hex())
    assert head.size == 3


async def test_receipts_of_both_years_verify_and_the_check_finds_no_fault(clocked: Clocked) -> None:
    turns = [await clocked.seal(2026), await clocked.seal(2027), await clocked.seal(2027)]

    policy = await clocked.bench.audit.policy(turns[0])
    pinned = {"logs": [{"origin": log.origin, "vkeys": list(log.vkeys)} for log in policy.logs]}
    for turn in turns:
        verdict = verifier.verify(await clocked.bench.audit.proof(turn, turn.id), json.dumps(pinned).encode())
        assert verdict.ok, verdict.summary
    found = await check(clocked.bench.kernel.db, clocked.bench.audit.copies, turns[0])
    assert (found.ok, found.checked) == (True, 7)


async def test_a_head_that_was_pinned_last_year_is_continued_by_this_years_receipt(clocked: Clocked) -> None:
    bench = clocked.bench
    old, young = await clocked.seal(2026), await clocked.head(await clocked.seal(2026))
    new = await clocked.seal(2027)
    last = await clocked.head(old)
    assert (young.size, last.size) == (3, 4)
    log_id = last.origin.split("/")[-2]
    kept = [await noted(bench, last.origin, size) for size in (young.size, last.size)]

    for pin, note in ((young.size, kept[0]), (last.size, kept[1]), (None, kept[1])):
        proof = await bench.audit.proof(new, new.id, pin=pin, pin_log=log_id)
        policy = msgspec.json.encode(await bench.audit.policy(new))
        verdict = verifier.verify(proof, policy, note)
        assert verdict.ok, verdict.summary
        assert "goes on from" in verdict.steps[6].detail
        assert f"entries of {last.origin} are those of the pinned head" in verdict.steps[-1].detail


async def test_the_proof_that_a_log_goes_on_is_of_the_log_before_alone(clocked: Clocked) -> None:
    bench, first = clocked.bench, await clocked.seal(2025)
    old, new = await clocked.seal(2026), await clocked.seal(2027)
    ids = {turn.id: (await clocked.head(turn)).origin.split("/")[-2] for turn in (first, old, new)}

    own = json.loads(await bench.audit.proof(new, new.id, pin=2, pin_log=ids[new.id]))
    assert own["consistency"]["from"] == 2
    for log_id, pin in ((ids[first.id], 2), ("nolog", 2), (ids[old.id], 99)):
        with pytest.raises(ValidationFailed):
            await bench.audit.proof(new, new.id, pin=pin, pin_log=log_id)
    with pytest.raises(ValidationFailed):
        await bench.audit.proof(first, first.id, pin=2, pin_log=ids[old.id])


async def noted(bench: Bench, origin: str, size: int) -> bytes:
    """The signed head of this size."""
    note: str = await bench.kernel.connections.system.fetchval(
        "SELECT note FROM audit.checkpoint WHERE origin = $1 AND size = $2", origin, size
    )
    return note.encode()


async def test_an_addendum_to_last_years_turn_is_in_this_years_log(clocked: Clocked) -> None:
    bench, old = clocked.bench, await clocked.seal(2026)
    act = ExternalAct(action="paid", resource_type="", resource_id="", result="ok")
    by = begin(ANN)
    await bench.trail.report(by, act, about=old.id)
    await bench.kernel.log.end(by, "sealed")
    new = await clocked.seal(2027)

    receipt = await bench.audit.receipt(old, old.id)
    assert [one.log for one in receipt.addenda] == [(await bench.audit.receipt(new, new.id)).log]
    policy = msgspec.json.encode(await bench.audit.policy(new))
    verdict = verifier.verify(await bench.audit.proof(old, old.id), policy)
    assert verdict.ok, verdict.summary
    found = await check(bench.kernel.db, bench.audit.copies, new)
    assert found.ok, found


async def test_a_clock_that_goes_back_over_new_year_does_not_open_the_old_log_again(clocked: Clocked) -> None:
    old, new = await clocked.seal(2026), await clocked.seal(2027)

    late = await clocked.seal(2026)

    assert len(await clocked.entries(old)) == 3
    assert (await clocked.bench.audit.receipt(late, late.id)).log == (
        await clocked.bench.audit.receipt(new, new.id)
    ).log


async def test_a_log_is_closed_once_and_another_tenants_not_at_all(clocked: Clocked) -> None:
    theirs = await clocked.bench.ended(STRANGER)
    old = await clocked.seal(2026)
    for year in (2027, 2028):
        await clocked.seal(year)

    assert [entry["@"] for entry in await clocked.entries(theirs)] == ["aibox.key/1", "aibox.turn/1"]
    assert [entry["@"] for entry in await clocked.entries(old)].count("aibox.shard/1") == 1
    rows = await clocked.bench.kernel.connections.system.fetch(
        "SELECT year FROM audit.log WHERE tenant = $1 AND closed ORDER BY year", old.tenant
    )
    assert [row["year"] for row in rows] == [2026, 2027]


async def test_a_first_log_closes_none(clocked: Clocked) -> None:
    turn = await clocked.seal(2026)

    assert [entry["@"] for entry in await clocked.entries(turn)] == ["aibox.key/1", "aibox.turn/1"]

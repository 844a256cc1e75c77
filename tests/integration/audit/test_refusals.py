"""What must not be signed is not: a log that was rolled back, cut or altered. And what a crash left is ended."""

import asyncio
import json

import asyncpg
import pytest

from aibox.audit import verifier
from aibox.audit.heads import HeadRefused
from aibox.audit.sealer import RecomputationError
from aibox.core.errors import TurnEnded
from aibox.core.events import TurnFailed
from aibox.core.turn import begin
from tests.integration.audit.conftest import ANN, STRANGER, TENANT, Bench
from tests.integration.audit.test_sealing import execute_as_owner

LOG_TABLES = ("checkpoint", "verifier_key", "node", "entry", "log")


async def heads(bench: Bench) -> int:
    return int(await bench.kernel.connections.system.fetchval("SELECT count(*) FROM audit.checkpoint"))


async def test_a_log_that_is_older_than_its_copy_is_not_signed(bench: Bench) -> None:
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await execute_as_owner(bench, "CREATE TABLE public.old AS SELECT * FROM audit.log")
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    # An old backup of the audit tables comes back, and AIBox starts again.
    await execute_as_owner(
        bench,
        "DELETE FROM audit.checkpoint WHERE size > 2; DELETE FROM audit.entry WHERE idx > 1;"
        " DELETE FROM audit.node WHERE level = 0 AND idx > 1 OR level > 1;"
        " UPDATE audit.log SET (size, link, checkpoint, anchored) = (SELECT size, link, checkpoint, 2 FROM public.old)",
    )
    restarted = bench.replica()
    turn = await bench.ended()

    with pytest.raises(HeadRefused, match="the database fewer"):
        await restarted.sealer.seal(TENANT)

    assert await restarted.sealer.seal_pending() == 0
    assert (await restarted.receipt(turn, turn.id)).state == "open"
    assert list(restarted.copies.refused.values()) == ["the copy has a head of 3 entries, the database fewer"]


async def test_a_log_that_is_gone_while_its_copy_is_there_is_not_begun_again(bench: Bench) -> None:
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    await execute_as_owner(bench, ";".join(f"DELETE FROM audit.{table}" for table in LOG_TABLES))
    await bench.ended()

    with pytest.raises(HeadRefused, match="no such log"):
        await bench.replica().sealer.seal(TENANT)


async def test_a_log_that_contradicts_its_copy_is_not_signed(bench: Bench) -> None:
    await bench.many(3)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    await execute_as_owner(bench, "UPDATE audit.node SET hash = sha256('rewritten') WHERE level = 2")
    await bench.ended()

    with pytest.raises(HeadRefused, match="not the database's"):
        await bench.replica().sealer.seal(TENANT)


async def test_a_tree_that_is_not_the_one_signed_last_is_not_signed(bench: Bench) -> None:
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await execute_as_owner(bench, "UPDATE audit.node SET hash = sha256('rewritten') WHERE level = 1")
    await bench.ended()

    with pytest.raises(HeadRefused, match="signed last"):
        await bench.audit.sealer.seal(TENANT)
    assert await heads(bench) == 1


async def test_two_databases_that_went_on_from_one_copy_cannot_both_anchor(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    # The other database was first with a head of this size: here, some other note.
    _, _, _, log_id, year = ((await bench.audit.receipt(turn, turn.id)).log or "").split("/")
    await bench.objects.put(f"audit/{TENANT}/{year}/{log_id}/heads/{2:016d}", b"another head")

    await bench.audit.copy_heads_out()

    assert "another head of this size" in "".join(bench.audit.copies.refused.values())
    assert (await bench.audit.receipt(turn, turn.id)).state == "sealed"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("audit.entry", "NEW.data = set_byte(NEW.data, 20, get_byte(NEW.data, 20) # 1)"),
        ("audit.node", "NEW.hash = set_byte(NEW.hash, 0, get_byte(NEW.hash, 0) # 1)"),
        ("audit.node", "IF NEW.level > 0 THEN NEW.hash = set_byte(NEW.hash, 31, get_byte(NEW.hash, 31) # 128); END IF"),
    ],
)
async def test_a_bit_that_flips_on_the_way_to_the_disk_is_found_before_signing(
    bench: Bench, table: str, change: str
) -> None:
    await bench.ended()
    await execute_as_owner(
        bench,
        f"CREATE FUNCTION public.flip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change}; RETURN NEW; END $$;"
        f"CREATE TRIGGER flip BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.flip()",
    )

    with pytest.raises(RecomputationError):
        await bench.audit.sealer.seal(TENANT)
    assert await heads(bench) == 0

    await execute_as_owner(bench, f"DROP TRIGGER flip ON {table}")
    assert len(await bench.audit.sealer.seal(TENANT)) == 1


async def test_events_that_differ_when_read_again_are_found_before_signing(bench: Bench) -> None:
    turn = await bench.ended()
    # The event is altered after the envelope was written and before it is read again.
    await execute_as_owner(
        bench,
        "CREATE FUNCTION public.alter_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " UPDATE core.event SET data = set_byte(data, 9, 0) WHERE turn = NEW.turn AND seq = 1; RETURN NEW; END $$;"
        "CREATE TRIGGER alter_event AFTER INSERT ON audit.entry FOR EACH ROW EXECUTE FUNCTION public.alter_event()",
    )

    with pytest.raises(RecomputationError, match="events"):
        await bench.audit.sealer.seal(TENANT)
    assert await heads(bench) == 0
    assert (await bench.audit.receipt(turn, turn.id)).state == "open"


async def test_one_refused_tenant_does_not_keep_another_waiting(bench: Bench) -> None:
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await execute_as_owner(bench, "UPDATE audit.node SET hash = sha256('rewritten') WHERE level = 1")
    await bench.ended(ANN)
    theirs = await bench.ended(STRANGER)

    assert await bench.audit.sealer.seal_pending() == 1
    assert (await bench.audit.receipt(theirs, theirs.id)).state == "sealed"


async def test_what_a_crash_left_is_sealed_abandoned_with_what_was_durable(bench: Bench) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn, TurnFailed(code="half"))
    await expire(bench)

    assert await bench.audit.reaper.reap() == 1
    assert await bench.audit.reaper.reap() == 0
    await bench.audit.sealer.seal_pending()

    proof = await bench.audit.proof(turn, turn.id)
    assert verifier.verify(proof).ok
    types = [json.loads(item["event"])["type"] for item in json.loads(proof)["events"]]
    assert types == ["turn_started", "turn_failed", "turn_sealed"]
    assert (await bench.audit.receipt(turn, turn.id)).outcome == "abandoned"


async def test_a_turn_whose_lease_or_grace_runs_is_left_alone(bench: Bench) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn, TurnFailed(code="working"))
    assert await bench.audit.reaper.reap() == 0
    await expire(bench, seconds=5)

    assert await bench.audit.reaper.reap() == 0  # the grace is 30 seconds

    await bench.kernel.log.end(turn, "sealed")
    assert await bench.audit.sealer.seal_pending() == 1


async def test_a_turn_that_was_reaped_takes_no_more_events(bench: Bench) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn, TurnFailed(code="slow"))
    await expire(bench)
    await bench.audit.reaper.reap()

    with pytest.raises(TurnEnded):
        await bench.kernel.log.log(turn, TurnFailed(code="too late"))


async def test_reapers_of_several_replicas_end_a_turn_once(bench: Bench) -> None:
    for _ in range(20):
        await bench.kernel.log.log(begin(ANN), TurnFailed(code="half"))
    await expire(bench)

    counts = await asyncio.gather(*[bench.replica().reaper.reap() for _ in range(4)])

    assert sum(counts) == 20
    assert await bench.audit.sealer.seal_pending() == 20


async def test_the_running_module_reaps_seals_and_anchors_by_itself(bench: Bench) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn, TurnFailed(code="half"))
    await expire(bench)

    async with asyncio.TaskGroup() as tasks, bench.audit.run(tasks):
        async with asyncio.timeout(10):
            while (await bench.audit.receipt(turn, turn.id)).state != "anchored":
                await asyncio.sleep(0.02)

    assert (await bench.audit.receipt(turn, turn.id)).outcome == "abandoned"


async def test_the_sealer_goes_on_after_its_connections_were_killed(bench: Bench) -> None:
    async with asyncio.TaskGroup() as tasks, bench.audit.run(tasks):
        first = await bench.ended()
        assert (await bench.audit.wait_sealed(first, first.id, timeout=5)).state != "open"
        admin = await asyncpg.connect(bench.kernel.urls.owner.replace("aibox_owner@", "postgres@"))
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename IN ('aibox_system', 'aibox_app') AND datname = current_database()"
            )
        finally:
            await admin.close()

        second = await bench.ended()
        receipt = await bench.audit.wait_sealed(second, second.id, timeout=10)

    assert receipt.state != "open"


async def expire(bench: Bench, *, seconds: int = 31) -> None:
    """Every open turn's lease ran out this long ago."""
    await bench.kernel.connections.system.execute(
        "UPDATE core.turn SET lease_until = now() - make_interval(secs => $1) WHERE state = 'open'", seconds
    )

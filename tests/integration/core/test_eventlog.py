"""The log keeps what it acknowledged, numbers it without gaps, and refuses what it cannot keep."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
import pytest

from aibox.core.errors import AuditUnavailable, StateUnavailable, TurnEnded
from aibox.core.eventlog import MAX_BATCH_BYTES, EventLog
from aibox.core.events import TurnFailed, canonical, record, text_artifact
from aibox.core.turn import PLATFORM_TENANT, Turn, system_turn
from tests.conftest import Kernel


async def types(kernel: Kernel, turn: Turn) -> list[str]:
    rows = await kernel.connections.system.fetch(
        "SELECT seq, type FROM core.event WHERE tenant = $1 AND turn = $2 ORDER BY seq", turn.tenant, turn.id
    )
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    return [row["type"] for row in rows]


async def test_a_turn_enters_the_log_with_its_first_event(kernel: Kernel) -> None:
    turn = system_turn()
    assert await types(kernel, turn) == []
    await kernel.log.log(turn, TurnFailed(code="x"))
    assert await types(kernel, turn) == ["turn_started", "turn_failed"]


async def test_a_turn_that_records_nothing_leaves_nothing(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.end(turn, "sealed")
    assert await types(kernel, turn) == []
    assert await kernel.connections.system.fetchval("SELECT count(*) FROM core.turn") == 0


async def test_the_stored_bytes_are_the_canonical_bytes_of_the_event(kernel: Kernel) -> None:
    turn = system_turn()
    recorded = await kernel.log.log(turn, TurnFailed(code="x"))
    stored = await kernel.connections.system.fetchval(
        "SELECT data FROM core.event WHERE turn = $1 AND seq = 1", turn.id
    )
    assert stored == recorded[1].data == canonical(recorded[1].decode())


async def test_concurrent_events_of_one_turn_are_numbered_without_gap_or_repeat(kernel: Kernel) -> None:
    turn = system_turn()
    await asyncio.gather(*(kernel.log.log(turn, TurnFailed(code=str(n))) for n in range(50)))
    assert len(await types(kernel, turn)) == 51


async def test_many_turns_share_few_inserts(kernel: Kernel) -> None:
    turns = [system_turn() for _ in range(200)]
    await asyncio.gather(*(kernel.log.log(turn, TurnFailed(code="x")) for turn in turns))
    transactions = await kernel.connections.system.fetchval("SELECT count(DISTINCT xact) FROM core.event")
    assert transactions < 20


async def test_nothing_is_recorded_after_the_end(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="x"))
    await kernel.log.end(turn, "failed")
    with pytest.raises(TurnEnded):
        await kernel.log.log(turn, TurnFailed(code="late"))
    assert (await types(kernel, turn))[-1] == "turn_sealed"


async def test_a_turn_that_the_reaper_ended_takes_no_more_events(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="x"))
    foreign = record(turn, TurnFailed(code="written by another process"), seq=2)
    await kernel.connections.system.execute(
        "INSERT INTO core.event (tenant, turn, seq, type, source, data) VALUES ($1, $2, 2, 'turn_sealed', 'core', $3)",
        turn.tenant,
        turn.id,
        foreign.data,
    )
    with pytest.raises(TurnEnded):
        await kernel.log.log(turn, TurnFailed(code="late"))


async def test_a_late_log_of_many_events_leaves_no_row_behind_the_seal(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="x"))
    await kernel.log.end(turn, "failed")
    with pytest.raises(TurnEnded):
        await kernel.log.log(turn, *(TurnFailed(code=str(n)) for n in range(9)))
    assert await types(kernel, turn) == ["turn_started", "turn_failed", "turn_sealed"]


async def test_a_work_of_a_turn_that_the_reaper_ended_changes_nothing(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="x"))
    foreign = record(turn, TurnFailed(code="written by another process"), seq=2)
    await kernel.connections.system.execute(
        "INSERT INTO core.event (tenant, turn, seq, type, source, data) VALUES ($1, $2, 2, 'turn_sealed', 'core', $3)",
        turn.tenant,
        turn.id,
        foreign.data,
    )

    async def write() -> None:
        async with kernel.db.work(turn) as work:
            work.record(TurnFailed(code="late"))

    with pytest.raises(TurnEnded):
        await write()


async def test_an_artifact_is_stored_sealed(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="x", artifacts=(text_artifact("the secret plan"),)))
    row = await kernel.connections.system.fetchrow("SELECT * FROM core.artifact")
    assert row is not None
    assert b"secret plan" not in row["sealed"]
    key = await kernel.keys.named(turn.tenant, row["kid"])
    assert key is not None
    opened = key.open_bytes(row["sealed"], owner=row["commitment"], field="artifact")
    assert opened[32:] == b"the secret plan"


async def test_a_work_stores_its_event_with_its_changes_or_neither(kernel: Kernel) -> None:
    turn = system_turn()

    async def fail() -> None:
        async with kernel.db.work(turn) as work:
            work.record(TurnFailed(code="x"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await types(kernel, turn) == []
    async with kernel.db.work(turn) as work:
        work.record(TurnFailed(code="y"))
    assert await types(kernel, turn) == ["turn_started", "turn_failed"]


async def test_works_and_logs_of_one_turn_number_on(kernel: Kernel) -> None:
    turn = system_turn()
    await kernel.log.log(turn, TurnFailed(code="1"))
    async with kernel.db.work(turn) as work:
        work.record(TurnFailed(code="2"))
    await kernel.log.log(turn, TurnFailed(code="3"))
    await kernel.log.end(turn, "failed")
    assert len(await types(kernel, turn)) == 5


async def test_events_are_acknowledged_although_every_connection_is_cut(kernel: Kernel) -> None:
    turns = [system_turn() for _ in range(40)]

    async def cut() -> None:
        connection = await asyncpg.connect(kernel.urls.owner.replace("aibox_owner@", "postgres@"))
        for _ in range(5):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.02)
        await connection.close()

    async def talk(turn: Turn) -> None:
        for n in range(5):
            await kernel.log.log(turn, TurnFailed(code=str(n)))

    await asyncio.gather(cut(), *(talk(turn) for turn in turns))
    for turn in turns:
        assert len(await types(kernel, turn)) == 6


@pytest.mark.parametrize(
    "statement", ["UPDATE core.event SET type = 'x'", "DELETE FROM core.event", "TRUNCATE core.event"]
)
@pytest.mark.parametrize("role", ["app", "system"])
async def test_no_role_of_the_server_can_change_the_log(kernel: Kernel, role: str, statement: str) -> None:
    connection = await asyncpg.connect(getattr(kernel.urls, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_query_without_a_tenant_sees_nothing(kernel: Kernel) -> None:
    await kernel.log.log(system_turn(), TurnFailed(code="x"))
    connection = await asyncpg.connect(kernel.urls.app)
    try:
        assert await connection.fetchval("SELECT count(*) FROM core.event") == 0
        await connection.execute("SELECT set_config('app.tenant', $1, false)", str(PLATFORM_TENANT))
        assert await connection.fetchval("SELECT count(*) FROM core.event") == 2
    finally:
        await connection.close()


async def test_an_event_whose_caller_left_while_it_was_written_is_followed_by_the_next(kernel: Kernel) -> None:
    turn, unbegun = system_turn(), system_turn()
    await kernel.log.log(turn, TurnFailed(code="1"))
    lock = await asyncpg.connect(kernel.urls.owner)
    async with lock.transaction():
        await lock.execute("LOCK TABLE core.event IN EXCLUSIVE MODE")
        left = [asyncio.create_task(kernel.log.log(one, TurnFailed(code="2"))) for one in (turn, unbegun)]
        await asyncio.sleep(0.1)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        following = asyncio.create_task(kernel.log.log(turn, TurnFailed(code="3")))
        ending = asyncio.create_task(kernel.log.end(unbegun, "abandoned"))
        await asyncio.sleep(0.1)
    await lock.close()
    await asyncio.gather(following, ending)
    assert await types(kernel, turn) == ["turn_started", "turn_failed", "turn_failed", "turn_failed"]
    assert await types(kernel, unbegun) == ["turn_started", "turn_failed", "turn_sealed"]


async def test_the_lease_of_a_turn_that_could_not_be_ended_runs_out(kernel: Kernel) -> None:
    turn, running = system_turn(), system_turn()
    for one in (turn, running):
        await kernel.log.log(one, TurnFailed(code="x"))
    admin = await asyncpg.connect(kernel.urls.owner.replace("aibox_owner@", "postgres@"))
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", name
    )
    with pytest.raises(AuditUnavailable):
        await kernel.log.end(turn, "sealed")
    await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    await admin.execute("UPDATE core.turn SET lease_until = now()")
    await admin.close()
    await kernel.log.renew()
    leased = await kernel.connections.system.fetch("SELECT turn FROM core.turn WHERE lease_until > now()")
    assert [row["turn"] for row in leased] == [running.id]


async def test_a_database_that_takes_no_connection_is_unavailable_and_no_bug(kernel: Kernel) -> None:
    admin = await asyncpg.connect(kernel.urls.owner.replace("aibox_owner@", "postgres@"))
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    with pytest.raises(StateUnavailable):
        async with kernel.db.read(system_turn()):
            pass
    await admin.close()


async def test_what_is_said_by_a_person_in_a_conversation_has_a_key_of_its_own(kernel: Kernel) -> None:
    conversation = UUID(int=5)
    for turn in (system_turn(), msgspec.structs.replace(system_turn(), conversation=conversation)):
        await kernel.log.log(turn, TurnFailed(code="x", artifacts=(text_artifact("a"), text_artifact("b"))))
    rows = await kernel.connections.system.fetch(
        "SELECT DISTINCT k.subject FROM core.artifact JOIN core.data_key k USING (tenant, kid) ORDER BY subject"
    )
    month = datetime.now(UTC).strftime("%Y-%m")
    assert [row["subject"] for row in rows] == [f"system/-/content/{month}", f"system/{conversation}/content/{month}"]


async def test_an_entry_that_no_table_takes_fails_alone(kernel: Kernel) -> None:
    owner = await asyncpg.connect(kernel.urls.owner)
    await owner.execute("ALTER TABLE core.event ADD CHECK (position('poison'::bytea in data) = 0)")
    await owner.close()
    turns = [system_turn() for _ in range(9)]
    codes = ["poison" if n == 4 else "fine" for n in range(9)]

    outcomes = await asyncio.gather(
        *(kernel.log.log(turn, TurnFailed(code=code)) for turn, code in zip(turns, codes, strict=True)),
        return_exceptions=True,
    )

    assert [isinstance(outcome, AuditUnavailable) for outcome in outcomes] == [code == "poison" for code in codes]
    assert [len(await types(kernel, turn)) for turn in turns] == [2, 2, 2, 2, 0, 2, 2, 2, 2]


async def test_a_batch_is_bounded_by_its_bytes(kernel: Kernel) -> None:
    turns = [system_turn() for _ in range(6)]
    large = "x" * (MAX_BATCH_BYTES // 2 + 1)
    await asyncio.gather(
        *(kernel.log.log(turn, TurnFailed(code="x", artifacts=(text_artifact(large),))) for turn in turns)
    )
    transactions = await kernel.connections.system.fetchval("SELECT count(DISTINCT xact) FROM core.event")
    assert transactions == len(turns)


async def test_a_work_whose_caller_left_during_its_commit_is_known_and_ended(kernel: Kernel) -> None:
    turn = system_turn()
    lock = await asyncpg.connect(kernel.urls.owner)
    await lock.execute("CREATE TABLE public.slow (n int)")
    await lock.execute(
        "CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END $$;"
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON core.event DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION public.wait()"
    )
    await lock.execute("SELECT pg_advisory_lock(77)")

    async def write() -> None:
        async with kernel.db.work(turn) as work:
            work.record(TurnFailed(code="x"))

    writing = asyncio.create_task(write())
    while not await lock.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.sleep(0.05)
    assert not writing.done()
    await lock.execute("SELECT pg_advisory_unlock(77)")
    with pytest.raises(asyncio.CancelledError):
        await writing
    await kernel.log.end(turn, "abandoned")
    await lock.close()

    assert await types(kernel, turn) == ["turn_started", "turn_failed", "turn_sealed"]


async def test_a_lease_is_renewed_for_as_long_as_its_turn_runs(kernel: Kernel) -> None:
    log = EventLog(kernel.connections, kernel.keys, lease_seconds=0.9)
    async with log.run(kernel.tasks):
        running, left = system_turn(), system_turn()
        for turn in (running, left):
            await log.log(turn, TurnFailed(code="x"))
        log.leave(left)
        await asyncio.sleep(2)
        leased = await kernel.connections.system.fetch("SELECT turn FROM core.turn WHERE lease_until > now()")
    assert [row["turn"] for row in leased] == [running.id]


async def test_turns_are_refused_before_they_begin_while_those_that_run_may_end(kernel: Kernel) -> None:
    running, new = system_turn(), system_turn()
    await kernel.log.log(running, TurnFailed(code="x"))
    kernel.log.closed_to_new = "The disk is almost full."

    with pytest.raises(AuditUnavailable, match="almost full"):
        await kernel.log.log(new, TurnFailed(code="x"))

    await kernel.log.end(running, "sealed")
    assert len(await types(kernel, running)) == 3
    assert await types(kernel, new) == []

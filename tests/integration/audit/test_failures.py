"""The twelve failures of the design, F1 to F12: what was done to the log, and what caught it.

The kills of F1 and F2 by SIGKILL and `os._exit`, of process and PostgreSQL, are in test_crash.py and `make crash`.
"""

import asyncio
import base64
import contextlib
import json
import random
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import json as json_codec

from aibox.audit import Settings, notes, receipts, verifier
from aibox.audit.heads import HeadRefused
from aibox.audit.room import Room
from aibox.audit.sealer import RecomputationError, Sealer
from aibox.audit.service import Audit
from aibox.audit.signing import HeadKeys
from aibox.core import connections, failpoints
from aibox.core.connections import LOST, Connections, Urls
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.errors import AuditUnavailable, StateUnavailable, TurnEnded
from aibox.core.eventlog import Entry, EventLog
from aibox.core.events import Bus, TurnFailed, record
from aibox.core.keyring import Ring, load_rings
from aibox.core.keys import DataKeys
from aibox.core.turn import begin
from aibox.stores.objects.files import FileObjects
from aibox.stores.postgres import open_postgres
from tests.conftest import Kernel
from tests.crash import outside
from tests.crash.outside import Told
from tests.crash.world import short_folder, world
from tests.integration.audit.conftest import ANN, TENANT, Bench
from tests.integration.audit.test_refusals import expire, heads
from tests.integration.audit.test_sealing import execute_as_owner, policy_of

STORED = (
    "core.event, core.turn, core.artifact, audit.log, audit.entry, audit.node, audit.verifier_key, audit.checkpoint"
)


@pytest.fixture(autouse=True)
def _disarmed() -> Generator[None]:
    yield
    failpoints.arm("")


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder of the test's own, for databases that are killed or copied."""
    with short_folder() as made:
        yield made


@contextlib.asynccontextmanager
async def opened(urls: Urls, folder: Path, objects: FileObjects) -> AsyncGenerator[Bench]:
    """A kernel with the audit module on `urls`, as another installation with the same keys would have it."""
    rings = load_rings(folder / "keys.json", {})
    links = Connections(connections.Settings(pool=6))
    keys = DataKeys(links, rings["secrets"])
    log = EventLog(links, keys)
    db = Database(links, log)
    bus = Bus()
    async with links.run(urls), asyncio.TaskGroup() as tasks, log.run(tasks):
        kernel = Kernel(
            urls=urls,
            connections=links,
            rings=rings,
            keys=keys,
            log=log,
            db=db,
            bus=bus,
            delivery=Delivery(links, bus),
            tasks=tasks,
            folder=folder,
        )
        ring = rings["audit"]
        audit = Audit(Settings(), links, db, objects, ring, keys, host="aibox.test", build="0.1.0", policy="default@1")
        yield Bench(kernel, objects, audit)


async def dump(bench: Bench) -> None:
    """Keep what is stored now."""
    tables = STORED.split(", ")
    await execute_as_owner(
        bench, "".join(f"CREATE TABLE public.{t.replace('.', '_')} AS SELECT * FROM {t};" for t in tables)
    )


async def restore(bench: Bench) -> None:
    """Put back what `dump` kept, in place of all that is stored."""
    await execute_as_owner(bench, f"TRUNCATE {STORED} CASCADE")
    for table in STORED.split(", "):
        old = f"public.{table.replace('.', '_')}"
        identity = " OVERRIDING SYSTEM VALUE" if table == "core.event" else ""
        await execute_as_owner(bench, f"INSERT INTO {table}{identity} SELECT * FROM {old}")


async def judged(bench: Bench) -> list[str]:
    """What the check from outside finds wrong."""
    connection = await asyncpg.connect(bench.kernel.urls.owner)
    try:
        return await outside.check(connection, bench.kernel.folder / "objects", Told())
    finally:
        await connection.close()


# --- F1: a crash between the model's response and the seal --------------------------------------------------------


@pytest.mark.parametrize("place", [place for place in failpoints.STEPS if place.split(".")[0] in ("sealer", "heads")])
async def test_f1_whatever_step_of_the_seal_breaks_the_turn_is_sealed_once(bench: Bench, place: str) -> None:
    turn = await bench.ended()
    failpoints.arm(f"{place}=raise")

    await bench.audit.sealer.seal_pending()  # it tells, and lets the tenant rest
    with contextlib.suppress(failpoints.Broken):
        await bench.audit.copy_heads_out()
    assert place not in failpoints._armed, "the place was not reached"
    restarted = bench.replica()
    await restarted.sealer.seal_pending()
    await restarted.copy_heads_out()

    assert (await restarted.receipt(turn, turn.id)).state == "anchored"
    assert await judged(bench) == []


@pytest.mark.parametrize("place", ["reaper.end", "reaper.ended"])
async def test_f1_a_reaper_that_breaks_leaves_the_turn_to_the_next_one(bench: Bench, place: str) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn, TurnFailed(code="half"))
    await expire(bench)
    failpoints.arm(f"{place}=raise")

    with pytest.raises(failpoints.Broken):
        await bench.audit.reaper.reap()
    await bench.replica().reaper.reap()
    await bench.audit.sealer.seal_pending()

    assert (await bench.audit.receipt(turn, turn.id)).outcome == "abandoned"
    assert await judged(bench) == []


# --- F2: PostgreSQL restarts mid-turn -----------------------------------------------------------------------------


async def test_f2_a_postmaster_that_is_killed_mid_turn_costs_no_event_and_doubles_none(folder: Path) -> None:
    objects = FileObjects(folder / "objects")
    async with (
        open_postgres(connections.Settings(), folder) as urls,
        objects.run(),
        opened(urls, folder, objects) as it,
    ):
        turns = [begin(ANN) for _ in range(20)]
        await asyncio.gather(*(it.kernel.log.log(turn, TurnFailed(code="before")) for turn in turns))
        pid = int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        writing = [asyncio.create_task(it.kernel.log.log(turn, TurnFailed(code="during"))) for turn in turns]
        subprocess.run(["kill", "-9", str(pid)], check=True)
        outcomes = await asyncio.gather(*writing, return_exceptions=True)
        await until_it_answers(it)
        await asyncio.gather(*(it.kernel.log.end(turn, "sealed") for turn in turns))
        await it.audit.sealer.seal_pending()

        for turn, outcome in zip(turns, outcomes, strict=True):
            stored = [json.loads(item["event"]) for item in json.loads(await it.audit.proof(turn, turn.id))["events"]]
            during = [event["seq"] for event in stored if event["body"].get("code") == "during"]
            # What was acknowledged is there once; what was refused may have reached the disk, but not twice.
            assert during == [2] or (isinstance(outcome, AuditUnavailable) and not during)
        assert await judged(it) == []


async def until_it_answers(bench: Bench) -> None:
    """The embedded database is watched, and started again."""
    while True:
        with contextlib.suppress(*LOST, StateUnavailable):
            await bench.kernel.connections.system.fetchval("SELECT 1")
            return
        await asyncio.sleep(0.1)


# --- F3: duplicate delivery ---------------------------------------------------------------------------------------


async def test_f3_every_message_one_to_five_times_in_any_order_is_one_row(bench: Bench) -> None:
    dice = random.Random(3)
    entries = []
    for number in range(40):
        turn = begin(ANN)
        rows = tuple(record(turn, event, seq=n) for n, event in enumerate([TurnFailed(code=str(number))] * 3))
        entries.append(Entry(turn, rows, (), None, asyncio.get_running_loop().create_future()))
    deliveries = [entry for entry in entries for _ in range(dice.randint(1, 5))]
    dice.shuffle(deliveries)
    writers = [bench.kernel.log, EventLog(bench.kernel.connections, bench.kernel.keys)]

    await asyncio.gather(*(dice.choice(writers)._insert([entry]) for entry in deliveries))

    await asyncio.gather(*(entry.written for entry in entries))
    rows = await bench.kernel.connections.system.fetch("SELECT turn, count(*) AS n FROM core.event GROUP BY turn")
    assert [row["n"] for row in rows] == [3] * 40


async def test_f3_the_news_that_turns_ended_heard_many_times_seals_each_once(bench: Bench) -> None:
    turns = await bench.many(60)

    await asyncio.gather(*(replica.sealer.seal_pending() for replica in [bench.replica() for _ in range(4)] * 3))

    assert await bench.kernel.connections.system.fetchval(
        "SELECT count(*) FROM audit.entry WHERE turn IS NOT NULL"
    ) == len(turns)
    assert await judged(bench) == []


# --- F4: concurrent appends, one tenant, many replicas --------------------------------------------------------------


async def test_f4_eight_processes_of_64_tasks_leave_one_log_a_tenant_without_gaps(folder: Path) -> None:
    async with world(folder, seed=4) as one:
        await one.crowd(processes=8, tasks=64, turns=1000)

        assert await one.judge() == []
        assert len(one.told.ended) >= 1000


# --- F5: disk full --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(folder: Path) -> Generator[Path]:
    """A file system of its own: 64 MB for the object folder and the ballast, and 192 for a database beside them."""
    image, mount = folder / "image", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(mount)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a loop mount is not permitted here: {mounted.stderr.strip()}")
    mount.chmod(0o777)
    yield mount
    for _ in range(20):
        if subprocess.run(["umount", str(mount)], capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.5)


async def test_f5_on_a_full_disk_no_turn_begins_and_those_that_run_are_ended_and_sealed(small_disk: Path) -> None:
    data = small_disk / "d"
    data.mkdir(mode=0o755)
    objects = FileObjects(data / "objects")
    async with open_postgres(connections.Settings(), data) as urls, objects.run(), opened(urls, data, objects) as it:
        room = Room(it.kernel.log, data, reserve_mb=32)
        room.look()
        assert (data / "ballast").stat().st_size == 32 * 1024 * 1024
        running, refused = begin(ANN), begin(ANN)
        await it.kernel.log.log(running, TurnFailed(code="before"))
        fill(small_disk / "filler")
        room.look()

        with pytest.raises(AuditUnavailable, match="no turn may begin"):
            await it.kernel.log.log(refused, TurnFailed(code="too late"))
        await it.kernel.log.log(running, TurnFailed(code="in need"))
        await it.kernel.log.end(running, "sealed")
        await it.audit.sealer.seal_pending()

        assert not (data / "ballast").exists()
        assert verifier.verify(await it.audit.proof(running, running.id)).ok
        assert await it.kernel.connections.system.fetchval("SELECT count(*) FROM core.turn") == 1
        (small_disk / "filler").unlink()
        room.look()
        await it.kernel.log.log(refused, TurnFailed(code="welcome again"))


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(256 * 1024))


# --- F6: clock jumps ------------------------------------------------------------------------------------------------


async def test_f6_an_hour_back_and_forth_never_takes_the_logs_time_back(bench: Bench) -> None:
    jumps = [0, -3600, 3600, -3600, 0]
    copies, ring = bench.audit.copies, bench.kernel.rings["audit"]
    sealer = Sealer(
        bench.kernel.connections,
        HeadKeys(ring),
        copies,
        host="aibox.test",
        build="0.1.0",
        policy="default@1",
        clock=lambda: time.time_ns() + jumps[0] * 10**9,
    )
    while jumps:
        await bench.ended()
        assert len(await sealer.seal(TENANT)) == 1
        del jumps[0]

    rows = await bench.kernel.connections.system.fetch(
        "SELECT data FROM audit.entry WHERE turn IS NOT NULL ORDER BY idx"
    )
    sealed = [json.loads(row["data"])["sealed_us"] for row in rows]
    assert [time // 10**6 for time in sealed] == sorted(time // 10**6 for time in sealed)
    stamps = await bench.kernel.connections.system.fetch("SELECT note FROM audit.checkpoint ORDER BY size")
    times = [notes.signed_at(notes.parse_checkpoint(row["note"])) for row in stamps]
    assert times == sorted(times)
    assert await judged(bench) == []


# --- F7: tail cut, rollback, old backup -----------------------------------------------------------------------------


async def test_f7_a_database_from_an_old_dump_is_not_signed_and_says_why(bench: Bench) -> None:
    await bench.many(3)
    await bench.audit.sealer.seal_pending()
    await dump(bench)
    await bench.many(4)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    await restore(bench)

    restarted = bench.replica()
    await restarted.copies.look()
    turn = await bench.ended()
    await restarted.sealer.seal_pending()

    with pytest.raises(AuditUnavailable, match="the copy has a head of 8 entries, the database fewer"):
        await restarted.proof(turn, turn.id)


@pytest.mark.parametrize("cut", [1, 3])
async def test_f7_rows_that_the_owner_deletes_are_missed_before_anything_is_signed(bench: Bench, cut: int) -> None:
    await bench.many(7)
    await bench.audit.sealer.seal_pending()
    before = await heads(bench)
    await execute_as_owner(bench, f"DELETE FROM audit.entry WHERE idx >= {8 - cut}")
    await bench.ended()

    with pytest.raises(HeadRefused, match="entry 7, the last one, is not there"):
        await bench.replica().sealer.seal(TENANT)
    assert await heads(bench) == before


# --- F8: fork -------------------------------------------------------------------------------------------------------


async def test_f8_of_two_copies_that_both_go_on_only_one_anchors(folder: Path) -> None:
    objects = FileObjects(folder / "objects")
    async with open_postgres(connections.Settings(), folder) as urls, objects.run():
        async with opened(urls, folder, objects) as first:
            await first.many(3)
            await first.audit.sealer.seal_pending()
            await first.audit.copy_heads_out()
        admin = await asyncpg.connect(urls.owner.replace("aibox_owner@/aibox", "postgres@/postgres"))
        await admin.execute("CREATE DATABASE fork TEMPLATE aibox OWNER aibox_owner")
        await admin.close()
        other = Urls(**{role: getattr(urls, role).replace("/aibox?", "/fork?") for role in ("app", "system", "owner")})
        async with opened(urls, folder, objects) as first, opened(other, folder, objects) as second:
            ours = await first.many(3)
            theirs = await second.many(1)
            for one in (first, second):
                await one.audit.sealer.seal_pending()
            await first.audit.copy_heads_out()
            await second.audit.copy_heads_out()

            assert (await first.audit.receipt(ours[0], ours[0].id)).state == "anchored"
            assert (await second.audit.receipt(theirs[0], theirs[0].id)).state == "sealed"
            assert list(second.audit.copies.refused)
            late = await second.ended()
            await second.audit.sealer.seal_pending()
            with pytest.raises(AuditUnavailable, match="not signed any more"):
                await second.audit.proof(late, late.id)


# --- F9: key theft --------------------------------------------------------------------------------------------------


async def test_f9_receipts_forged_with_stolen_or_made_keys_are_refused(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    policy = await policy_of(bench, turn)
    genuine = json.loads(await bench.audit.proof(turn, turn.id))
    forged = json_codec.encode({**json.loads(genuine["envelope"]), "outcome": "denied"}, order="sorted")
    # The day's envelope key signs what the thief likes, but no signed head has it; another key does not even sign.
    thieves = {bench.audit.sealer._key.private: "inclusion", Ed25519PrivateKey.generate(): "signature"}
    for key, caught_by in thieves.items():
        signature = _b64(receipts.sign_envelope(key, forged))
        receipt = json_codec.encode({**genuine, "envelope": forged.decode(), "signature": signature}, order="sorted")
        verdict = verifier.verify(receipt, policy)
        assert not verdict.ok
        assert caught_by in [step.name for step in verdict.steps if not step.ok]


async def test_f9_a_log_made_anew_with_other_keys_is_refused_by_whoever_pinned_the_first(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    pinned = await policy_of(bench, turn)
    await execute_as_owner(
        bench, f"TRUNCATE {', '.join(t for t in STORED.split(', ') if t.startswith('audit'))} CASCADE"
    )
    await execute_as_owner(bench, "UPDATE core.turn SET state = 'ended'")
    forger = bench.replica(Ring("audit", (("k9", bytes(range(32))),)))
    await forger.sealer.seal_pending()

    receipt = await forger.proof(turn, turn.id)

    assert verifier.verify(receipt).ok  # it is sound in itself
    verdict = verifier.verify(receipt, pinned)
    assert [step.name for step in verdict.steps if not step.ok] == ["trust"]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- F10: a bit flips before signing --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", failpoints.DATA)
async def test_f10_a_bit_that_flips_on_the_way_to_the_signature_is_found_and_nothing_is_signed(
    bench: Bench, place: str
) -> None:
    turn = await bench.ended()
    failpoints.arm(f"{place}=flip")

    with pytest.raises(RecomputationError):
        await bench.audit.sealer.seal(TENANT)
    assert await heads(bench) == 0

    await bench.audit.sealer.seal(TENANT)
    assert verifier.verify(await bench.audit.proof(turn, turn.id), await policy_of(bench, turn)).ok


# --- F11: failed but persisted --------------------------------------------------------------------------------------

OPERATIONS = {
    "events": ("eventlog.insert", "eventlog.inserted"),
    "work": ("work.commit", "work.committed"),
    "seal": ("sealer.commit", "sealer.committed"),
    "head copy": ("heads.copy", "heads.copied"),
    "newest copy": ("heads.copied", "heads.moved"),
    "object": ("objects.drafted", "objects.replaced"),
}
"""Each durable write, with the place before which nothing is persisted and the one behind which all of it is."""


@pytest.mark.parametrize("then", ["retry", "reload"])
@pytest.mark.parametrize("persisted", [False, True], ids=["not persisted", "persisted"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_f11_an_operation_that_failed_is_done_once_whether_it_was_persisted_or_not(
    bench: Bench, operation: str, persisted: bool, then: str
) -> None:
    failpoints.arm(f"{OPERATIONS[operation][persisted]}=raise")
    turn = begin(ANN)
    for _ in range(3):  # the first time fails; the caller, or a new process, does it again
        with contextlib.suppress(AuditUnavailable, failpoints.Broken, TurnEnded):
            await bench.kernel.log.log(turn, TurnFailed(code="x"))
            async with bench.kernel.db.work(turn) as work:
                work.record(TurnFailed(code="y"))
            await bench.kernel.log.end(turn, "sealed")
            break
    for audit in (bench.audit, bench.audit if then == "retry" else bench.replica(), bench.replica()):
        with contextlib.suppress(failpoints.Broken):
            await audit.sealer.seal_pending()
            await audit.copy_heads_out()
    await asyncio.sleep(0)

    assert not failpoints._armed, "the place was not reached"
    assert (await bench.audit.receipt(turn, turn.id)).state == "anchored"
    assert await judged(bench) == []


# --- F12: overload --------------------------------------------------------------------------------------------------


async def test_f12_ten_times_what_may_wait_is_refused_before_it_begins_and_nothing_acknowledged_is_missing(
    kernel: Kernel,
) -> None:
    log = EventLog(kernel.connections, kernel.keys, may_wait=400)
    turns = [begin(ANN) for _ in range(4000)]
    async with asyncio.TaskGroup() as tasks, log.run(tasks):
        outcomes = await asyncio.gather(
            *(log.log(turn, TurnFailed(code="x")) for turn in turns), return_exceptions=True
        )
        kept = [turn for turn, outcome in zip(turns, outcomes, strict=True) if not isinstance(outcome, BaseException)]
        assert {type(outcome) for outcome in outcomes} == {tuple, AuditUnavailable}
        await asyncio.gather(*(log.end(turn, "sealed") for turn in kept[:150]))

    rows = await kernel.connections.system.fetch("SELECT turn, count(*) AS n FROM core.event GROUP BY turn")
    assert {row["turn"]: row["n"] for row in rows} == {turn.id: 3 if n < 150 else 2 for n, turn in enumerate(kept)}

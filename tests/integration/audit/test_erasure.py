"""What is erased is gone for good and stays provable; what is not, stays."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest

from aibox.audit import ExternalAct, Settings, verifier
from aibox.audit.erasure import SUBSCRIBER, Erasure
from aibox.core import failpoints
from aibox.core.connections import Urls
from aibox.core.delivery import Delivery
from aibox.core.errors import Forbidden, NotFound
from aibox.core.events import Bus, Recorded, text_artifact
from aibox.core.keys import DataKeys
from aibox.core.turn import Principal, Turn, begin
from tests.integration.audit.conftest import ANN, AUDITOR, BOB, STRANGER, Bench, KnownPeople, person
from tests.integration.audit.test_sealing import execute_as_owner, policy_of
from tests.system import served

SAID = "Which supplier delivers by Friday?"
KEEPER = person("p-keeper", ANN.tenant, "manage_users")
MONTHS = timedelta(days=31)


def erasure(bench: Bench, settings: Settings | None = None, bus: Bus | None = None) -> Erasure:
    """An erasure module on the bench's database, as a process has it."""
    kernel = bench.kernel
    bus = bus or Bus()
    return Erasure(
        settings or Settings(),
        kernel.connections,
        kernel.log,
        kernel.keys,
        bench.objects,
        Delivery(kernel.connections, bus),
        bus,
        KnownPeople(),
    )


async def said(bench: Bench, who: Principal = ANN, *, conversation: UUID | None = None, action: str = "ask") -> Turn:
    """A turn that ended, in which `who` said something."""
    turn = msgspec.structs.replace(begin(who), conversation=conversation)
    act = ExternalAct(action=action, resource_type="", resource_id="", result="", artifacts=(text_artifact(SAID),))
    await bench.kernel.log.log(turn, act)
    await bench.kernel.log.end(turn, "sealed")
    await bench.audit.sealer.seal_pending()
    return turn


async def shown(bench: Bench, turn: Turn) -> list[str]:
    """What a replay shows of the turn's contents."""
    replay = await bench.trail.replay(turn, turn.id)
    return [art.text or art.state for event in replay.events for art in event.artifacts]


async def ordered(bench: Bench, module: Erasure, who: Principal, **what: UUID | None) -> int:
    """Order an erasure as `who`, and seal what it leaves."""
    turn = begin(who)
    done = await module.erase(turn, **what)
    await bench.kernel.log.end(turn, "sealed")
    await bench.audit.sealer.seal_pending()
    return done.contents


async def test_what_a_person_said_is_gone_and_the_receipt_proves_that_it_was_erased(bench: Bench) -> None:
    mine, other = await said(bench), await said(bench, BOB)
    before = json.loads(await bench.audit.proof(mine, mine.id, opened=True))
    assert len(before["openings"]) == 1

    assert await ordered(bench, erasure(bench), ANN) == 1

    after = await bench.audit.proof(mine, mine.id, opened=True)
    verdict = verifier.verify(after, await policy_of(bench, mine))
    assert verdict.ok, verdict.steps
    receipt = json.loads(after)
    assert receipt["openings"] == []
    (stone,) = receipt["erased"]
    leaf = json.loads(stone["leaf"])
    assert (leaf["@"], leaf["count"], leaf["reason"]) == ("aibox.tombstone/1", 1, "request")
    assert [(art["event"], art["art"]) for art in stone["arts"]] == [(1, 0)]
    assert (await shown(bench, mine), await shown(bench, other)) == (["erased"], [SAID])
    assert verifier.verify(json.dumps(before, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).ok


async def test_a_log_with_tombstones_is_sound(bench: Bench) -> None:
    for _ in range(3):
        await said(bench)
        await ordered(bench, erasure(bench), ANN)

    found = await bench.trail.verify(begin(AUDITOR))

    assert found.ok, found


async def test_one_conversation_is_erased_and_the_others_stay(bench: Bench) -> None:
    first, second = UUID(int=1), UUID(int=2)
    gone, stays = await said(bench, conversation=first), await said(bench, conversation=second)

    await ordered(bench, erasure(bench), ANN, conversation=first)

    assert (await shown(bench, gone), await shown(bench, stays)) == (["erased"], [SAID])


async def test_another_person_is_erased_by_who_manages_users_only(bench: Bench) -> None:
    turn = await said(bench)
    module = erasure(bench)
    with pytest.raises(Forbidden):
        await ordered(bench, module, BOB, user_id=ANN.id)
    with pytest.raises(NotFound):
        await ordered(bench, module, KEEPER, user_id=STRANGER.id)
    assert await shown(bench, turn) == [SAID]

    await ordered(bench, module, KEEPER, user_id=ANN.id)

    assert await shown(bench, turn) == ["erased"]


async def test_what_the_person_says_afterwards_is_kept(bench: Bench) -> None:
    await said(bench)
    await ordered(bench, erasure(bench), ANN)

    again = await said(bench)

    assert await shown(bench, again) == [SAID]


async def test_a_process_that_holds_the_key_drops_it_when_another_destroys_it(bench: Bench) -> None:
    turn = await said(bench)
    kernel = bench.kernel
    keys = DataKeys(kernel.connections, kernel.rings["secrets"])
    kid = await kernel.connections.system.fetchval("SELECT kid FROM core.artifact WHERE turn = $1", turn.id)
    async with keys.run(kernel.tasks):
        assert await keys.named(turn.tenant, kid) is not None
        while not await kernel.connections.system.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%aibox_keys%'"
        ):
            await asyncio.sleep(0.01)

        await ordered(bench, erasure(bench), ANN)

        async with asyncio.timeout(10):
            while await keys.named(turn.tenant, kid) is not None:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("place", ["erasure.destroy", "erasure.destroyed"])
async def test_an_erasure_that_a_crash_interrupts_is_carried_out_by_the_next_process(bench: Bench, place: str) -> None:
    turn = await said(bench)
    failpoints.arm(f"{place}=raise")
    with pytest.raises(failpoints.Broken):
        await ordered(bench, erasure(bench), ANN)

    restarted = erasure(bench)
    await restarted._delivery.drain(SUBSCRIBER)
    await said(bench, BOB)

    assert await shown(bench, turn) == ["erased"]
    assert len(json.loads(await bench.audit.proof(turn, turn.id))["erased"]) == 1


async def test_a_restored_backup_forgets_again_before_anything_is_served(bench: Bench) -> None:
    turn = await said(bench)
    await execute_as_owner(
        bench,
        "CREATE TABLE public.keys AS SELECT * FROM core.data_key;"
        "CREATE TABLE public.arts AS SELECT * FROM core.artifact",
    )
    await ordered(bench, erasure(bench), ANN)
    # The backup of before comes back: keys and contents are there again, and nothing tells of the erasure.
    await execute_as_owner(
        bench,
        "INSERT INTO core.data_key SELECT * FROM public.keys ON CONFLICT DO NOTHING;"
        "INSERT INTO core.artifact SELECT * FROM public.arts ON CONFLICT DO NOTHING;"
        "DELETE FROM audit.tombstone",
    )
    assert await shown(bench, turn) == [SAID]
    heard: list[Recorded] = []

    async def hear(batch: Sequence[Recorded]) -> None:
        heard.extend(batch)

    bus = Bus()
    bus.subscribe("test.chats", hear, types={"audit.erasure_ordered"})
    restarted = erasure(bench, bus=bus)
    assert await restarted.replay() == 1

    assert await shown(bench, turn) == ["erased"]
    assert {event.decode()["body"]["subject"] for event in heard} == {"p-ann"}
    assert await restarted.replay() == 0


async def test_details_that_are_too_old_are_erased_and_what_was_said_stays(bench: Bench) -> None:
    turn = await said(bench)
    module = erasure(bench, Settings(keep_content_days=30))
    await execute_as_owner(bench, "UPDATE core.data_key SET subject = replace(subject, '/content/', '/detail/')")
    assert await module.retire(datetime.now(UTC) + 3 * MONTHS) == 0

    module = erasure(bench, Settings(keep_detail_days=30))
    assert await module.retire() == 0
    assert await module.retire(datetime.now(UTC) + 3 * MONTHS) == 1
    await module._delivery.drain(SUBSCRIBER)
    await bench.audit.sealer.seal_pending()

    assert await shown(bench, turn) == ["erased"]
    (stone,) = json.loads(await bench.audit.proof(turn, turn.id))["erased"]
    assert json.loads(stone["leaf"])["reason"] == "retention"


async def test_a_persons_chats_memories_and_turns_are_gone_from_every_file(urls: Urls, scratch: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    words = ("zanzibar-otter", "I prefer quagga-blue. Please remember it.")
    async with served(urls, folder) as one:
        for text in words:
            asked = await one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": text}]})
            assert asked.status_code == 200, asked.text
        await one.client.post("/v1/memory", json={"content": "quagga-blue is the favourite"})
        turn_id = asked.json()["turn_id"]
        wrapped = await one.system.connections.system.fetch("SELECT wrapped FROM core.data_key WHERE subject <> ''")
        await flush(urls)
        assert await found_in_files(urls, folder, [b"zanzibar-otter", b"quagga-blue"])

        erased = await one.client.post("/v1/audit/erase", json={})

        assert erased.status_code == 200, erased.text
        assert erased.json()["contents"] > 0
        assert b'"id"' not in (await one.client.get("/v1/conversations")).content
        await one.outcome(erased.json()["turn_id"])
        replayed = (await one.client.get(f"/v1/audit/turns/{turn_id}/replay")).json()
        assert {art["state"] for event in replayed["events"] for art in event["artifacts"]} == {"erased"}
        await one.system.erasure.scrub()
        secrets = [row["wrapped"].split(":")[4].encode() for row in wrapped]
        await flush(urls)
        assert not await found_in_files(urls, folder, [b"zanzibar-otter", b"quagga-blue", *secrets])


async def flush(urls: Urls) -> None:
    """All of the database is in its files."""
    admin = await asyncpg.connect(urls.owner.replace("aibox_owner@", "postgres@"))
    await admin.execute("CHECKPOINT")
    await admin.close()


async def found_in_files(urls: Urls, folder: Path, wanted: Sequence[bytes]) -> list[str]:
    """Which files of the database and of the data folder hold any of `wanted`."""
    admin = await asyncpg.connect(urls.owner.replace("aibox_owner@", "postgres@"))
    number = await admin.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
    data = Path(await admin.fetchval("SHOW data_directory"))
    await admin.close()
    files = [*(data / "base" / str(number)).iterdir(), *(path for path in folder.rglob("*") if path.is_file())]
    return [str(path) for path in files if any(one in path.read_bytes() for one in wanted)]

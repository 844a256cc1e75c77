"""Turns become entries of their tenant's log, and their receipts verify with the stand-alone verifier."""

import asyncio
import json
from uuid import UUID

import asyncpg
import msgspec
import pytest

from aibox.audit import NotSealed, merkle, notes, verifier
from aibox.audit.notes import VerifierKey
from aibox.core.errors import NotFound
from aibox.core.keyring import Ring
from aibox.core.turn import Turn, begin
from tests.integration.audit.conftest import ANN, AUDITOR, BOB, OTHER_TENANT, STRANGER, TENANT, Bench


async def policy_of(bench: Bench, turn: Turn) -> bytes:
    return msgspec.json.encode(await bench.audit.policy(turn))


async def test_a_sealed_turn_has_a_receipt_that_verifies_under_the_logs_policy(bench: Bench) -> None:
    turn = await bench.ended(acts=3)

    assert await bench.audit.sealer.seal_pending() == 1

    proof = await bench.audit.proof(turn, turn.id)
    verdict = verifier.verify(proof, await policy_of(bench, turn))
    assert verdict.ok, verdict.steps
    receipt = await bench.audit.receipt(turn, turn.id)
    envelope = json.loads(json.loads(proof)["envelope"])
    assert (receipt.state, receipt.outcome, receipt.idx, receipt.events) == ("sealed", "sealed", 1, 5)
    assert (receipt.log, receipt.root) == (envelope["log"], envelope["root"])
    assert (envelope["turn"], envelope["principal"], envelope["tenant"]) == (str(turn.id), "p-ann", str(TENANT))


async def test_the_same_turn_gives_the_same_receipt_however_the_log_grows(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    first = await bench.audit.proof(turn, turn.id)

    await bench.many(5)
    await bench.audit.sealer.seal_pending()

    assert await bench.audit.proof(turn, turn.id) == first


async def test_an_open_turn_has_no_proof_yet(bench: Bench) -> None:
    turn = begin(ANN)
    await bench.kernel.log.log(turn)
    ended = await bench.ended()

    for one in (turn, ended):
        with pytest.raises(NotSealed):
            await bench.audit.proof(one, one.id)
    assert (await bench.audit.receipt(turn, turn.id)).state == "open"


async def test_a_user_sees_own_receipts_an_auditor_all_and_a_stranger_none(bench: Bench) -> None:
    turn = await bench.ended(ANN)
    await bench.audit.sealer.seal_pending()

    for principal in (ANN, AUDITOR):
        assert (await bench.audit.receipt(begin(principal), turn.id)).state == "sealed"
    for principal in (BOB, STRANGER):
        with pytest.raises(NotFound):
            await bench.audit.receipt(begin(principal), turn.id)
        with pytest.raises(NotFound):
            await bench.audit.proof(begin(principal), turn.id)
    with pytest.raises(NotFound):
        await bench.audit.receipt(begin(AUDITOR), UUID(int=7))


async def test_each_tenant_has_a_log_of_its_own_with_keys_of_its_own(bench: Bench) -> None:
    ours, theirs = await bench.ended(ANN), await bench.ended(STRANGER)

    await bench.audit.sealer.seal_pending()

    here, there = await bench.audit.receipt(ours, ours.id), await bench.audit.receipt(theirs, theirs.id)
    assert here.log != there.log
    assert (here.idx, there.idx) == (1, 1)
    policies = [await bench.audit.policy(turn) for turn in (ours, theirs)]
    assert [len(policy.logs) for policy in policies] == [1, 1]
    assert not set(policies[0].logs[0].vkeys) & set(policies[1].logs[0].vkeys)


async def test_700_turns_are_sealed_in_batches_whose_every_receipt_verifies(bench: Bench) -> None:
    turns = await bench.many(700)

    assert await bench.audit.sealer.seal_pending() == 700

    policy = await policy_of(bench, turns[0])
    chains = []
    for turn in turns[::9]:
        proof = await bench.audit.proof(turn, turn.id)
        assert verifier.verify(proof, policy).ok
        chains.append(len(json.loads(proof)["chain"]))
    assert max(chains) <= 512
    kinds = await entries(bench)
    assert len(kinds) - kinds.count("aibox.key/1") == 700
    assert kinds[0] == "aibox.key/1"
    assert kinds.count("aibox.key/1") == 2  # a leaf covers 512 entries after it


async def test_replicas_that_seal_at_once_leave_one_log_without_gaps(bench: Bench) -> None:
    turns = await bench.many(120)
    replicas = [bench.audit, *[bench.replica() for _ in range(3)]]

    counts = await asyncio.gather(*[replica.sealer.seal_pending() for replica in replicas])
    more = await bench.many(40)
    counts += await asyncio.gather(*[replica.sealer.seal_pending() for replica in replicas[::-1]])

    assert sum(counts) == 160
    indices = sorted([(await bench.audit.receipt(turn, turn.id)).idx or 0 for turn in [*turns, *more]])
    kinds = await entries(bench)
    assert indices == [place for place, kind in enumerate(kinds) if kind == "aibox.turn/1"]
    policy = await policy_of(bench, turns[0])
    for turn in [*turns[::20], *more[::10]]:
        assert verifier.verify(await bench.audit.proof(turn, turn.id), policy).ok


async def test_every_signed_head_is_consistent_with_every_earlier_one(bench: Bench) -> None:
    for count in (1, 3, 7, 2):
        await bench.many(count)
        await bench.audit.sealer.seal_pending()

    rows = await bench.kernel.connections.system.fetch("SELECT note FROM audit.checkpoint ORDER BY size")
    leaves = await bench.kernel.connections.system.fetch("SELECT hash FROM audit.node WHERE level = 0 ORDER BY idx")
    tree = merkle.Tree(row["hash"] for row in leaves)
    heads = [notes.parse_checkpoint(row["note"]) for row in rows]
    assert [head.size for head in heads] == [2, 5, 12, 14]
    assert [head.root for head in heads] == [tree.root(head.size) for head in heads]
    times = [notes.signed_at(head) for head in heads]
    assert times == sorted(times)


async def test_a_new_checkpoint_key_signs_new_heads_and_old_receipts_still_verify(bench: Bench) -> None:
    before = await bench.ended()
    await bench.audit.sealer.seal_pending()
    (_, old), fresh = bench.kernel.rings["audit"].current, bytes(range(32))
    rotated = bench.replica(Ring("audit", (("k2", fresh), ("k1", old))))

    after = await bench.ended()
    await rotated.sealer.seal_pending()

    policy = await policy_of(bench, before)
    for turn in (before, after):
        assert verifier.verify(await rotated.proof(turn, turn.id), policy).ok
    logs = json.loads(policy)["logs"]
    assert len({log["origin"] for log in logs}) == 1
    assert len({vkey for log in logs for vkey in log["vkeys"]}) == 4


async def test_events_that_came_after_the_end_are_not_in_the_receipt(bench: Bench) -> None:
    turn = await bench.ended(acts=1)
    await execute_as_owner(
        bench,
        "INSERT INTO core.event (tenant, turn, seq, type, source, data)"
        " SELECT tenant, turn, 3, 'turn_failed', source, data FROM core.event WHERE seq = 1",
    )

    await bench.audit.sealer.seal_pending()

    proof = await bench.audit.proof(turn, turn.id)
    assert verifier.verify(proof).ok
    assert len(json.loads(proof)["events"]) == 3


@pytest.mark.parametrize("outcome", ["failed", "denied", "abandoned"])
async def test_the_envelope_states_how_the_turn_ended(bench: Bench, outcome: str) -> None:
    turn = await bench.ended(outcome=outcome)

    await bench.audit.sealer.seal_pending()

    assert (await bench.audit.receipt(turn, turn.id)).outcome == outcome
    assert outcome in verifier.verify(await bench.audit.proof(turn, turn.id)).summary


async def test_who_waits_for_the_seal_gets_it_from_the_running_sealer(bench: Bench) -> None:
    async with asyncio.TaskGroup() as tasks, bench.audit.run(tasks):
        turns = await bench.many(10)
        receipts = await asyncio.gather(*[bench.audit.wait_sealed(turn, turn.id, timeout=5) for turn in turns])

    assert {receipt.state for receipt in receipts} <= {"sealed", "anchored"}


async def test_who_waits_in_vain_gets_the_open_receipt_in_time(bench: Bench) -> None:
    turn = await bench.ended()
    begun = asyncio.get_running_loop().time()

    receipt = await bench.audit.wait_sealed(turn, turn.id, timeout=0.25)

    assert (receipt.state, receipt.outcome) == ("open", "sealed")
    assert 0.2 < asyncio.get_running_loop().time() - begun < 2


async def test_a_seal_by_another_replica_is_seen_too(bench: Bench) -> None:
    turn = await bench.ended()
    waiting = asyncio.create_task(bench.audit.wait_sealed(turn, turn.id, timeout=5))

    await bench.replica().sealer.seal_pending()

    assert (await waiting).state == "sealed"


async def test_a_receipt_is_anchored_once_its_head_is_in_the_copy(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    assert (await bench.audit.receipt(turn, turn.id)).state == "sealed"

    await bench.audit.copy_heads_out()

    assert (await bench.audit.receipt(turn, turn.id)).state == "anchored"
    keys = [key async for key in bench.objects.keys(f"audit/{TENANT}/")]
    assert [key.rsplit("/", 2)[-1] for key in keys if "/tile/" not in key] == ["checkpoint", "0000000000000002"]
    stored = (await bench.objects.get(keys[0])).data.decode()
    policy = await bench.audit.policy(turn)
    vkeys = [VerifierKey.parse(text) for text in policy.logs[0].vkeys]
    assert notes.verify_checkpoint(stored, vkeys).size == 2


async def test_the_newest_head_of_a_log_is_served_to_its_tenant_only(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    origin = (await bench.audit.receipt(turn, turn.id)).log or ""
    log_id = origin.split("/")[3]

    assert notes.parse_checkpoint(await bench.audit.checkpoint(turn, log_id)).origin == origin
    for principal, name in ((STRANGER, log_id), (ANN, "nosuchlog")):
        with pytest.raises(NotFound):
            await bench.audit.checkpoint(begin(principal), name)


@pytest.mark.parametrize("table", ["log", "entry", "node", "checkpoint", "verifier_key", "cosignature", "stamp"])
@pytest.mark.parametrize(
    "statement", ["UPDATE audit.{} SET tenant = tenant", "DELETE FROM audit.{}", "TRUNCATE audit.{}"]
)
async def test_no_role_of_the_server_can_change_or_remove_what_is_in_the_log(
    bench: Bench, table: str, statement: str
) -> None:
    for url in (bench.kernel.urls.app, bench.kernel.urls.system):
        connection = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement.format(table))
        finally:
            await connection.close()


async def test_the_app_role_sees_the_log_of_its_tenant_only(bench: Bench) -> None:
    await bench.ended(ANN)
    await bench.ended(STRANGER)
    await bench.audit.sealer.seal_pending()

    connection = await asyncpg.connect(bench.kernel.urls.app)
    try:
        for table in ("log", "entry", "node", "checkpoint", "verifier_key"):
            assert await connection.fetchval(f"SELECT count(*) FROM audit.{table}") == 0
            async with connection.transaction():
                await connection.execute("SELECT set_config('app.tenant', $1, true)", str(OTHER_TENANT))
                assert await connection.fetch(f"SELECT DISTINCT tenant FROM audit.{table}") == [(OTHER_TENANT,)]
    finally:
        await connection.close()


async def entries(bench: Bench, tenant: UUID = TENANT) -> list[str]:
    """The type of each entry, by index."""
    rows = await bench.kernel.connections.system.fetch(
        "SELECT data FROM audit.entry WHERE tenant = $1 ORDER BY idx", tenant
    )
    return [json.loads(row["data"])["@"] for row in rows]


async def execute_as_owner(bench: Bench, statement: str) -> None:
    connection = await asyncpg.connect(bench.kernel.urls.owner)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

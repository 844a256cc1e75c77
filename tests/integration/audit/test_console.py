"""What an operator does at the console: look for damage, rotate keys without losing a receipt, give up a lost log."""

import argparse
import tempfile
from pathlib import Path

import asyncpg
import pytest

from aibox import admin
from aibox.audit import ExternalAct, verifier
from aibox.audit.console import Console, LogFaulty
from aibox.core.connections import Urls
from aibox.core.errors import Conflict, NotFound
from aibox.core.keyring import SecretUnreadable, add_key, load_rings
from aibox.core.keys import DataKeys
from aibox.core.turn import begin, system_turn
from tests.integration.audit.conftest import ANN, TENANT, Bench
from tests.integration.audit.test_sealing import execute_as_owner, policy_of
from tests.system import Served, served

REMOVE_LOG = ";".join(f"DELETE FROM audit.{table}" for table in ("checkpoint", "verifier_key", "node", "entry", "log"))


def console(bench: Bench) -> Console:
    kernel = bench.kernel
    return Console(
        kernel.connections,
        kernel.log,
        kernel.keys,
        bench.objects,
        bench.trail,
        bench.audit.copies,
        kernel.folder / "keys.json",
    )


async def lines(bench: Bench) -> list[tuple[bool, str]]:
    return [(finding.ok, finding.line) async for finding in console(bench).fsck()]


async def test_fsck_of_a_sound_installation_finds_nothing(bench: Bench) -> None:
    await bench.asked()
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()

    assert [ok for ok, _ in await lines(bench)] == [True] * 5


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("DELETE FROM audit.entry WHERE idx = 2", "entry 2"),
        ("UPDATE core.event SET data = data || ' ' WHERE seq = 1", "not canonical JSON"),
        ("DELETE FROM core.data_key", "1 contents have no key"),
        ("DELETE FROM core.turn", "2 turns with events have no row"),
        (REMOVE_LOG, "turns are marked sealed without an entry"),
    ],
)
async def test_fsck_names_what_is_wrong(bench: Bench, harm: str, told: str) -> None:
    await bench.asked()
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await execute_as_owner(bench, harm)

    assert told in " ".join(line for ok, line in await lines(bench) if not ok)


async def test_after_a_change_of_head_keys_old_and_new_receipts_verify(bench: Bench) -> None:
    before = await bench.ended()
    await bench.audit.sealer.seal_pending()
    old = await bench.audit.proof(before, before.id)

    kid = await console(bench).add_key(system_turn(TENANT), "audit")
    restarted = bench.replica(load_rings(bench.kernel.folder / "keys.json", {})["audit"])
    after = await bench.ended()
    await restarted.sealer.seal_pending()

    policy = await policy_of(bench, before)
    assert kid == "k2"
    for receipt in (old, await restarted.proof(after, after.id)):
        assert verifier.verify(receipt, policy).ok


async def test_after_a_change_of_master_keys_contents_open_and_a_backups_keys_do_not(bench: Bench) -> None:
    turn = await bench.asked(text="the plan")
    file = bench.kernel.folder / "keys.json"
    backup = await bench.kernel.connections.system.fetchrow("SELECT tenant, kid, wrapped FROM core.data_key")
    assert backup is not None
    with pytest.raises(Conflict, match="rewrap"):
        await after_restart(bench, added=True).drop_old(system_turn(TENANT))

    restarted = after_restart(bench)
    assert await restarted.rewrap(system_turn(TENANT)) == 1
    assert await restarted.rewrap(system_turn(TENANT)) == 0
    assert await restarted.drop_old(system_turn(TENANT)) == ["k1"]

    keys = DataKeys(bench.kernel.connections, load_rings(file, {})["secrets"])
    assert await keys.named(turn.tenant, backup["kid"]) is not None
    await execute_as_owner(bench, f"UPDATE core.data_key SET wrapped = '{backup['wrapped']}'")
    keys.forget([backup["kid"]])
    with pytest.raises(SecretUnreadable):
        await keys.named(turn.tenant, backup["kid"])


def after_restart(bench: Bench, *, added: bool = False) -> Console:
    """The console of a process that read the key file as it is now, or with a new master key first."""
    file = bench.kernel.folder / "keys.json"
    if added:
        add_key(file, "secrets")
    made = console(bench)
    made._keys = DataKeys(bench.kernel.connections, load_rings(file, {})["secrets"])
    return made


async def test_a_log_that_lost_its_end_is_given_up_and_its_turns_are_sealed_in_a_new_one(bench: Bench) -> None:
    first = await bench.ended()
    await bench.audit.sealer.seal_pending()
    await execute_as_owner(bench, "CREATE TABLE public.old AS SELECT * FROM audit.log")
    await bench.ended()
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    await execute_as_owner(
        bench,
        "DELETE FROM audit.checkpoint WHERE size > 2; DELETE FROM audit.entry WHERE idx > 1;"
        " DELETE FROM audit.node WHERE idx << level > 1 OR level > 1;"
        " UPDATE core.turn SET state = 'ended' WHERE turn NOT IN (SELECT turn FROM audit.entry WHERE turn IS NOT NULL);"
        " UPDATE audit.log SET (size, link, checkpoint, anchored) = (SELECT size, link, checkpoint, 2 FROM public.old)",
    )
    adding = begin(ANN)
    act = ExternalAct(action="paid", resource_type="", resource_id="", result="ok")
    await bench.trail.report(adding, act, about=first.id)
    one = console(bench)
    ((origin, reason),) = (await one.refused()).items()
    assert "the database fewer" in reason
    with pytest.raises(NotFound):
        await one.abandon(system_turn(TENANT), "aibox.test/audit/l/other/2026")

    assert await one.abandon(system_turn(TENANT), origin) == 1

    restarted = bench.replica()
    await restarted.sealer.seal_pending()
    receipt = await restarted.receipt(first, first.id)
    assert (receipt.state, receipt.log != origin) == ("sealed", True)
    kept = [key async for key in bench.objects.keys("abandoned/audit/")]
    assert any(key.endswith("checkpoint") for key in kept)
    await bench.kernel.log.end(adding, "sealed")
    await restarted.sealer.seal_pending()
    receipt = await restarted.receipt(first, first.id)
    assert [(one.state, one.log) for one in receipt.addenda] == [("sealed", receipt.log)]


async def test_the_commands_of_the_console_do_what_they_say(
    urls: Urls, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        asked = await one.client.post("/v1/chat", json={"messages": [{"role": "user", "content": "What is it?"}]})
        await one.outcome(asked.json()["turn_id"])

        assert "entries are what was signed" in await run(one, capsys, "verify")
        assert "BAD" not in await run(one, capsys, "fsck")
        assert "turn_started" in await run(one, capsys, "export")
        assert "/audit/l/" in await run(one, capsys, "checkpoint")
        assert "Every log agrees" in await run(one, capsys, "recover")
        assert "contents of ada@example.com" in await run(one, capsys, "erase", "ada@example.com")
        assert "first of ring audit" in await run(one, capsys, "rotate-keys", "audit")


async def run(one: Served, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `aibox-admin audit …` prints."""
    options: argparse.Namespace = admin._parser().parse_args(["audit", *arguments])
    turn = one.turn
    await options.act(one.system, turn, options)
    await one.system.log.end(turn, "sealed")
    return capsys.readouterr().out


async def test_a_damaged_log_fails_the_command(urls: Urls, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with served(urls, Path(tempfile.mkdtemp(dir=scratch))) as one:
        reported = await one.client.post("/v1/audit", json={"action": "a.b"})
        await one.outcome(reported.json()["turn_id"])
        owner = await asyncpg.connect(urls.owner)
        await owner.execute("UPDATE audit.entry SET signature = set_byte(signature, 1, 0) WHERE turn IS NOT NULL")
        await owner.close()

        with pytest.raises(LogFaulty, match="signature does not verify"):
            await run(one, capsys, "verify")
        with pytest.raises(LogFaulty):
            await run(one, capsys, "fsck")
        assert "BAD tenant" in capsys.readouterr().out

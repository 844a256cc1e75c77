"""A start on a database that is behind what was signed and stands outside is refused (B11)."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from aibox.audit.service import Audit
from aibox.core import http
from aibox.core.errors import BootRefused
from aibox.core.http import Outgoing
from tests.integration.audit.conftest import TENANT, Bench
from tests.integration.audit.test_failures import STORED, dump, restore
from tests.integration.audit.test_sealing import execute_as_owner
from tests.integration.audit.test_witnesses import Watched


@pytest.fixture
async def watched(bench: Bench, tmp_path: Path) -> AsyncGenerator[Watched]:
    outgoing = Outgoing(http.Settings(internal_hosts=("127.0.0.1",)))
    async with outgoing.run():
        made = Watched(bench, outgoing, tmp_path)
        yield made
        for server in made.servers.values():
            await server.close()


async def refusal(audit: Audit) -> str:
    with pytest.raises(BootRefused) as refused:
        await audit.require_no_rollback(TENANT)
    assert refused.value.code == "boot_log_rollback"
    return str(refused.value)


async def sealed(bench: Bench, count: int) -> None:
    await bench.many(count)
    await bench.audit.sealer.seal_pending()


async def test_a_database_that_agrees_with_its_copies_starts(bench: Bench) -> None:
    await bench.replica().require_no_rollback(TENANT)  # a new one, without any log
    await sealed(bench, 3)
    await bench.audit.copy_heads_out()
    await sealed(bench, 2)  # not copied yet
    await bench.replica().require_no_rollback(TENANT)


async def test_b11_a_database_from_an_old_dump_does_not_start(bench: Bench) -> None:
    await sealed(bench, 3)
    await dump(bench)
    await sealed(bench, 4)
    await bench.audit.copy_heads_out()
    await restore(bench)
    sentence = await refusal(bench.replica())
    assert "Restore the newest backup" in sentence
    assert "the copy has a head of 8 entries, the database fewer" in sentence


async def test_b11_an_empty_database_beside_the_copies_of_an_old_one_does_not_start(bench: Bench) -> None:
    await sealed(bench, 3)
    await bench.audit.copy_heads_out()
    await execute_as_owner(bench, f"TRUNCATE {STORED} CASCADE")
    assert "the database has no such log" in await refusal(bench.replica())


async def test_b11_a_log_that_contradicts_its_copy_does_not_start(bench: Bench) -> None:
    await sealed(bench, 3)
    await bench.audit.copy_heads_out()
    await execute_as_owner(bench, "UPDATE audit.node SET hash = sha256(hash)")
    assert "is not the database's" in await refusal(bench.replica())


async def test_b11_a_log_behind_its_witness_does_not_start(watched: Watched) -> None:
    bench = watched.bench
    await watched.start("a")
    audit, witnesses = watched.audit(quorum=1)
    await sealed(bench, 1)
    await witnesses.ask()
    await audit.require_no_rollback(TENANT)
    await dump(bench)
    await sealed(bench, 4)
    await witnesses.ask()
    await restore(bench)  # the copies never heard of the four: nothing was copied out
    assert "witness.test/a has cosigned" in await refusal(watched.audit(quorum=1)[0])


async def test_a_witness_that_is_behind_or_silent_holds_up_no_start(watched: Watched) -> None:
    await watched.start("a")
    audit, witnesses = watched.audit(quorum=1)
    await sealed(watched.bench, 2)
    await audit.require_no_rollback(TENANT)  # it has cosigned nothing yet
    await witnesses.ask()
    await sealed(watched.bench, 2)
    await audit.require_no_rollback(TENANT)
    await watched.servers["a"].close()
    await audit.require_no_rollback(TENANT)

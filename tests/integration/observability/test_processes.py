"""Budgets over several processes, and over their sudden death."""

import asyncio
import contextlib
import signal
import sys

import asyncpg

from aibox.audit.reaper import Reaper
from aibox.core.connections import LOST
from aibox.core.errors import StateUnavailable
from aibox.core.turn import Turn
from tests.integration.observability.conftest import Money, buying, turn_of


async def spender(money: Money, calls: int, fate: str) -> tuple[int | None, str]:
    """Run a spender; its exit status and what it printed."""
    urls = money.kernel.urls
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.observability.spender",
        *(urls.app, urls.system, str(money.kernel.folder), str(calls), fate),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode().strip()


async def reap(money: Money) -> None:
    """End the turns that a dead process left, as the reaper does when their leases ran out."""
    await money.kernel.connections.system.execute("UPDATE core.turn SET lease_until = now() - interval '1 hour'")
    await Reaper(money.kernel.connections, grace_seconds=0).reap()


async def test_three_processes_share_a_budget_and_never_overspend_it(money: Money) -> None:
    await money.limit("10")
    finished = await asyncio.gather(
        money.granted([turn_of(f"p_{n}") for n in range(64)], 1),
        spender(money, 64, "alive"),
        spender(money, 64, "alive"),
    )
    ours, *others = finished
    assert [status for status, _ in others] == [0, 0]
    assert ours + sum(int(printed) for _, printed in others) == 10
    books = await money.balance()
    assert (books.reserved_usd, books.is_balanced) == ("10", True)


async def test_a_killed_process_leaves_books_that_come_out_right(money: Money) -> None:
    """Of ten calls, five were answered at 0.4 and five were cut off by the kill: 5 × 0.4 + 5 × 1."""
    budget = await money.limit("10")
    status, printed = await spender(money, 16, "announced")
    assert (status, printed) == (-signal.SIGKILL, "")
    await money.settled()
    assert (await money.balance()).reserved_usd == "5"
    await money.budgets.recover(seconds=0)
    assert (await money.balance()).reserved_usd == "5"
    await reap(money)
    await money.budgets.recover(seconds=0)
    await money.budgets.recover(seconds=0)
    await money.settled()
    books = await money.balance()
    assert (books.spent_usd, books.reserved_usd, books.unbooked_responses, books.problems) == ("7", "0", 0, [])
    state = await money.budgets.one(turn_of(), budget)
    assert (state.spent_usd, state.remaining_usd) == ("7", "3")
    assert await money.granted([turn_of()] * 5, 1) == 3


async def test_what_a_killed_process_only_reserved_is_given_back(money: Money) -> None:
    await money.limit("10")
    assert (await spender(money, 16, "reserved"))[0] == -signal.SIGKILL
    assert (await money.balance()).reserved_usd == "10"
    await money.kernel.connections.system.execute("UPDATE observability.reservation SET expires_at = now()")
    await money.budgets.recover(seconds=0)
    assert await money.granted([turn_of()] * 16, 1) == 10


async def test_a_call_that_asks_again_after_its_connection_died_has_reserved_once(money: Money) -> None:
    """All backends are killed while 40 calls reserve; nobody can tell whether a cut-off reservation was made."""
    await money.limit("1000000")
    killer = await asyncpg.connect(money.kernel.urls.owner.replace("aibox_owner@", "postgres@"))

    async def call(turn: Turn) -> None:
        purchase = buying(2)
        while True:
            try:
                assert await money.budgets.reserve(turn, purchase) is not None
                return
            except StateUnavailable:
                await asyncio.sleep(0.05)

    try:
        for _ in range(8):
            calls = asyncio.gather(*(call(turn_of(f"p_{n}")) for n in range(5)))
            await asyncio.sleep(0.002)
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            await calls
    finally:
        await killer.close()
    books = None
    while books is None:
        with contextlib.suppress(*LOST):  # a connection in the pool whose end the driver has not read yet
            books = await money.balance()
    assert (books.reserved_usd, books.open_reservations, books.problems) == ("80", 40, [])

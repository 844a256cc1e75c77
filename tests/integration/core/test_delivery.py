"""Every committed event reaches every subscriber, in commit order, across failures and concurrent writers."""

import asyncio
from collections.abc import Sequence

import asyncpg

from aibox.core.events import Recorded, TurnFailed
from aibox.core.turn import system_turn
from tests.conftest import Kernel


class Listener:
    """Keeps what it hears; fails when told to."""

    def __init__(self) -> None:
        self.heard: list[Recorded] = []
        self.failures = 0

    async def handle(self, batch: Sequence[Recorded]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("told to fail")
        self.heard.extend(batch)


async def test_concurrent_writers_lose_no_event_and_break_no_turns_order(kernel: Kernel) -> None:
    listener = Listener()
    kernel.bus.subscribe("test", listener.handle, types={"turn_failed"})

    async def write(number: int) -> None:
        turn = system_turn()
        for n in range(10):
            if (n + number) % 3:
                await kernel.log.log(turn, TurnFailed(code=str(n)))
            else:
                async with kernel.db.work(turn) as work:
                    work.record(TurnFailed(code=str(n)))
                    await asyncio.sleep(0.001 * (number % 5))

    async with kernel.delivery.run(kernel.tasks):
        await asyncio.gather(*(write(n) for n in range(40)))
        await kernel.delivery.drain("test")
    assert len(listener.heard) == 400
    orders: dict[object, list[int]] = {}
    for event in listener.heard:
        orders.setdefault(event.turn, []).append(event.seq)
    assert all(order == sorted(order) for order in orders.values())


async def test_a_failing_subscriber_is_tried_again_and_loses_nothing(kernel: Kernel) -> None:
    listener = Listener()
    listener.failures = 2
    kernel.bus.subscribe("test", listener.handle, types={"turn_failed"})
    async with kernel.delivery.run(kernel.tasks):
        await kernel.log.log(system_turn(), TurnFailed(code="x"))
        for _ in range(100):
            if listener.heard:
                break
            await asyncio.sleep(0.05)
    assert [event.type for event in listener.heard] == ["turn_failed"]


async def test_a_subscriber_goes_on_where_its_cursor_stands(kernel: Kernel) -> None:
    listener = Listener()
    kernel.bus.subscribe("test", listener.handle, types={"turn_failed"})
    await kernel.log.log(system_turn(), TurnFailed(code="1"))
    await kernel.delivery.drain("test")
    await kernel.log.log(system_turn(), TurnFailed(code="2"))
    await kernel.delivery.drain("test")
    assert [event.decode()["body"]["code"] for event in listener.heard] == ["1", "2"]


async def test_two_subscribers_hear_the_same_each_for_itself(kernel: Kernel) -> None:
    one, two = Listener(), Listener()
    kernel.bus.subscribe("one", one.handle)
    kernel.bus.subscribe("two", two.handle)
    await kernel.log.log(system_turn(), TurnFailed(code="x"))
    await kernel.delivery.drain("one")
    assert len(one.heard) == 2
    assert two.heard == []
    await kernel.delivery.drain("two")
    assert two.heard == one.heard


async def test_a_database_that_takes_no_connection_for_a_while_stops_no_delivery(kernel: Kernel) -> None:
    listener = Listener()
    kernel.bus.subscribe("test", listener.handle)
    admin = await asyncpg.connect(kernel.urls.owner.replace("aibox_owner@", "postgres@"))
    name = await admin.fetchval("SELECT current_database()")
    async with kernel.delivery.run(kernel.tasks):
        await asyncio.sleep(0.2)
        await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        for _ in range(30):
            # Again and again, so that a listener is cut between any two of its messages too.
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
                name,
            )
            await asyncio.sleep(0.1)
        await admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        await kernel.log.log(system_turn(), TurnFailed(code="x"))
        async with asyncio.timeout(10):
            while "turn_failed" not in [event.type for event in listener.heard]:
                await asyncio.sleep(0.05)
    await admin.close()


async def test_delivery_that_is_stopped_while_its_session_goes_away_does_stop(kernel: Kernel) -> None:
    listener = Listener()
    for number in range(8):
        kernel.bus.subscribe(f"test.{number}", listener.handle, types={"turn_failed"})
    for _ in range(5):
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20), kernel.delivery.run(tasks):
            await kernel.log.log(system_turn(), TurnFailed(code="x"))
            while not await kernel.connections.system.fetchval(
                "SELECT count(*) >= 8 FROM pg_locks WHERE locktype = 'advisory' AND granted"
            ):
                await asyncio.sleep(0.01)

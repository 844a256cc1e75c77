"""The gate before a provider: who may go, who waits, and that no place is ever lost."""

import asyncio
import random

import pytest

from aibox.router.gates import FullError, Gate, Limits, Slot

TWO = Limits(2, 10, 5.0)


async def test_without_a_limit_everybody_goes_at_once() -> None:
    gate = Gate()
    slots = [await gate.enter(Limits()) for _ in range(100)]
    assert gate.in_flight == 100
    for slot in slots:
        slot.leave()
    assert gate.in_flight == 0


async def test_the_third_waits_until_one_of_two_leaves_and_the_line_keeps_its_order() -> None:
    gate = Gate()
    first, second = await gate.enter(TWO), await gate.enter(TWO)
    came: list[int] = []

    async def come(number: int) -> Slot:
        slot = await gate.enter(TWO)
        came.append(number)
        return slot

    line = [asyncio.create_task(come(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert (gate.in_flight, gate.waiting, came) == (2, 3, [])
    first.leave()
    first.leave()  # leaving twice frees one place
    await asyncio.sleep(0.01)
    assert (gate.in_flight, gate.waiting, came) == (2, 2, [0])
    second.leave()
    (await line[0]).leave()
    for task in line[1:]:
        (await task).leave()
    assert (gate.in_flight, gate.waiting, came) == (0, 0, [0, 1, 2])


async def test_a_full_line_refuses_at_once_and_says_when_to_come_back() -> None:
    gate = Gate()
    slot = await gate.enter(Limits(1, 0, 5.0))
    with pytest.raises(FullError) as full:
        await gate.enter(Limits(1, 0, 5.0))
    assert 0 < full.value.seconds <= 60
    slot.leave()


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    gate = Gate()
    slot = await gate.enter(Limits(1, 5, 5.0))
    with pytest.raises(FullError):
        await gate.enter(Limits(1, 5, 0.01))
    assert gate.waiting == 0
    slot.leave()
    assert gate.in_flight == 0


async def test_a_raised_limit_counts_for_who_waits_already() -> None:
    gate = Gate()
    slots = [await gate.enter(Limits(1, 5, 5.0))]
    waiting = asyncio.create_task(gate.enter(Limits(1, 5, 5.0)))
    await asyncio.sleep(0)
    slots.append(await gate.enter(Limits(3, 5, 5.0)))
    slots.append(await waiting)
    assert gate.in_flight == 3
    for slot in slots:
        slot.leave()
    assert gate.in_flight == 0


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_whoever_is_cancelled_or_late(seed: int) -> None:
    chance = random.Random(seed)
    gate = Gate()
    most = 0

    async def visit() -> None:
        nonlocal most
        slot = await gate.enter(Limits(3, 50, chance.choice([0.001, 0.003, 1.0])))
        most = max(most, gate.in_flight)
        try:
            await asyncio.sleep(chance.random() / 300)
        finally:
            slot.leave()

    tasks = [asyncio.create_task(visit()) for _ in range(300)]
    for task in chance.sample(tasks, 100):
        await asyncio.sleep(chance.random() / 1000)
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(end is None or isinstance(end, FullError | asyncio.CancelledError) for end in ends)
    assert (gate.in_flight, gate.waiting) == (0, 0)
    assert 1 <= most <= 3

"""Tasks beside a block: they run while it does, and are over when it is."""

import asyncio

import pytest

from aibox.core.tasks import beside


async def test_what_runs_beside_a_block_runs_until_its_end_and_has_cleaned_up_then() -> None:
    told: list[str] = []

    async def work() -> None:
        told.append(asyncio.current_task().get_name())  # type: ignore[union-attr]  # it is a task
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("cleaned up")

    async def block(tasks: asyncio.TaskGroup) -> None:
        async with beside(tasks, {"some.work": work()}):
            await asyncio.sleep(0)
            raise ValueError("the block's own")

    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(ValueError, match="the block"):
            await block(tasks)
        assert told == ["some.work", "cleaned up"]


async def test_what_fails_beside_a_block_ends_the_whole_group() -> None:
    async def work() -> None:
        raise OSError("no disk")

    with pytest.raises(ExceptionGroup) as failed:
        async with asyncio.TaskGroup() as tasks, beside(tasks, {"some.work": work()}):
            await asyncio.Event().wait()
    assert [type(error) for error in failed.value.exceptions] == [OSError]

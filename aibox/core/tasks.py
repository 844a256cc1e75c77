"""Tasks that run beside a block: begun with it, cancelled at its end and waited for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any


@contextlib.asynccontextmanager
async def beside(tasks: asyncio.TaskGroup, work: Mapping[str, Coroutine[Any, Any, object]]) -> AsyncGenerator[None]:
    """Run `work`, each in a task of its name, until the block ends.

    One that raises ends `tasks`, as any of a group does; what one raises while it is cancelled is not heard.
    """
    started = [tasks.create_task(coroutine, name=name) for name, coroutine in work.items()]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)

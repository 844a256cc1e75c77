"""A server of its own as the tests of budgets need it: it reserves on a shared database, and may be killed.

`python -m tests.integration.observability.spender APP_URL SYSTEM_URL FOLDER CALLS FATE`: so many calls of one dollar at
once; prints how many were granted. FATE `reserved`: it kills itself then. `announced`: it announces them all, answers
every second one at 0.4 dollars, and kills itself before it prints.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from aibox.core import connections
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.keyring import load_rings
from aibox.core.keys import DataKeys
from aibox.observability import BudgetDecision, BudgetExceeded, Settings
from aibox.observability.budgets import BudgetService
from tests.integration.observability.conftest import buying, invoked, response, turn_of


async def spend(urls: Urls, folder: Path, calls: int, fate: str) -> None:
    """See the module's docstring."""
    links = Connections(connections.Settings(pool=6))
    log = EventLog(links, DataKeys(links, load_rings(folder / "keys.json", {})["secrets"]))
    budgets = BudgetService(Settings(), db=Database(links, log), connections=links, log=log)
    async with links.run(urls), asyncio.TaskGroup() as tasks, log.run(tasks), budgets.run(tasks):
        turns = [turn_of(f"p_{os.getpid()}_{n}") for n in range(calls)]
        purchases = [buying(1) for _ in turns]
        answers = await asyncio.gather(
            *(budgets.reserve(turn, purchase) for turn, purchase in zip(turns, purchases, strict=True)),
            return_exceptions=True,
        )
        granted = [n for n, answer in enumerate(answers) if isinstance(answer, BudgetDecision)]
        assert all(isinstance(answer, BudgetDecision | BudgetExceeded) for answer in answers), answers
        if fate == "announced":
            for place, n in enumerate(granted):
                await log.log(turns[n], invoked(purchases[n].call))
                if place % 2:
                    await log.log(turns[n], response(turns[n], call=purchases[n].call, cost_usd="0.4"))
        if fate != "alive":
            os.kill(os.getpid(), signal.SIGKILL)
        print(len(granted), flush=True)


if __name__ == "__main__":
    app, system, where, number, end = sys.argv[1:]
    asyncio.run(spend(Urls(app=app, system=system, owner=""), Path(where), int(number), end))

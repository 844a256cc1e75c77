"""The process that is killed: the kernel and the audit module as `aibox serve` runs them, without HTTP and models.

It makes its own turns, and says on a pipe what it would have said to the outside world: that an act was done, that an
event was acknowledged, that a turn ended. What was written there stays, however the process dies.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
import uvloop

from aibox.audit import ExternalAct, Settings
from aibox.audit.service import Audit
from aibox.core import connections, failpoints
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.errors import AIBoxError
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, Recorded, text_artifact
from aibox.core.keyring import load_rings
from aibox.core.keys import DataKeys
from aibox.core.turn import Principal, Turn, begin, uuid7
from aibox.stores.objects.files import FileObjects

Say = Callable[[str, UUID, Sequence[Recorded]], None]

TENANTS = [UUID(f"00000000-0000-7000-8000-0000000000a{n}") for n in (1, 2)]
LEASE = Settings(lease_seconds=3, grace_seconds=1)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one life of the process is to be."""

    folder: Path
    urls: Urls
    seed: int
    tasks: int
    """Turns at once; none: only what is left is sealed."""
    failpoints: str = ""
    pool: int = 8


class Said(msgspec.Struct, frozen=True, array_like=True):
    """One line on the pipe: `ack`, `act`, `end` or `heard`, the turn, and leaf hashes with their numbers."""

    what: str
    turn: UUID
    leaves: list[tuple[int, bytes]] = []


def live(order: Order, pipe: Pipe) -> None:
    """One life, until something kills it or the pipe's other end says stop."""
    logging.disable(logging.CRITICAL)  # the pool tells of every connection that a killed database cost it
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    uvloop.run(_live(order, pipe))


async def _live(order: Order, pipe: Pipe) -> None:
    failpoints.arm(order.failpoints)
    rings = load_rings(order.folder / "keys.json", {})
    links = Connections(connections.Settings(pool=order.pool))
    keys = DataKeys(links, rings["secrets"])
    log = EventLog(links, keys, lease_seconds=LEASE.lease_seconds)
    db = Database(links, log)
    bus = Bus()
    objects = FileObjects(order.folder / "objects")
    audit = Audit(LEASE, links, db, objects, rings["audit"], keys, host="aibox.test", build="0.1.0", policy="default@1")

    def say(what: str, turn: UUID, recorded: Sequence[Recorded]) -> None:
        pipe.send_bytes(msgspec.msgpack.encode(Said(what, turn, [(one.seq, one.leaf) for one in recorded])))

    async def hear(batch: Sequence[Recorded]) -> None:
        for event in batch:
            say("heard", event.turn, ())

    bus.subscribe("crash", hear, types={"turn_sealed"})
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(links.run(order.urls))
        await stack.enter_async_context(objects.run())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for part in (keys.run(tasks), log.run(tasks), audit.run(tasks), Delivery(links, bus).run(tasks)):
            await stack.enter_async_context(part)
        working = [
            tasks.create_task(_talk(log, db, say, random.Random(order.seed * 1000 + n))) for n in range(order.tasks)
        ]
        await asyncio.to_thread(pipe.recv_bytes)
        for task in working:
            task.cancel()


async def _talk(log: EventLog, db: Database, say: Say, dice: random.Random) -> None:
    """Turns, one after the other. A refusal is an answer: it acknowledges nothing."""
    while True:
        pseudonym = f"p-{dice.randrange(20)}"
        turn = begin(Principal(kind="user", tenant=dice.choice(TENANTS), id=uuid7(), pseudonym=pseudonym))
        try:
            await _turn(log, db, say, dice, turn)
        except (AIBoxError, failpoints.Broken):
            log.leave(turn)
            await asyncio.sleep(0.05)


async def _turn(log: EventLog, db: Database, say: Say, dice: random.Random, turn: Turn) -> None:
    say("ack", turn.id, await log.log(turn, _event("ask", "What is the answer?")))
    announced = await log.log(turn, _event("invoke"))
    say("act", turn.id, announced)
    if dice.random() < 0.05:
        log.leave(turn)  # the client left, and its task with it: the reaper's
        return
    if dice.random() < 0.2:
        async with db.work(turn) as work:
            work.record(_event("store"))
    say("ack", turn.id, await log.log(turn, _event("respond", "forty-two")))
    await log.end(turn, dice.choice(("sealed", "sealed", "failed", "denied")))
    say("end", turn.id, ())


def _event(action: str, text: str = "") -> ExternalAct:
    artifacts = (text_artifact(text),) if text else ()
    return ExternalAct(action=action, resource_type="", resource_id="", result="", artifacts=artifacts)

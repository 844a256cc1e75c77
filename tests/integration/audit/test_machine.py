"""A state machine of the log's life: whatever happens in whatever order, what was acknowledged is there and proved.

Hypothesis picks the steps: turns begin and act, end, are sealed and added to, their process crashes or restarts, heads
are copied out, keys rotate, people are erased, a backup comes back, someone edits a row. After each step the log is
what a simple model says; at the end all is sealed and every receipt verifies. EXAMPLES (12) of 18 steps each.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aibox.audit import ExternalAct, NotSealed, Settings, addenda, verifier
from aibox.audit.check import check
from aibox.audit.erasure import Erasure
from aibox.audit.service import Audit
from aibox.core import connections
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, text_artifact
from aibox.core.keyring import Ring, load_rings
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn, begin
from aibox.stores.objects.files import FileObjects
from tests.conftest import new_database
from tests.integration.audit.conftest import ANN, AUDITOR, BOB, TENANT, KnownPeople

T = TypeVar("T")
PEOPLE = {"p-ann": ANN, "p-bob": BOB}
TABLES = ("log", "entry", "node", "verifier_key", "checkpoint", "tombstone", "addendum")


class Process:
    """One life of the server's kernel and audit module on the database."""

    def __init__(self, urls: Urls, folder: Path, ring: Ring) -> None:
        self.urls = urls
        rings = load_rings(folder / "keys.json", {})
        self.links = Connections(connections.Settings(pool=6))
        self.keys = DataKeys(self.links, rings["secrets"])
        self.log = EventLog(self.links, self.keys)
        self.db = db = Database(self.links, self.log)
        self.objects = FileObjects(folder / "objects")
        self.audit = Audit(
            Settings(), self.links, db, self.objects, ring, self.keys, host="aibox.test", build="0.1.0", policy="x@1"
        )
        bus = Bus()
        delivery = Delivery(self.links, bus)
        self.erasure = Erasure(Settings(), self.links, self.log, self.keys, self.objects, delivery, bus, KnownPeople())
        self._stop = asyncio.Event()
        self._started = asyncio.Event()
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._living = asyncio.create_task(self._live())
        await self._started.wait()

    async def _live(self) -> None:
        async with self.links.run(self.urls), self.objects.run(), asyncio.TaskGroup() as tasks, self.log.run(tasks):
            await self.erasure.replay()
            self._started.set()
            await self._stop.wait()

    async def stop(self) -> None:
        """The process is gone: what it held in memory is lost."""
        assert self._living is not None
        self._stop.set()
        await self._living


class LogLife(RuleBasedStateMachine):
    """The steps, and the model of what was acknowledged."""

    cluster: Urls

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.open: dict[UUID, Turn] = {}
        self.acts: dict[UUID, int] = {}
        """Acknowledged acts of every turn that ever began."""
        self.left: set[UUID] = set()
        """Turns whose process crashed."""
        self.outcomes: dict[UUID, str] = {}
        self.said: dict[UUID, str] = {}
        self.erased: set[UUID] = set()
        self.rings = 1

    def do(self, act: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(act)

    @initialize()
    def begin_a_life(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="m-"))
        self.database = new_database(self.cluster)
        self.urls = self.do(self.database.__aenter__())
        self.ring = load_rings(self.folder / "keys.json", {})["audit"]
        self._start()

    def _start(self) -> None:
        self.process = Process(self.urls, self.folder, self.ring)
        self.do(self.process.start())

    @rule(who=st.sampled_from(sorted(PEOPLE)))
    def start_a_turn(self, who: str) -> None:
        turn = begin(PEOPLE[who])
        self.do(self.process.log.log(turn, said("begins")))
        self.open[turn.id], self.acts[turn.id], self.said[turn.id] = turn, 1, who

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        turn = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        self.do(self.process.log.log(turn, said("acts")))
        self.acts[turn.id] += 1

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(("sealed", "failed", "denied")))
    def end(self, data: st.DataObject, outcome: str) -> None:
        turn = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        self.do(self.process.log.end(turn, outcome))
        self.outcomes[turn.id] = outcome

    @precondition(lambda self: self.outcomes)
    @rule(data=st.data())
    def add_to_a_turn_that_ended(self, data: st.DataObject) -> None:
        about = data.draw(st.sampled_from(sorted(self.outcomes)))
        turn, process = begin(PEOPLE[self.said[about]]), self.process
        is_sealed = self.do(process.audit.receipt(turn, about)).state != "open"
        try:
            self.do(addenda.add(process.db, process.log, turn, about, said("adds")))
        except NotSealed:
            assert not is_sealed
            return
        assert is_sealed
        self.do(process.log.end(turn, "sealed"))
        self.acts[about] += 1

    @rule()
    def seal(self) -> None:
        self.do(self.process.audit.sealer.seal_pending())

    @rule()
    def copy_the_heads_out(self) -> None:
        self.do(self.process.audit.copy_heads_out())

    @rule()
    def crash_and_restart(self) -> None:
        self.left |= set(self.open)
        self.open.clear()
        self.do(self.process.stop())
        self._start()

    @rule()
    def rotate_the_head_keys(self) -> None:
        self.rings += 1
        self.ring = Ring("audit", ((f"k{self.rings}", bytes([self.rings]) * 31 + b"x"), *self.ring.keys))
        self.crash_and_restart()

    @rule(who=st.sampled_from(sorted(PEOPLE)))
    def erase(self, who: str) -> None:
        turn = begin(PEOPLE[who])
        self.do(self.process.erasure.erase(turn))
        self.do(self.process.log.end(turn, "sealed"))
        self.erased |= {one for one, whose in self.said.items() if whose == who}

    @rule()
    def restore_an_old_backup_of_the_log_and_be_refused(self) -> None:
        """Back to what the tables were, with a head outside that they lack; then the newest backup comes back."""
        if not self.do(self._has_a_log()):
            return
        self.do(self._backup("older"))
        self.end_one_more()
        self.do(self.process.audit.sealer.seal_pending())
        self.do(self.process.audit.copy_heads_out())
        self.do(self._backup("newest"))
        self.do(self._restore("older"))
        self.crash_and_restart()
        self.do(self.process.audit.copies.look())
        assert self.process.audit.copies.why_not(TENANT), "a log older than its copy was not refused"
        self.do(self._restore("newest"))
        self.crash_and_restart()

    def end_one_more(self) -> None:
        turn = begin(ANN)
        self.do(self.process.log.log(turn, said("more")))
        self.do(self.process.log.end(turn, "sealed"))
        self.acts[turn.id], self.said[turn.id], self.outcomes[turn.id] = 1, "p-ann", "sealed"

    async def _has_a_log(self) -> bool:
        return bool(await self.process.links.system.fetchval("SELECT count(*) FROM audit.checkpoint"))

    async def _backup(self, name: str) -> None:
        await self._as_owner(
            f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name};"
            + "".join(f"CREATE TABLE {name}.{table} AS SELECT * FROM audit.{table};" for table in TABLES)
        )

    async def _restore(self, name: str) -> None:
        await self._as_owner(
            f"TRUNCATE {', '.join(f'audit.{table}' for table in TABLES)} CASCADE;"
            + "".join(f"INSERT INTO audit.{table} SELECT * FROM {name}.{table};" for table in TABLES)
        )

    @rule(seq=st.integers(0, 1))
    def tamper_and_be_found_out(self, seq: int) -> None:
        """An event of a sealed turn is changed; the check says so; it is changed back."""
        flip = (
            "UPDATE core.event SET data = set_byte(data, 30, get_byte(data, 30) # 1) WHERE (turn, seq) ="
            f" (SELECT turn, {seq} FROM audit.entry WHERE turn IS NOT NULL ORDER BY idx LIMIT 1)"
        )
        if not self.do(self._has_a_log()):
            return
        self.do(self._as_owner(flip))
        assert not self.do(self._checked())
        self.do(self._as_owner(flip))

    async def _as_owner(self, statement: str) -> None:
        connection = await asyncpg.connect(self.urls.owner)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _checked(self) -> bool:
        process = self.process
        db = Database(process.links, process.log)
        return (await check(db, process.audit.copies, begin(AUDITOR))).ok

    @invariant()
    def every_acknowledged_act_is_in_the_log(self) -> None:
        async def stored() -> dict[UUID, int]:
            rows = await self.process.links.system.fetch(
                "SELECT turn, count(*) AS n FROM core.event WHERE type LIKE 'external.%' GROUP BY turn"
            )
            return {row["turn"]: row["n"] for row in rows}

        if hasattr(self, "process"):
            assert self.do(stored()) == self.acts

    def teardown(self) -> None:
        if hasattr(self, "process"):
            self.crash_and_restart()
            self.do(self._settle())
            self.do(self.process.stop())
            self.do(self.database.__aexit__(None, None, None))
            shutil.rmtree(self.folder, ignore_errors=True)
        self.runner.close()

    async def _settle(self) -> None:
        """What was left is reaped and sealed; then every receipt verifies and shows what the model says."""
        audit, links = self.process.audit, self.process.links
        await links.system.execute("UPDATE core.turn SET lease_until = now() - interval '1 hour' WHERE state = 'open'")
        await audit.reaper.reap()
        await audit.sealer.seal_pending()
        assert await self._checked()
        for turn_id, who in self.said.items():
            turn = begin(PEOPLE[who])
            receipt = await audit.receipt(turn, turn_id)
            assert receipt.outcome == ("abandoned" if turn_id in self.left else self.outcomes[turn_id])
            proof = await audit.proof(turn, turn_id, opened=True)
            policy = msgspec.json.encode(await audit.policy(turn))
            assert verifier.verify(proof, policy).ok
            shown = json.loads(proof)
            gone = sum(len(stone["arts"]) for stone in shown.get("erased", []))
            assert len(shown["openings"]) + gone == self.acts[turn_id]
            assert bool(gone) == (turn_id in self.erased)


def said(action: str) -> ExternalAct:
    artifact = text_artifact("What was said.")
    return ExternalAct(action=action, resource_type="", resource_id="", result="", artifacts=(artifact,))


def test_whatever_happens_in_whatever_order_the_log_keeps_and_proves_what_was_acknowledged(cluster: Urls) -> None:
    LogLife.cluster = cluster
    examples = int(os.environ.get("EXAMPLES", "12"))
    run_state_machine_as_test(
        LogLife,
        settings=settings(
            max_examples=examples,
            stateful_step_count=18,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

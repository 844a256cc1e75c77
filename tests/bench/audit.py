"""`make bench-audit`: what the audit log costs and how fast it is, in one run on this machine, printed as JSON.

PostgreSQL runs beside it with its safe settings (fsync on), on the same cores. RATE=500 turns a second of one tenant
for SECONDS=20 are logged and sealed. Then a log of TURNS=1000000 sealed turns is made by the real formats, keys and
tree code and written by COPY, and a real server seals on top of it and serves proofs of it, each of which is verified.
"""

import asyncio
import contextlib
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aibox.app import build
from aibox.audit import ExternalAct, Settings, logs, merkle, receipts, verifier
from aibox.audit.merkle import Frontier
from aibox.audit.receipts import Sealed
from aibox.audit.service import Audit
from aibox.audit.signing import HeadKeys
from aibox.core import connections
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.events import Event, TurnSealed, TurnStarted, leaf_hash, record, text_artifact
from aibox.core.keyring import load_rings
from aibox.core.keys import DataKeys
from aibox.core.turn import Principal, Turn, begin, uuid7
from aibox.settings import Settings as AllSettings
from aibox.stores.objects.files import FileObjects
from aibox.stores.postgres import open_postgres
from tests.system import served

RATE = int(os.environ.get("RATE", "500"))
SECONDS = int(os.environ.get("SECONDS", "20"))
TURNS = int(os.environ.get("TURNS", "1000000"))
PROOFS = int(os.environ.get("PROOFS", "1000"))
TENANT = AllSettings().tenancy.single_tenant_id
HEAD_EVERY = 512
ANN = Principal(kind="user", tenant=TENANT, id=UUID(int=1), pseudonym="p-ann")


def spread(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 3),
        "p99_ms": round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
    }


def act(action: str, text: str = "") -> Event:
    artifacts = (text_artifact(text),) if text else ()
    return ExternalAct(action=action, resource_type="", resource_id="", result="", artifacts=artifacts)


class Kernel:
    """The event log and the audit module on a database of its own."""

    def __init__(self, log: EventLog, audit: Audit, postmaster: psutil.Process) -> None:
        self.log = log
        self.audit = audit
        self.postmaster = postmaster

    async def turn(self) -> tuple[float, float]:
        """A chat turn's worth of events; seconds in the log's calls, and from the end to the seal."""
        turn = begin(ANN)
        start = time.perf_counter()
        await self.log.log(turn, act("ask", "What is the capital of France, and since when?"))
        await self.log.log(turn, act("invoke"))
        await self.log.log(turn, act("respond", "Paris, and more or less since 987."))
        submitted = time.perf_counter()
        with self.audit.sealer.news_of(turn.id) as sealed:
            await self.log.end(turn, "sealed")
            logged = time.perf_counter()
            await asyncio.wait_for(sealed.wait(), 30)
        return logged - start, time.perf_counter() - submitted


@contextlib.asynccontextmanager
async def kernel(folder: Path) -> AsyncGenerator[Kernel]:
    async with open_postgres(connections.Settings(), folder) as urls, contextlib.AsyncExitStack() as stack:
        rings = load_rings(folder / "keys.json", {})
        links = Connections(connections.Settings())
        keys = DataKeys(links, rings["secrets"])
        log = EventLog(links, keys)
        objects = FileObjects(folder / "objects")
        audit = Audit(
            Settings(),
            links,
            Database(links, log),
            objects,
            rings["audit"],
            keys,
            host="aibox.test",
            build="0.1.0",
            policy="default@1",
        )
        await stack.enter_async_context(links.run(urls))
        await stack.enter_async_context(objects.run())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        await stack.enter_async_context(log.run(tasks))
        await stack.enter_async_context(audit.run(tasks))
        pid = int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        yield Kernel(log, audit, psutil.Process(pid))


async def sealing(one: Kernel) -> dict[str, Any]:
    """An open load of RATE turns a second, whether or not the log keeps up."""
    for _ in range(50):
        await one.turn()
    alone = [await one.turn() for _ in range(200)]
    before, begun = _cpu(one), time.perf_counter()
    running: list[asyncio.Task[tuple[float, float]]] = []
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        running.append(asyncio.create_task(one.turn()))
    took = await asyncio.gather(*running)
    seconds = time.perf_counter() - begun
    ours, theirs = (after - earlier for after, earlier in zip(_cpu(one), before, strict=True))
    return {
        "offered_turns_a_second": RATE,
        "sealed_turns_a_second": round(len(took) / seconds, 1),
        "submit_to_sealed": spread([sealed for _, sealed in took]),
        "added_to_a_turn_alone": spread([logged for logged, _ in alone]),
        "added_to_a_turn_under_load": spread([logged for logged, _ in took]),
        "cpu_a_turn_ms": {
            "aibox_and_load": round(1000 * ours / len(took), 3),
            "postgres": round(1000 * theirs / len(took), 3),
        },
    }


def _cpu(one: Kernel) -> tuple[float, float]:
    """CPU seconds of this process, and of PostgreSQL with all its children."""
    theirs = 0.0
    for process in (one.postmaster, *one.postmaster.children(recursive=True)):
        times = process.cpu_times()
        theirs += times.user + times.system
    return time.process_time(), theirs


class Million:
    """A log of sealed turns, as the sealer would have written it, made in memory batch by batch."""

    def __init__(self, ring: Any) -> None:
        self.origin = f"localhost/audit/l/benchbenchbench2/{logs.this_year()}"
        self.frontier = Frontier()
        self.link = receipts.chain_genesis(self.origin)
        self.head_keys = HeadKeys(ring)
        self.key = Ed25519PrivateKey.generate()
        self.note = ""
        self.turns: list[UUID] = []

    def batches(self, count: int) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
        """Rows for COPY by table, HEAD_EVERY entries and a signed head each."""
        public = self.key.public_key().public_bytes_raw()
        made = 0
        while made < count:
            rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}
            key_index = self.frontier.size
            self._add(rows, receipts.key_leaf(origin=self.origin, index=key_index, prev=self.link, public=public))
            for _ in range(min(HEAD_EVERY - 1, count - made)):
                self._add_turn(rows, key_index, receipts.key_id(public))
                made += 1
            size, root = self.frontier.size, self.frontier.root()
            self.note = self.head_keys.signer(self.origin).sign(size, root, at_seconds=int(time.time()))
            rows["audit.checkpoint"].append((self.origin, size, TENANT, self.head_keys.kid, self.note))
            yield rows

    def _add_turn(self, rows: dict[str, list[tuple[Any, ...]]], key_index: int, kid: str) -> None:
        turn = Turn(id=uuid7(), principal=ANN, started_us=time.time_ns() // 1000)
        events = [
            record(turn, TurnStarted(principal="p-ann", kind="user"), seq=0),
            record(turn, TurnSealed(outcome="sealed"), seq=1),
        ]
        sealed = Sealed(
            tenant=TENANT,
            turn=turn.id,
            principal="p-ann",
            outcome="sealed",
            events=2,
            root=merkle.root(event.leaf for event in events),
            build="0.1.0",
            policy="default@1",
            started_us=turn.started_us,
            sealed_us=time.time_ns() // 1000,
        )
        entry = receipts.envelope(sealed, origin=self.origin, index=self.frontier.size, prev=self.link, kid=kid)
        signature = receipts.sign_envelope(self.key, entry)
        self._add(rows, entry, turn=turn.id, signature=signature, key=key_index)
        lease = _LONG_AGO
        rows["core.turn"].append((TENANT, turn.id, "p-ann", turn.started_us, lease, "sealed", "sealed"))
        rows["core.event"] += [(TENANT, turn.id, event.seq, event.type, event.source, event.data) for event in events]
        self.turns.append(turn.id)

    def _add(
        self,
        rows: dict[str, list[tuple[Any, ...]]],
        data: bytes,
        *,
        turn: UUID | None = None,
        signature: bytes | None = None,
        key: int | None = None,
    ) -> None:
        index, leaf = self.frontier.size, leaf_hash(data)
        rows["audit.entry"].append((self.origin, index, TENANT, data, turn, signature, key))
        self.link = receipts.chain_next(self.origin, index, self.link, leaf)
        rows["audit.node"] += [
            (self.origin, node.level, node.index, TENANT, node.hash) for node in self.frontier.append(leaf)
        ]


COLUMNS = {
    "core.turn": ["tenant", "turn", "principal", "started_us", "lease_until", "state", "outcome"],
    "core.event": ["tenant", "turn", "seq", "type", "source", "data"],
    "audit.entry": ["origin", "idx", "tenant", "data", "turn", "signature", "key_idx"],
    "audit.node": ["origin", "level", "idx", "tenant", "hash"],
    "audit.checkpoint": ["origin", "size", "tenant", "signer", "note"],
}
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def make_log(urls: Urls, ring: Any) -> Million:
    """Write a log of TURNS sealed turns."""
    owner = await asyncpg.connect(urls.owner)
    made = Million(ring)
    signer = made.head_keys.signer(made.origin)
    await owner.execute(
        "INSERT INTO audit.log (origin, tenant, id, year, link) VALUES ($1, $2, $3, $4, $5)",
        made.origin,
        TENANT,
        made.origin.split("/")[3],
        logs.this_year(),
        made.link,
    )
    await owner.execute(
        "INSERT INTO audit.verifier_key (origin, signer, tenant, vkeys, since) VALUES ($1, $2, $3, $4, 0)",
        made.origin,
        made.head_keys.kid,
        TENANT,
        [str(key) for key in signer.keys],
    )
    for rows in made.batches(TURNS):
        for table, columns in COLUMNS.items():
            schema, name = table.split(".")
            await owner.copy_records_to_table(name, schema_name=schema, columns=columns, records=rows[table])
    await owner.execute(
        "UPDATE audit.log SET size = $2, link = $3, checkpoint = $4 WHERE origin = $1",
        made.origin,
        made.frontier.size,
        made.link,
        made.note,
    )
    await owner.execute("ANALYZE")
    await owner.close()
    return made


async def proofs(urls: Urls, folder: Path, made: Million) -> dict[str, Any]:
    """A real server on the large log: it seals on top of it, and serves proofs, each of which is verified."""
    dice = random.Random(1)
    await _deliver(urls, folder)
    async with served(urls, folder) as one:
        begin_at = time.perf_counter()
        await _until_copied(urls)
        copied = time.perf_counter() - begin_at
        reported = await one.client.post("/v1/audit", json={"action": "bench.on_top"})
        outcome = await one.outcome(reported.json()["turn_id"], within=60)
        policy = (await one.client.get("/v1/audit/policy")).content
        seconds, checks, sizes = [], [], []
        for turn in dice.sample(made.turns, min(PROOFS + 50, len(made.turns))):
            begin_at = time.perf_counter()
            answer = await one.client.get(f"/v1/receipts/{turn}/proof")
            seconds.append(time.perf_counter() - begin_at)
            assert answer.status_code == 200, answer.text
            begin_at = time.perf_counter()
            assert verifier.verify(answer.content, policy).ok
            checks.append(time.perf_counter() - begin_at)
            sizes.append(len(answer.content))
        return {
            "entries": made.frontier.size,
            "tiles_copied_out_in_s": round(copied, 1),
            "a_turn_sealed_on_top": outcome,
            "proof_over_http": spread(seconds[50:]),
            "verify_offline": spread(checks[50:]),
            "receipt_bytes": sorted(sizes)[len(sizes) // 2],
        }


async def _deliver(urls: Urls, folder: Path) -> None:
    """Say that every subscriber has had the events of the log that was made: they would have had them as they came."""
    names = [*build(AllSettings(data=str(folder))).bus.subscriptions]
    owner = await asyncpg.connect(urls.owner)
    await owner.execute(
        "INSERT INTO core.cursor (subscriber, xact, row_id)"
        " SELECT name, e.xact, e.row_id FROM unnest($1::text[]) AS name,"
        " (SELECT xact, row_id FROM core.event ORDER BY xact DESC, row_id DESC LIMIT 1) AS e"
        " ON CONFLICT (subscriber) DO UPDATE SET xact = excluded.xact, row_id = excluded.row_id",
        names,
    )
    await owner.close()


async def _until_copied(urls: Urls) -> None:
    """Return when the tiles and heads of the whole log are in the object store, as mostly a second after a seal."""
    owner = await asyncpg.connect(urls.owner)
    while await owner.fetchval("SELECT bool_or(anchored < size) FROM audit.log"):
        await asyncio.sleep(0.2)
    await owner.close()


async def verify_export(urls: Urls, folder: Path, made: Million) -> dict[str, Any]:
    """All entries as a file of lines, and from that file alone the chain, the tree and the signed head again."""
    path = folder / "entries.ndjson"
    connection = await asyncpg.connect(urls.owner)
    query = "SELECT data FROM audit.entry WHERE origin = $1 AND idx < $2 ORDER BY idx"
    with path.open("wb") as file:
        async with connection.transaction():
            async for row in connection.cursor(query, made.origin, made.frontier.size, prefetch=5000):
                file.write(row["data"] + b"\n")
    await connection.close()
    begin_at = time.perf_counter()
    frontier, link = Frontier(), receipts.chain_genesis(made.origin)
    with path.open("rb") as file:
        for index, line in enumerate(file):
            data = line[:-1]
            entry = json.loads(data)
            assert (entry["idx"], entry["prev"]) == (index, link.hex())
            leaf = leaf_hash(data)
            link = receipts.chain_next(made.origin, index, link, leaf)
            frontier.append(leaf)
    assert frontier.root() == b64decode(made.note.split("\n")[2])
    return {"entries": frontier.size, "bytes": path.stat().st_size, "seconds": round(time.perf_counter() - begin_at, 1)}


async def measure(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"machine": {"cores": os.cpu_count(), "python": platform.python_version()}}
    async with kernel(folder / "k") as one:
        report["sealing"] = await sealing(one)
        print(json.dumps(report), file=sys.stderr, flush=True)
    async with open_postgres(connections.Settings(), folder / "m") as urls:
        ring = load_rings(folder / "m" / "keys.json", {})["audit"]
        begin_at = time.perf_counter()
        made = await make_log(urls, ring)
        report["made_log_in_s"] = round(time.perf_counter() - begin_at, 1)
        report["large_log"] = await proofs(urls, folder / "m", made)
        print(json.dumps(report), file=sys.stderr, flush=True)
        report["export"] = await verify_export(urls, folder, made)
    return report


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        for name in ("k", "m"):
            (folder / name).mkdir()
        print(json.dumps(asyncio.run(measure(folder)), indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Seals ended turns: appends their envelopes to the tenant's log and signs the new head, in one transaction.

The head row is locked, up to 256 turns are taken, indices are given inside the lock. Before signing, all that was
written is read back and computed again with the stand-alone verifier's own code. A head is signed in the transaction
that stores it: if that does not commit, the signature never left this process.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, TypedDict
from uuid import UUID

import asyncpg
import structlog

from aibox.audit import addenda, logs, merkle, notes, receipts, tombstones, verifier
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.logs import Log
from aibox.audit.merkle import Frontier, Node
from aibox.audit.receipts import Sealed
from aibox.audit.signing import EnvelopeKey, HeadKeys, new_envelope_key
from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.core.events import leaf_hash
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.audit.sealer")

BATCH = 256
"""Turns a transaction. Half a key leaf's span, so that one leaf serves two full batches and chains stay short."""

POLL_SECONDS = 2.0
RETRY_SECONDS = 1.0
REST_SECONDS = 5.0

SETTLE_SECONDS = 0.02
"""How long an ended turn waits for others to share its head: signing one costs as much as signing for 256 turns."""

UNHURRIED_SECONDS = 0.15
"""How long it waits where nobody waits for a seal: a client that asks one thing after the other pays a tenth."""


class RecomputationError(Exception):
    """What was read back before signing is not what was written: nothing was signed."""


class Draft:
    """Entries to be appended to a log, as rows."""

    def __init__(self, head: Log, frontier: Frontier) -> None:
        self.origin = head.origin
        self.frontier = frontier
        self.link = head.link
        self.nodes: list[Node] = []
        self.rows: list[tuple[int, bytes, UUID | None, bytes | None, int | None]] = []

    @property
    def next(self) -> int:
        return self.frontier.size

    def add(
        self, data: bytes, *, turn: UUID | None = None, signature: bytes | None = None, key: int | None = None
    ) -> None:
        leaf = leaf_hash(data)
        self.rows.append((self.next, data, turn, signature, key))
        self.link = receipts.chain_next(self.origin, self.next, self.link, leaf)
        self.nodes += self.frontier.append(leaf)


class Sealer:
    """Seals what has ended, in all tenants. Any number of replicas may run one."""

    def __init__(
        self,
        connections: Connections,
        keys: HeadKeys,
        copies: HeadCopies,
        *,
        host: str,
        build: str,
        policy: str,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock` gives nanoseconds since 1970; where it goes back, the log's time stands still until it is passed."""
        self._connections = connections
        self._keys = keys
        self._copies = copies
        self._host = host
        self._build = build
        self._policy = policy
        self._clock = clock
        self._key: EnvelopeKey = new_envelope_key()
        self._key_leaves: dict[str, int] = {}
        """Where this process's envelope key stands in each log."""
        self._unsealable: set[UUID] = set()
        """Ended turns without a beginning or an end, which should not exist: set aside, told once."""
        self._resting: dict[UUID, float] = {}
        """Tenants whose log failed, and until when they are passed over."""
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: dict[UUID, set[asyncio.Event]] = {}
        self.moved = asyncio.Event()
        """Set when a head was signed: there is something to copy out."""

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Seal until the block ends. What has ended by then is sealed at the next start."""
        async with beside(tasks, {"audit.listen": self._listen(), "audit.seal": self._work()}):
            yield

    @contextlib.contextmanager
    def news_of(self, turn_id: UUID) -> Generator[asyncio.Event]:
        """An event that is set when this process has sealed `turn_id`."""
        event = asyncio.Event()
        self._waiters.setdefault(turn_id, set()).add(event)
        self._hurry.set()
        try:
            yield event
        finally:
            waiting = self._waiters[turn_id]
            waiting.discard(event)
            if not waiting:
                del self._waiters[turn_id]

    async def seal_pending(self) -> int:
        """Seal every turn that has ended; the number sealed. A tenant whose log fails rests, the others go on."""
        rows = await self._connections.system.fetch("SELECT DISTINCT tenant FROM core.turn WHERE state = 'ended'")
        count = 0
        for tenant in [row["tenant"] for row in rows]:
            if self._resting.get(tenant, 0.0) > time.monotonic():
                continue
            try:
                while sealed := await self.seal(tenant):
                    count += len(sealed)
            except (*LOST, StateUnavailable):
                raise
            except Exception as error:  # the other tenants rely on being sealed whatever is wrong with this one
                self._resting[tenant] = time.monotonic() + REST_SECONDS
                known = isinstance(error, (HeadRefused, RecomputationError))
                log.error("audit.not_sealed", tenant=str(tenant), error=str(error), exc_info=not known)
        return count

    async def seal(self, tenant: UUID) -> list[UUID]:
        """Seal up to 256 ended turns of `tenant` under one new head; their ids, none when there are none."""
        year = logs.this_year(self._clock())
        pool = self._connections.system
        head = await logs.find(pool, tenant, year)
        if head is None:
            await self._copies.require_new(str(tenant), year)
            await logs.begin(pool, tenant, year, host=self._host)
        else:
            await self._copies.require_agreement(head)
        async with pool.acquire() as connection, connection.transaction():
            sealed, key_leaf = await self._seal(connection, tenant, year)
            failpoints.reach("sealer.commit")
        failpoints.reach("sealer.committed")
        # Only now is it certain where our key leaf stands.
        if key_leaf is not None:
            self._key_leaves[key_leaf[0]] = key_leaf[1]
        if sealed:
            self.moved.set()
        for turn_id in sealed:
            for event in self._waiters.get(turn_id, ()):
                event.set()
        return sealed

    async def _seal(
        self, connection: asyncpg.Connection, tenant: UUID, year: int
    ) -> tuple[list[UUID], tuple[str, int] | None]:
        head = await logs.find(connection, tenant, year, lock=True)
        assert head is not None  # it was there, and nobody may delete it
        turns = await connection.fetch(PENDING, tenant, list(self._unsealable), BATCH)
        events = await _events(connection, tenant, [row["turn"] for row in turns])
        whole = [row for row in turns if self._is_whole(row["turn"], events)]
        if not whole:
            return [], None
        failpoints.reach("sealer.take")
        last = await self._close_last(connection, head) if head.size == 0 else None
        draft = Draft(head, await self._frontier(connection, head))
        key, key_index = self._authorise(draft)
        if last is not None:
            draft.add(receipts.opening_leaf(origin=head.origin, index=draft.next, prev=draft.link, **last))
        now_us = self._now_us(head)
        for row in whole:
            own = events[row["turn"]]
            sealed = Sealed(
                tenant=tenant,
                turn=row["turn"],
                principal=row["principal"],
                outcome=row["outcome"],
                events=len(own),
                root=merkle.root(leaf_hash(failpoints.bend("sealer.event", data)) for _, data in own),
                build=self._build,
                policy=self._policy,
                started_us=row["started_us"],
                sealed_us=max(now_us, row["started_us"]),
            )
            entry = receipts.envelope(sealed, origin=head.origin, index=draft.next, prev=draft.link, kid=key.kid)
            signature = receipts.sign_envelope(key.private, entry)
            draft.add(entry, turn=row["turn"], signature=signature, key=key_index)
        graves = await tombstones.due(connection, tenant)
        first_grave = draft.next
        for row in graves:
            draft.add(tombstones.entry(row, origin=head.origin, index=draft.next, prev=draft.link))
        added = await addenda.due(connection, tenant)
        first_added = draft.next
        for late in added:
            draft.add(addenda.entry(late, origin=head.origin, index=draft.next, prev=draft.link))
        await _write(connection, tenant, draft)
        for index, row in enumerate(graves, first_grave):
            await tombstones.place(connection, row, origin=head.origin, index=index)
        for index, late in enumerate(added, first_added):
            await addenda.place(connection, late, origin=head.origin, index=index)
        failpoints.reach("sealer.written")
        await _recompute(connection, head, draft)
        failpoints.reach("sealer.sign")
        await self._sign(connection, head, draft)
        failpoints.reach("sealer.signed")
        ids = [row["turn"] for row in whole]
        await connection.execute(
            "UPDATE core.turn SET state = 'sealed' WHERE tenant = $1 AND turn = ANY ($2)", tenant, ids
        )
        return ids, (head.origin, key_index)

    async def _close_last(self, connection: asyncpg.Connection, head: Log) -> "Last | None":
        """Close the log of the year before, if there is one: its last entry names `head`, which goes on from it."""
        old = await logs.last_open(connection, head.tenant, head.year)
        if old is None:
            return None
        await self._copies.compare(old)
        draft = Draft(old, await self._frontier(connection, old))
        draft.add(receipts.closing_leaf(origin=old.origin, index=draft.next, prev=draft.link, successor=head.origin))
        await _write(connection, head.tenant, draft)
        await _recompute(connection, old, draft)
        await self._sign(connection, old, draft)
        await connection.execute(logs.CLOSE, old.origin)
        log.info("audit.log_closed", log=old.origin, size=draft.next, next=head.origin)
        return {"last": old.origin, "size": draft.next, "root": draft.frontier.root()}

    def _is_whole(self, turn_id: UUID, events: dict[UUID, list["Event"]]) -> bool:
        own = events.get(turn_id, [])
        if len(own) > 1 and own[0][0] == "turn_started" and own[-1][0] == "turn_sealed":
            return True
        self._unsealable.add(turn_id)
        log.error("audit.unsealable", turn=str(turn_id))
        return False

    async def _frontier(self, connection: asyncpg.Connection, head: Log) -> Frontier:
        """The tree as stored, which must be the one that was signed last."""
        span = merkle.root_span(head.size)
        stored = await logs.nodes(connection, head.origin, [span])
        try:
            frontier = Frontier(head.size, [stored[place] for place in span])
        except KeyError:
            raise self._copies.refusal(head.origin, str(head.tenant), "a node of the stored tree is missing") from None
        signed = (0, merkle.EMPTY)
        if head.checkpoint is not None:
            last = notes.parse_checkpoint(head.checkpoint)
            signed = (last.size, last.root)
        if signed != (head.size, frontier.root()):
            raise self._copies.refusal(
                head.origin, str(head.tenant), "the stored tree is not the one that was signed last"
            )
        await self._require_last_entry(connection, head)
        return frontier

    async def _require_last_entry(self, connection: asyncpg.Connection, head: Log) -> None:
        """The last entry stands where the chain ends: a tail that was cut off is missed before anything follows it."""
        if head.size == 0:
            return
        last = await connection.fetchval(LAST_ENTRY, head.origin, head.size - 1)
        if last is not None:
            with contextlib.suppress(ValueError, KeyError):  # an entry of no form is not the last one that was sealed
                prev = bytes.fromhex(json.loads(last)["prev"])
                if receipts.chain_next(head.origin, head.size - 1, prev, leaf_hash(last)) == head.link:
                    return
        raise self._copies.refusal(head.origin, str(head.tenant), f"entry {head.size - 1}, the last one, is not there")

    def _authorise(self, draft: Draft) -> tuple[EnvelopeKey, int]:
        """The envelope key, and the index of a leaf that lets it sign this batch; appends one where needed."""
        if self._key.is_old:
            self._key = new_envelope_key()
            self._key_leaves.clear()
        index = self._key_leaves.get(draft.origin)
        if index is None or draft.next + BATCH - 1 > index + receipts.SPAN:
            index = draft.next
            draft.add(receipts.key_leaf(origin=draft.origin, index=index, prev=draft.link, public=self._key.public))
        return self._key, index

    async def _sign(self, connection: asyncpg.Connection, head: Log, draft: Draft) -> None:
        """Sign the new head and store it. Its time never goes back, whatever the clock does."""
        signer = self._keys.signer(head.origin)
        now = self._now_us(head) // 1_000_000
        root = draft.frontier.root()
        note = signer.sign(draft.next, failpoints.bend("sealer.root", root), at_seconds=now)
        if notes.verify_checkpoint(note, signer.keys).root != root:
            raise RecomputationError("head")
        await connection.execute(KEY, head.origin, self._keys.kid, head.tenant, [str(key) for key in signer.keys], now)
        await connection.execute(CHECKPOINT, head.origin, draft.next, head.tenant, self._keys.kid, note)
        await connection.execute(HEAD, head.origin, draft.next, draft.link, note)

    def _now_us(self, head: Log) -> int:
        """The time, but never before the log's last head: order is by index, and no stated time contradicts it."""
        now = self._clock() // 1000
        last = notes.signed_at(notes.parse_checkpoint(head.checkpoint)) * 1_000_000 if head.checkpoint else 0
        if now < last:
            log.warning("audit.clock_went_back", log=head.origin, seconds=(last - now) // 1_000_000)
        return max(now, last)

    async def _listen(self) -> None:
        def wake(*_: object) -> None:
            self._wake.set()

        while True:
            try:
                async with self._connections.system.acquire() as connection:
                    await connection.add_listener("aibox_ended", wake)
                    try:
                        while not connection.is_closed():
                            wake()
                            await asyncio.sleep(POLL_SECONDS)
                    finally:
                        await connection.remove_listener("aibox_ended", wake)
            except (*LOST, StateUnavailable, asyncpg.PostgresError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            if not self._waiters:
                self._hurry.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(UNHURRIED_SECONDS):
                        await self._hurry.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._wake.clear()
            try:
                await self.seal_pending()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.seal_failed", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()


class Last(TypedDict):
    """The log of the year before, as it was closed."""

    last: str
    size: int
    root: bytes


Event = tuple[str, bytes]
"""Type and exact bytes."""


async def _events(connection: asyncpg.Connection, tenant: UUID, turns: Sequence[UUID]) -> dict[UUID, list[Event]]:
    """The events of each turn in order, up to and including its `turn_sealed`."""
    found: dict[UUID, list[Event]] = {}
    for row in await connection.fetch(EVENTS, tenant, turns):
        own = found.setdefault(row["turn"], [])
        if row["seq"] == len(own) and (not own or own[-1][0] != "turn_sealed"):
            own.append((row["type"], row["data"]))
    return found


async def _write(connection: asyncpg.Connection, tenant: UUID, draft: Draft) -> None:
    await connection.executemany(
        ENTRY,
        [
            (draft.origin, index, tenant, failpoints.bend("sealer.entry", data), *rest)
            for index, data, *rest in draft.rows
        ],
    )
    await connection.execute(
        "INSERT INTO audit.node (origin, tenant, level, idx, hash)"
        " SELECT $1, $2, l, i, h FROM unnest($3::int[], $4::bigint[], $5::bytea[]) AS x (l, i, h)",
        draft.origin,
        tenant,
        [node.level for node in draft.nodes],
        [node.index for node in draft.nodes],
        [failpoints.bend("sealer.node", node.hash) for node in draft.nodes],
    )


async def _recompute(connection: asyncpg.Connection, head: Log, draft: Draft) -> None:
    """Read back what was written, and come to the same root by other code. One flipped bit once ended a public log."""
    rows = await connection.fetch(
        "SELECT idx, data FROM audit.entry WHERE origin = $1 AND idx >= $2 ORDER BY idx", head.origin, head.size
    )
    if [row["idx"] for row in rows] != list(range(head.size, draft.next)):
        raise RecomputationError("indices")
    await _recompute_tree(connection, head, draft, [row["data"] for row in rows])
    envelopes: dict[UUID, dict[str, Any]] = {}
    for row in rows:
        entry = json.loads(row["data"])
        if entry["@"] == "aibox.turn/1":
            envelopes[UUID(entry["turn"])] = entry
        if entry["@"] == "aibox.addendum/1":
            await _recompute_addendum(connection, head, entry)
    events = await _events(connection, head.tenant, list(envelopes))
    for turn_id, entry in envelopes.items():
        own = [data for _, data in events.get(turn_id, [])]
        if len(own) != entry["events"] or verifier.tree_root(map(verifier.leaf_hash, own)).hex() != entry["root"]:
            raise RecomputationError("events")


async def _recompute_tree(connection: asyncpg.Connection, head: Log, draft: Draft, entries: Sequence[bytes]) -> None:
    """Each stored node that is new is the hash of what stands below it, down to the entries and to the peaks of the old
    tree; and the last entry's proof, which takes in all the other peaks, leads to the root that is to be signed. So
    every proof in it will verify.
    """
    made = tuple(sorted((node.level, node.index) for node in draft.nodes))
    size, root = draft.next, draft.frontier.root()
    before = merkle.root_span(head.size)
    plan = merkle.inclusion_plan(size - 1, size)
    proof = merkle.consistency_plan(head.size, size) if head.size else []
    stored = await logs.nodes(connection, head.origin, [made, before, *plan, *proof])
    for level, index in made:
        if level:
            below = [stored.get((level - 1, place), b"") for place in (2 * index, 2 * index + 1)]
            hashed = verifier.node_hash(*below)
        else:
            hashed = verifier.leaf_hash(entries[index - head.size])
        if stored.get((level, index)) != hashed:
            raise RecomputationError("node")
    old_root = merkle.fold([stored[place] for place in before])
    if not merkle.verify_consistency(head.size, size, merkle.answer(proof, stored), old_root, root):
        raise RecomputationError("consistency")
    # One of them as a stranger will check it, by the verifier's own climb.
    if verifier.climb(verifier.leaf_hash(entries[-1]), size - 1, size, merkle.answer(plan, stored)) != root:
        raise RecomputationError("inclusion")


async def _recompute_addendum(connection: asyncpg.Connection, head: Log, entry: dict[str, Any]) -> None:
    envelope, own = await addenda.stored(connection, head.tenant, UUID(entry["turn"]), entry["first"], entry["events"])
    if envelope is None or verifier.leaf_hash(envelope).hex() != entry["entry"] or len(own) != entry["events"]:
        raise RecomputationError("addendum")
    if verifier.tree_root(map(verifier.leaf_hash, own)).hex() != entry["root"]:
        raise RecomputationError("late events")


PENDING = """
SELECT turn, principal, outcome, started_us FROM core.turn
WHERE tenant = $1 AND state = 'ended' AND turn <> ALL ($2) ORDER BY turn LIMIT $3
"""
EVENTS = "SELECT turn, seq, type, data FROM core.event WHERE tenant = $1 AND turn = ANY ($2) ORDER BY turn, seq"
LAST_ENTRY = "SELECT data FROM audit.entry WHERE origin = $1 AND idx = $2"
ENTRY = """
INSERT INTO audit.entry (origin, idx, tenant, data, turn, signature, key_idx) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
KEY = """
INSERT INTO audit.verifier_key (origin, signer, tenant, vkeys, since) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
CHECKPOINT = "INSERT INTO audit.checkpoint (origin, size, tenant, signer, note) VALUES ($1, $2, $3, $4, $5)"
HEAD = "UPDATE audit.log SET size = $2, link = $3, checkpoint = $4 WHERE origin = $1"

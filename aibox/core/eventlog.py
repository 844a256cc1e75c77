"""The one durable log, as writers see it: `EventLog.log` returns when the events are on disk.

Events of all turns that are logged while one insert is in flight go into the next (group commit), up to a number and a
size; when too much waits, new turns are refused first, so that those which run can end. The rows of a turn
are numbered 0, 1, 2, … by its ledger, which lives in the process that runs the turn; (tenant, turn, seq) is the primary
key, so a repeated insert changes nothing and a foreign one is found out by comparing the stored bytes.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.errors import AuditUnavailable, StateUnavailable, TurnEnded
from aibox.core.events import Event, Recorded, TurnSealed, TurnStarted, record
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn

log = structlog.get_logger("aibox.core.eventlog")

LEASE_SECONDS = 60.0
"""A turn whose lease ran out, plus the grace, is sealed `abandoned` by the reaper (audit.md)."""

RENEWALS = 3
"""How often a lease is renewed in the time it lasts."""

MAX_BATCH = 512
MAX_BATCH_BYTES = 8 * 1024**2
MAX_WAITING = 20_000
MAX_WAITING_BYTES = 256 * 1024**2
ROOM_FOR_NEW = 0.5
"""The part of what may wait that turns which have not begun may fill; the rest is for those that run."""

SIBLINGS, SIBLINGS_SECONDS = 8, 0.002
"""With so many turns open, an insert waits so long for others to join it: as PostgreSQL's `commit_siblings`, by which
16 calls at once cost the database a quarter less."""

FULL = asyncpg.InsufficientResourcesError
"""No disk, no memory: what one entry meets, the others of its batch meet too."""

RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 3.0)

INSERT = """
WITH started AS (
    INSERT INTO core.turn (tenant, turn, principal, parent, started_us, lease_until)
    SELECT t, u, p, nullif(r, '')::uuid, s, now() + make_interval(secs => $14)
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[]) AS x (t, u, p, r, s)
    ON CONFLICT DO NOTHING
), kept AS (
    INSERT INTO core.artifact (tenant, turn, commitment, kid, sealed)
    SELECT * FROM unnest($6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::bytea[])
    ON CONFLICT DO NOTHING
), ended AS (
    UPDATE core.turn SET state = 'ended', outcome = x.o
    FROM unnest($15::uuid[], $16::uuid[], $17::text[]) AS x (t, u, o)
    WHERE core.turn.tenant = x.t AND core.turn.turn = x.u AND core.turn.state = 'open'
), logged AS (
    INSERT INTO core.event (tenant, turn, seq, type, source, data)
    SELECT x.t, x.u, x.q, x.y, x.m, x.d
    FROM unnest($11::uuid[], $12::uuid[], $13::int[], $18::text[], $19::text[], $20::bytea[])
         AS x (t, u, q, y, m, d)
    WHERE NOT EXISTS (
        SELECT 1 FROM core.turn o WHERE o.tenant = x.t AND o.turn = x.u AND o.state NOT IN ('open', 'waiting')
    )
    ON CONFLICT (tenant, turn, seq) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM logged) AS logged, pg_notify('aibox_event', $21),
       CASE WHEN cardinality($15::uuid[]) > 0 THEN pg_notify('aibox_ended', '') END
"""


class Ledger:
    """The numbering of one turn that runs in this process."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.next: int | None = 0
        """The next number; None when the last write's fate is unknown and the table must be asked."""
        self.started = False
        """Whether the turn is known to stand in the table."""
        self.in_flight: asyncio.Future[None] | None = None
        """A write that its caller no longer waits for."""
        self.is_left = False
        """Whether the turn's lease is to run out."""

    async def settle(self) -> None:
        """Return when no write is in flight, so that the table can be asked how far it got."""
        while (written := self.in_flight) is not None:
            await asyncio.wait({written})
            self.started = self.started or written.exception() is None
            if self.in_flight is written:
                self.in_flight = None


class Entry(msgspec.Struct, frozen=True):
    """What one call of `log` wants written."""

    turn: Turn
    rows: tuple[Recorded, ...]
    artifacts: tuple[tuple[str, str, bytes], ...]
    outcome: str | None
    written: asyncio.Future[None]

    @property
    def size(self) -> int:
        """Bytes that go to the database."""
        return sum(len(row.data) for row in self.rows) + sum(len(sealed) for _, _, sealed in self.artifacts)


def one_class(_: str) -> str:
    """All artifacts are kept equally long."""
    return "content"


class EventLog:
    """Writes events before their acts. All methods raise `AuditUnavailable` when nothing can be made durable."""

    def __init__(
        self,
        connections: Connections,
        keys: DataKeys,
        *,
        lease_seconds: float = LEASE_SECONDS,
        may_wait: int = MAX_WAITING,
        class_of: Callable[[str], str] = one_class,
    ) -> None:
        """At most `may_wait` calls wait to be written.

        `class_of` tells for an event's type how long its artifacts are kept: each class has data keys of its own.
        """
        self._connections = connections
        self._keys = keys
        self._class_of = class_of
        self.lease_seconds = lease_seconds
        self._ledgers: dict[UUID, tuple[Turn, Ledger]] = {}
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue(may_wait)
        self._waiting_bytes = 0
        self._held: Entry | None = None
        """An entry that did not fit into the last batch: the first of the next."""
        self._running = False
        self.closed_to_new: str | None = None
        """Why no turn may begin now, as a sentence for the caller; None when turns may."""

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Write until the block ends; then what still waits is written."""
        writer = tasks.create_task(self._write(), name="eventlog.write")
        renewer = tasks.create_task(self._renew(), name="eventlog.renew")
        self._running = True
        try:
            yield
        finally:
            self._running = False
            renewer.cancel()
            await self._waiting.join()
            writer.cancel()
            await asyncio.gather(writer, renewer, return_exceptions=True)

    async def log(self, turn: Turn, *events: Event) -> tuple[Recorded, ...]:
        """Make `events` durable, in this order, and return them as recorded. The act they announce may follow.

        Raises `TurnEnded` for a turn that is over (also when the reaper ended it).
        """
        return await self._log(turn, events, outcome=None)

    async def end(
        self, turn: Turn, outcome: str, *, events: Sequence[Event] = (), children: Iterable[UUID] = ()
    ) -> None:
        """Log `events` and `turn_sealed`, and ask for the seal. A turn that had recorded nothing leaves nothing.

        `outcome` is `sealed`, `failed`, `denied` or `abandoned` (audit.md). Ending twice changes nothing. A turn that
        could not be ended is left to the reaper.
        """
        known = self._ledgers.get(turn.id)
        sealed = TurnSealed(outcome=outcome, children=tuple(str(child) for child in children))
        try:
            if known is not None:
                await known[1].settle()
                await self._find_out(turn, known[1])
            if self.is_open(turn):
                await self._log(turn, (*events, sealed), outcome=outcome)
            else:
                self._ledgers.pop(turn.id, None)
        finally:
            self.leave(turn)

    def leave(self, turn: Turn) -> None:
        """Renew the turn's lease no more: if it has not ended, the reaper seals it. For whoever will not come back."""
        known = self._ledgers.get(turn.id)
        if known is not None:
            known[1].is_left = True

    def is_open(self, turn: Turn) -> bool:
        """Whether the turn has recorded something in this process and has not ended."""
        known = self._ledgers.get(turn.id)
        return known is not None and known[1].started

    async def _find_out(self, turn: Turn, ledger: Ledger) -> None:
        """Whether a turn began whose first write was cut off: it may be on disk all the same."""
        async with ledger.lock:
            if ledger.next is None and not ledger.started:
                with contextlib.suppress(TurnEnded):
                    ledger.next = await self._stored_next(turn)
                    ledger.started = ledger.next > 0

    @contextlib.asynccontextmanager
    async def numbering(self, turn: Turn, events: Sequence[Event]) -> AsyncGenerator[Entry]:
        """Rows for `events`, numbered next in `turn`; the caller writes them inside the block.

        When the block raises, their fate is unknown, and the next write asks the table first.
        """
        _, ledger = self._ledgers.setdefault(turn.id, (turn, Ledger()))
        async with ledger.lock:
            await ledger.settle()
            first = await self._stored_next(turn) if ledger.next is None else ledger.next
            if first == 0:
                self._admit()
            ledger.next = None
            listed: list[Event] = [*events] if first else [_started(turn), *events]
            rows = tuple(record(turn, event, seq=first + n) for n, event in enumerate(listed))
            artifacts = await self.seal_artifacts(turn, listed)
            try:
                yield Entry(turn, rows, artifacts, None, asyncio.get_running_loop().create_future())
            except TurnEnded:
                self._ledgers.pop(turn.id, None)
                raise
            ledger.next = first + len(rows)
            ledger.started = True

    async def _log(self, turn: Turn, events: Sequence[Event], *, outcome: str | None) -> tuple[Recorded, ...]:
        if not self._running:
            raise AuditUnavailable()
        _, ledger = self._ledgers.setdefault(turn.id, (turn, Ledger()))
        async with self.numbering(turn, events) as numbered:
            entry = msgspec.structs.replace(numbered, outcome=outcome)
            if self._waiting.full() or self._waiting_bytes + entry.size > MAX_WAITING_BYTES:
                raise AuditUnavailable()
            self._waiting.put_nowait(entry)
            self._waiting_bytes += entry.size
            # A caller that is cancelled leaves; the rows are written all the same, and the next write waits for them.
            ledger.in_flight = entry.written
            await asyncio.shield(entry.written)
            ledger.in_flight = None
        if outcome is not None:
            self._ledgers.pop(turn.id, None)
        return entry.rows

    def _admit(self) -> None:
        """Refuse a turn before it begins when it could not be kept to its end."""
        if self.closed_to_new is not None:
            raise AuditUnavailable(self.closed_to_new)
        full = max(self._waiting.qsize() / self._waiting.maxsize, self._waiting_bytes / MAX_WAITING_BYTES)
        if full > ROOM_FOR_NEW:
            raise AuditUnavailable("Too many events wait for the audit log. Try again shortly.")

    async def seal_artifacts(self, turn: Turn, events: Sequence[Event]) -> tuple[tuple[str, str, bytes], ...]:
        """The events' artifacts as rows: commitment, key id, sealed content."""
        rows = []
        for event in events:
            for artifact in event.artifacts:
                subject = data_subject(turn, self._class_of(event.type))
                key = await self._keys.of(turn.tenant, subject)
                plain = artifact.salt + artifact.data
                sealed = key.seal_bytes(plain, owner=artifact.commitment, field="artifact")
                rows.append((artifact.commitment, key.kid, sealed))
        return tuple(rows)

    async def _stored_next(self, turn: Turn) -> int:
        try:
            row = await self._connections.system.fetchrow(
                "SELECT coalesce(max(seq) + 1, 0) AS next, bool_or(type = 'turn_sealed') AS ended"
                " FROM core.event WHERE tenant = $1 AND turn = $2",
                turn.tenant,
                turn.id,
            )
        except (*LOST, StateUnavailable):
            raise AuditUnavailable() from None
        assert row is not None
        if row["ended"]:
            self._ledgers.pop(turn.id, None)
            raise TurnEnded()
        return int(row["next"])

    async def _write(self) -> None:
        while True:
            entries = await self._batch()
            try:
                await self._insert(entries)
            except AuditUnavailable as error:
                _fail(entries, error)
            except Exception:
                # Every waiter of every later batch relies on this task going on.
                log.exception("eventlog.failed")
                _fail(entries, AuditUnavailable())
            finally:
                for _ in entries:
                    self._waiting.task_done()

    async def _batch(self) -> list[Entry]:
        """What waits, in order, as far as it fits one insert."""
        first = self._held or await self._waiting.get()
        self._held = None
        if len(self._ledgers) >= SIBLINGS:
            await asyncio.sleep(SIBLINGS_SECONDS)
        entries, size = [first], first.size
        while len(entries) < MAX_BATCH and not self._waiting.empty():
            entry = self._waiting.get_nowait()
            if size + entry.size > MAX_BATCH_BYTES:
                self._held = entry
                break
            entries.append(entry)
            size += entry.size
        self._waiting_bytes -= size
        return entries

    async def _insert(self, entries: Sequence[Entry]) -> None:
        try:
            logged = await self._carry_out(entries)
        except asyncpg.PostgresError as error:
            # The database answered and refused: a full disk, or an entry that no table takes. Nothing of it acts.
            if len(entries) == 1 or isinstance(error, FULL):
                log.error("eventlog.refused", error=str(error))
                raise AuditUnavailable() from error
            await self._insert_apart(entries)
            return
        if logged == sum(len(entry.rows) for entry in entries):
            for entry in entries:
                _resolve(entry)
            return
        for entry in entries:
            await self._compare(entry)

    async def _insert_apart(self, entries: Sequence[Entry]) -> None:
        """Half by half, so that one entry that is refused does not take the others with it."""
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            try:
                await self._insert(half)
            except AuditUnavailable as error:
                _fail(half, error)

    async def _carry_out(self, entries: Sequence[Entry]) -> int:
        """Insert, again and again while the database is away; the number of rows that were new."""
        arguments = _arguments(entries, self.lease_seconds)
        for pause in (*RETRY_SECONDS, None):
            try:
                failpoints.reach("eventlog.insert")
                logged: int = await self._connections.system.fetchval(INSERT, *arguments)
                failpoints.reach("eventlog.inserted")
                return logged
            except (*LOST, StateUnavailable) as error:
                log.warning("eventlog.lost", error=type(error).__name__)
                if pause is None:
                    raise AuditUnavailable() from None
                await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last pause is None")

    async def _compare(self, entry: Entry) -> None:
        """Some rows were there already: ours from an unknown commit, or another's (the reaper ended the turn)."""
        try:
            stored = await self._connections.system.fetch(
                "SELECT seq, data FROM core.event WHERE tenant = $1 AND turn = $2 AND seq >= $3",
                entry.turn.tenant,
                entry.turn.id,
                entry.rows[0].seq,
            )
        except (*LOST, StateUnavailable):
            _fail([entry], AuditUnavailable())
            return
        found = {row["seq"]: row["data"] for row in stored}
        if all(found.get(row.seq) == row.data for row in entry.rows):
            _resolve(entry)
        else:
            _fail([entry], TurnEnded())

    async def renew(self) -> None:
        """Renew the leases of the turns that run here, and forget those that were left."""
        for turn, ledger in [*self._ledgers.values()]:
            if ledger.is_left:
                del self._ledgers[turn.id]
        turns = [turn for turn, _ in self._ledgers.values()]
        if turns:
            await self._connections.system.execute(
                "UPDATE core.turn SET lease_until = now() + make_interval(secs => $3)"
                " FROM unnest($1::uuid[], $2::uuid[]) AS x (t, u)"
                " WHERE core.turn.tenant = x.t AND core.turn.turn = x.u AND core.turn.state = 'open'",
                [turn.tenant for turn in turns],
                [turn.id for turn in turns],
                self.lease_seconds,
            )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / RENEWALS)
            try:
                await self.renew()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                # Leases have a grace of several renewals; the next one tries again.
                log.warning("eventlog.renew_failed", error=type(error).__name__)


def data_subject(turn: Turn, kept_as: str) -> str:
    """Whose data key seals an artifact of `turn`: a person's, for one conversation, class and month.

    Destroying all that begin with the pseudonym erases the person, the next part one conversation; the last two let
    what is old be forgotten (docs/audit.md, "Erasure").
    """
    month = time.strftime("%Y-%m", time.gmtime())
    return f"{turn.principal.pseudonym}/{turn.conversation or '-'}/{kept_as}/{month}"


def _started(turn: Turn) -> TurnStarted:
    return TurnStarted(
        principal=turn.principal.pseudonym,
        kind=turn.principal.kind,
        parent=str(turn.parent) if turn.parent else None,
        key=turn.principal.key_id,
    )


def _arguments(entries: Sequence[Entry], lease_seconds: float) -> tuple[Any, ...]:
    opened = [entry.turn for entry in entries if entry.rows[0].seq == 0]
    kept = [(entry.turn, *artifact) for entry in entries for artifact in entry.artifacts]
    rows = [row for entry in entries for row in entry.rows]
    ended = [entry for entry in entries if entry.outcome is not None]
    return (
        [turn.tenant for turn in opened],
        [turn.id for turn in opened],
        [turn.principal.pseudonym for turn in opened],
        [str(turn.parent or "") for turn in opened],
        [turn.started_us for turn in opened],
        [item[0].tenant for item in kept],
        [item[0].id for item in kept],
        [item[1] for item in kept],
        [item[2] for item in kept],
        [item[3] for item in kept],
        [row.tenant for row in rows],
        [row.turn for row in rows],
        [row.seq for row in rows],
        lease_seconds,
        [entry.turn.tenant for entry in ended],
        [entry.turn.id for entry in ended],
        [entry.outcome for entry in ended],
        [row.type for row in rows],
        [row.source for row in rows],
        [row.data for row in rows],
        " ".join(sorted({row.type for row in rows})),
    )


def _resolve(entry: Entry) -> None:
    if not entry.written.done():
        entry.written.set_result(None)


def _fail(entries: Sequence[Entry], error: AuditUnavailable | TurnEnded) -> None:
    for entry in entries:
        if not entry.written.done():
            entry.written.set_exception(type(error)(str(error)))

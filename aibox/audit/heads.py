"""Copies of the signed heads outside the database, and the check that the database still agrees with them.

Under `audit/<tenant>/<year>/<id>/`: `heads/<size>` is written once, `checkpoint` is the newest. A head in the copy that
the database does not know, or contradicts, means that rows were cut off or an old backup was restored: then nothing
more is signed for that log until a person has looked (audit.md, F7 and F8). In a bucket with Object Lock the heads can
be locked, so that not even who owns the bucket can destroy one.
"""

import contextlib
import time
from uuid import UUID

import structlog

from aibox.audit import logs, merkle, notes
from aibox.audit.logs import Connection, Log
from aibox.audit.notes import Checkpoint, NoteError, VerifierKey
from aibox.core import failpoints
from aibox.core.connections import Connections
from aibox.stores import ObjectChanged, ObjectMissing, Objects

log = structlog.get_logger("aibox.audit.heads")

CHECK_SECONDS = 60.0


class HeadRefused(Exception):
    """The log may not be signed: it is older than, or contradicts, a head that was signed before."""


class HeadCopies:
    """The external copy of all heads, in the object store."""

    def __init__(self, connections: Connections, objects: Objects, *, lock_days: int = 0) -> None:
        """With `lock_days` each head's copy is locked for so long, where the object store can."""
        self._connections = connections
        self._objects = objects
        self._lock_days = lock_days
        self._checked: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        """Logs that are not signed any more, with the reason; `aibox doctor` shows them."""
        self._refused_tenants: dict[str, str] = {}
        self._told_unlocked = False

    def why_not(self, tenant: UUID) -> str | None:
        """Why the tenant's log is not signed any more, as a sentence; None when it is."""
        reason = self._refused_tenants.get(str(tenant))
        return reason and f"The log is not signed any more: {reason}."

    async def locked_for(self) -> int:
        """For how many days a head is locked that is copied now; 0 when locks are not wanted, or not to be had."""
        if not self._lock_days:
            return 0
        if await self._objects.can_keep():
            return self._lock_days
        if not self._told_unlocked:
            self._told_unlocked = True
            log.warning("audit.heads_not_locked", reason="the object store has no Object Lock")
        return 0

    async def look(self) -> None:
        """Compare every log with its copy; what does not agree is refused from then on."""
        for head in await logs.all_of(self._connections.system):
            if head.origin not in self.refused:
                with contextlib.suppress(HeadRefused):  # told and remembered where it was found
                    await self.compare(head)
                    self._checked[head.origin] = time.monotonic()

    async def require_new(self, tenant: str, year: int) -> None:
        """Before a tenant's first log of a year: there must be no copy of one."""
        prefix = f"audit/{tenant}/{year}/"
        async for key in self._objects.keys(prefix):
            raise self.refusal(prefix, tenant, f"there is a copy at {key}, but the database has no such log")

    async def require_agreement(self, head: Log) -> None:
        """Raise `HeadRefused` when the copy has a head the database lost or contradicts. Asks once a minute a log."""
        if head.origin in self.refused:
            raise HeadRefused(self.refused[head.origin])
        if time.monotonic() - self._checked.get(head.origin, float("-inf")) < CHECK_SECONDS:
            return
        await self.compare(head)
        self._checked[head.origin] = time.monotonic()

    async def compare(self, head: Log) -> None:
        """Raise `HeadRefused` when the copy has a head the database lost or contradicts, now."""
        newest = await self._newest(head)
        if newest is not None:
            await self._compare(self._connections.system, head, newest[0])

    async def copy_out(self, head: Log) -> None:
        """Copy the newest signed head if it is not in the copy yet, and remember how far that went.

        Those that were signed since the last copy are beginnings of it: whoever contradicts one contradicts it too.
        """
        pool = self._connections.system
        row = await pool.fetchrow(
            "SELECT size, note FROM audit.checkpoint WHERE origin = $1 AND size > $2 ORDER BY size DESC LIMIT 1",
            head.origin,
            head.anchored,
        )
        if row is None:
            return
        failpoints.reach("heads.copy")
        await self._write_once(head, row["size"], row["note"].encode())
        failpoints.reach("heads.copied")
        await self._move_on(head, row["note"])
        failpoints.reach("heads.moved")
        await pool.execute(
            "UPDATE audit.log SET anchored = greatest(anchored, $2) WHERE origin = $1", head.origin, row["size"]
        )

    async def _write_once(self, head: Log, size: int, note: bytes) -> None:
        key = f"{_folder(head)}/heads/{size:016d}"
        try:
            await self._objects.put(key, note, if_absent=True, keep_days=await self.locked_for())
        except ObjectChanged:
            if (await self._objects.get(key)).data != note:
                reason = f"another head of this size, {size} entries, was signed before"
                raise self.refusal(head.origin, str(head.tenant), reason) from None

    async def _move_on(self, head: Log, note: str) -> None:
        """Replace the newest copy by compare-and-swap, if it is an earlier head of the same tree."""
        key = f"{_folder(head)}/checkpoint"
        size = notes.parse_checkpoint(note).size
        while True:
            newest = await self._newest(head)
            try:
                if newest is None:
                    await self._objects.put(key, note.encode(), if_absent=True)
                    return
                checkpoint, etag = newest
                await self._compare(self._connections.system, head, checkpoint)
                if checkpoint.size >= size:  # another replica of this database was faster
                    return
                await self._objects.put(key, note.encode(), if_match=etag)
            except ObjectChanged:
                continue
            return

    async def _newest(self, head: Log) -> tuple[Checkpoint, str] | None:
        try:
            stored = await self._objects.get(f"{_folder(head)}/checkpoint")
        except ObjectMissing:
            return None
        rows = await self._connections.system.fetch(
            "SELECT vkeys FROM audit.verifier_key WHERE origin = $1", head.origin
        )
        for row in rows:
            try:
                keys = [VerifierKey.parse(text) for text in row["vkeys"]]
                return notes.verify_checkpoint(stored.data.decode("utf-8", "replace"), keys), stored.etag
            except NoteError:
                continue
        raise self.refusal(head.origin, str(head.tenant), "the copy's newest head is not signed by a key of this log")

    async def _compare(self, connection: Connection, head: Log, copy: Checkpoint) -> None:
        """The copied head must be one that the stored tree has had."""
        size = await connection.fetchrow("SELECT size FROM audit.log WHERE origin = $1", head.origin)
        if size is None or size["size"] < copy.size:
            raise self.refusal(
                head.origin, str(head.tenant), f"the copy has a head of {copy.size} entries, the database fewer"
            )
        span = merkle.root_span(copy.size)
        stored = await logs.nodes(connection, head.origin, [span])
        if len(stored) < len(span) or merkle.fold([stored[place] for place in span]) != copy.root:
            raise self.refusal(
                head.origin, str(head.tenant), f"the copy's head of {copy.size} entries is not the database's"
            )

    def refusal(self, origin: str, tenant: str, reason: str) -> HeadRefused:
        """What to raise for a log that must not be signed; it is told once and remembered."""
        self.refused[origin] = self._refused_tenants[tenant] = reason
        log.error("audit.head_refused", log=origin, reason=reason)
        return HeadRefused(reason)


def _folder(head: Log) -> str:
    return f"audit/{head.tenant}/{head.year}/{head.id}"

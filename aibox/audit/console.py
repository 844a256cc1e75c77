"""What an operator does with the log at the machine's console: look, compare, rotate keys, and give up a lost log.

`aibox-admin audit` calls it. Nothing here is served over HTTP.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import Struct

from aibox.audit import KeysRotated, LogAbandoned, Verification
from aibox.audit.heads import HeadCopies
from aibox.audit.trail import Trail
from aibox.core.connections import Connections
from aibox.core.errors import Conflict, NotAvailable, NotFound
from aibox.core.eventlog import EventLog
from aibox.core.keyring import add_key, drop_old_keys
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn, system_turn
from aibox.stores import Objects

SECRETS = "secrets"


class LogFaulty(Conflict):
    """The stored log is not what was signed."""

    code = "log_faulty"
    sentence = "The log is not what was signed."


class Finding(Struct, frozen=True, kw_only=True):
    """One line of `fsck`."""

    ok: bool
    line: str


class Console:
    """The operator's side of the audit log. `keys_file` is where generated key rings are kept."""

    def __init__(
        self,
        connections: Connections,
        log: EventLog,
        keys: DataKeys,
        objects: Objects,
        trail: Trail,
        copies: HeadCopies,
        keys_file: Path,
    ) -> None:
        self._connections = connections
        self._log = log
        self._keys = keys
        self._objects = objects
        self._trail = trail
        self._copies = copies
        self._keys_file = keys_file

    async def fsck(self) -> AsyncIterator[Finding]:
        """Every log entry by entry against what was signed, the copies outside, and what should not be left over."""
        pool = self._connections.system
        for row in await pool.fetch("SELECT DISTINCT tenant FROM audit.log ORDER BY tenant"):
            yield _finding(row["tenant"], await self._trail.verify(system_turn(row["tenant"])))
        await self._copies.look()
        for origin, reason in self._copies.refused.items():
            yield Finding(ok=False, line=f"{origin} is not signed any more: {reason}")
        for what, query in LEFT_OVER.items():
            count = await pool.fetchval(query)
            yield Finding(ok=not count, line=f"{count} {what}")

    async def heads(self, tenant: UUID) -> list[str]:
        """The newest signed head of each log of `tenant`, the newest year first."""
        rows = await self._connections.system.fetch(
            "SELECT checkpoint FROM audit.log WHERE tenant = $1 AND checkpoint IS NOT NULL ORDER BY year DESC", tenant
        )
        return [row["checkpoint"] for row in rows]

    async def add_key(self, turn: Turn, ring: str) -> str:
        """Put a new key first in a generated ring; its id. Running servers use it from their next start on."""
        kid = add_key(self._keys_file, ring)
        await self._log.log(turn, KeysRotated(ring=ring, key=kid, act="added"))
        return kid

    async def rewrap(self, turn: Turn) -> int:
        """Wrap all data keys by the first master key, which every running server must know; the number wrapped."""
        count = await self._keys.rewrap()
        await self._log.log(turn, KeysRotated(ring=SECRETS, key="", act="rewrapped"))
        return count

    async def drop_old(self, turn: Turn) -> list[str]:
        """Remove all master keys but the first: a backup's copy of a destroyed key opens with none of ours then."""
        current = self._keys.master_kid
        left = await self._connections.system.fetchval(
            "SELECT count(*) FROM core.data_key WHERE split_part(wrapped, ':', 2) <> $1", current
        )
        if left:
            raise Conflict(f"{left} data keys are still wrapped by an older key: run `rotate-keys rewrap` first.")
        dropped = drop_old_keys(self._keys_file, SECRETS)
        await self._log.log(turn, KeysRotated(ring=SECRETS, key=",".join(dropped), act="dropped"))
        return dropped

    async def refused(self) -> dict[str, str]:
        """Logs that do not agree with their copies, with the reason."""
        await self._copies.look()
        return dict(self._copies.refused)

    async def abandon(self, turn: Turn, origin: str) -> int:
        """Give a log up for good: its copies are kept aside, its turns are sealed anew in a new log; their number.

        Only for a log that is refused: then the newest data is lost, and whoever pinned the old log must know.
        """
        reason = (await self.refused()).get(origin)
        if reason is None:
            raise NotFound("Only a log that is refused can be given up; `aibox-admin audit recover` lists them.")
        assert self._connections.urls is not None
        if not self._connections.urls.owner:
            raise NotAvailable("Set AIBOX_DATABASE_OWNER_URL: only the owner may remove a log.")
        row = await self._connections.system.fetchrow(
            "SELECT tenant, id, year FROM audit.log WHERE origin = $1", origin
        )
        assert row is not None  # it was just compared
        await self._log.log(turn, LogAbandoned(log=origin, reason=reason))
        folder = f"audit/{row['tenant']}/{row['year']}/{row['id']}/"
        copies = [key async for key in self._objects.keys(folder)]
        for key in copies:
            await self._objects.put(f"abandoned/{key}", (await self._objects.get(key)).data)
        owner = await asyncpg.connect(self._connections.urls.owner)
        try:
            async with owner.transaction():
                count = await owner.fetchval(REOPEN, origin)
                for statement in REMOVE:
                    await owner.execute(statement, origin)
        finally:
            await owner.close()
        for key in copies:
            await self._objects.delete(key)
        return int(count)


def _finding(tenant: UUID, found: Verification) -> Finding:
    if found.first_bad is None:
        return Finding(ok=True, line=f"tenant {tenant}: {found.checked} entries are what was signed")
    bad = found.first_bad
    place = f"entry {bad.idx} of {bad.log}" + (f", turn {bad.turn_id}" if bad.turn_id else "")
    seq = "" if bad.seq is None else f", event {bad.seq}"
    return Finding(ok=False, line=f"tenant {tenant}: {place}{seq}: {bad.reason}")


LEFT_OVER = {
    "turns with events have no row": (
        "SELECT count(*) FROM (SELECT tenant, turn FROM core.event EXCEPT SELECT tenant, turn FROM core.turn) x"
    ),
    "turns are marked sealed without an entry": (
        "SELECT count(*) FROM core.turn t WHERE state = 'sealed' AND NOT EXISTS"
        " (SELECT 1 FROM audit.entry e WHERE e.tenant = t.tenant AND e.turn = t.turn)"
    ),
    "turns have events after their seal that no addendum has": (
        "SELECT count(*) FROM core.turn t WHERE state = 'sealed' AND"
        " (SELECT max(seq) FROM core.event e WHERE e.tenant = t.tenant AND e.turn = t.turn) <>"
        " (SELECT min(seq) FROM core.event e WHERE e.tenant = t.tenant AND e.turn = t.turn AND type = 'turn_sealed') +"
        " (SELECT coalesce(sum(events), 0) FROM audit.addendum a WHERE a.tenant = t.tenant AND a.turn = t.turn)"
    ),
    "contents have no key": (
        "SELECT count(*) FROM core.artifact a WHERE NOT EXISTS"
        " (SELECT 1 FROM core.data_key k WHERE k.tenant = a.tenant AND k.kid = a.kid)"
    ),
}
"""What a sound database has none of."""

REOPEN = """
WITH again AS (
    UPDATE core.turn t SET state = 'ended' FROM audit.entry e
    WHERE e.origin = $1 AND t.tenant = e.tenant AND t.turn = e.turn AND t.state = 'sealed' RETURNING 1
), added AS (
    UPDATE audit.addendum a SET origin = NULL, idx = NULL
    WHERE a.origin = $1 OR EXISTS (
        SELECT 1 FROM audit.entry e WHERE e.origin = $1 AND e.tenant = a.tenant AND e.turn = a.turn
    )
), buried AS (
    UPDATE audit.tombstone SET origin = NULL, idx = NULL WHERE origin = $1
)
SELECT count(*) FROM again
"""
REMOVE = tuple(
    f"DELETE FROM audit.{table} WHERE origin = $1"  # noqa: S608 - the names stand in the next line
    for table in ("stamp", "cosignature", "checkpoint", "verifier_key", "node", "entry", "log")
)

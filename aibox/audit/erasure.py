"""Erases what was said by destroying the keys that sealed it; the log, its heads and old receipts stay as they are.

An erasure is ordered by an event, so that no crash loses it: this module, the memories and the conversations each hear
the event and remove what is theirs, at least once. What was destroyed is written down outside the database too, under
`erased/<tenant>/<turn>`: when an older backup comes back, its keys are destroyed again before anything is served.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from aibox.audit import Erased, ErasureDone, ErasureOrdered, People, RetentionDue, Settings
from aibox.audit.tombstones import MOST_COMMITMENTS
from aibox.core import failpoints
from aibox.core.connections import LOST, Connections
from aibox.core.delivery import Delivery
from aibox.core.errors import AIBoxError, Forbidden
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, Recorded
from aibox.core.keys import CHANNEL, DataKeys
from aibox.core.tasks import beside
from aibox.core.turn import Turn, system_turn
from aibox.stores import ObjectChanged, Objects

log = structlog.get_logger("aibox.audit.erasure")

SUBSCRIBER = "audit.erasure"
FOLDER = "erased/"
RETIRE_EVERY_SECONDS = 6 * 3600.0
KIDS_A_NOTICE = 300
"""Key ids that fit into one NOTIFY."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered and which keys that destroyed, as it stands in the object store: enough to do it again."""

    ordered: UUID
    reason: str
    event: dict[str, Any]
    kids: list[str]


class Erasure:
    """Orders, carries out and repeats erasures."""

    def __init__(
        self,
        settings: Settings,
        connections: Connections,
        log: EventLog,
        keys: DataKeys,
        objects: Objects,
        delivery: Delivery,
        bus: Bus,
        people: People,
    ) -> None:
        self._keep_days = {"content": settings.keep_content_days, "detail": settings.keep_detail_days}
        self._connections = connections
        self._log = log
        self._keys = keys
        self._objects = objects
        self._delivery = delivery
        self._bus = bus
        self._people = people
        bus.subscribe(SUBSCRIBER, self.handle, types={ErasureOrdered.type, RetentionDue.type})

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """First repeat what a restored database has forgotten; then let go of what is too old, until the block ends."""
        await self.replay()
        async with beside(tasks, {"audit.retire": self._retire()}):
            yield

    async def erase(self, turn: Turn, *, user_id: UUID | None = None, conversation: UUID | None = None) -> Erased:
        """Erase what a person said, everywhere or in one conversation; on return it is gone.

        One's own needs no permission, another's `admin.manage_users`. Raises NotFound for an unknown person.
        """
        subject, person = turn.principal.pseudonym, turn.principal.id
        if user_id is not None and user_id != person:
            if not turn.principal.may("admin.manage_users"):
                raise Forbidden("Erasing what another person said needs the permission manage_users.")
            subject, person = (await self._people.user(turn, user_id)).pseudonym, user_id
        event = ErasureOrdered(
            subject=subject,
            person=str(person),
            conversation=None if conversation is None else str(conversation),
            ordered=str(turn.id),
        )
        await self._log.log(turn, event)
        await self._carried_out(ErasureOrdered.type)
        row = await self._connections.system.fetchrow(COUNT, turn.tenant, turn.id)
        return Erased(turn_id=turn.id, contents=row["contents"] if row else 0)

    async def retire(self, now: datetime | None = None) -> int:
        """Order the end of keys that are older than the settings keep them; the number of orders."""
        today, count = now or datetime.now(UTC), 0
        for kept_as, days in self._keep_days.items():
            if not days:
                continue
            before = (today - timedelta(days=days)).strftime("%Y-%m")
            for row in await self._connections.system.fetch(TENANTS_WITH_OLD, kept_as, before):
                turn = system_turn(row["tenant"])
                await self._log.log(turn, RetentionDue(kept_as=kept_as, before=before, ordered=str(turn.id)))
                await self._log.end(turn, "sealed")
                count += 1
        return count

    async def replay(self) -> int:
        """Order again what the object store remembers and this database does not; the number of orders.

        Whatever the database holds is then older than the erasure, and nothing is served before it is carried out.
        """
        count = 0
        async for key in self._objects.keys(FOLDER):
            tenant, ordered = UUID(key.split("/")[1]), UUID(key.split("/")[2])
            if await self._connections.system.fetchval(KNOWN, tenant, ordered):
                continue
            order = msgspec.json.decode((await self._objects.get(key)).data, type=Order)
            kind = RetentionDue if order.reason == "retention" else ErasureOrdered
            turn = system_turn(tenant)
            await self._log.log(turn, msgspec.convert(order.event, kind))
            await self._log.end(turn, "sealed")
            log.warning("audit.erasure_replayed", tenant=str(tenant), ordered=str(ordered))
            count += 1
        if count:
            for kind in (ErasureOrdered, RetentionDue):
                await self._carried_out(kind.type)
        return count

    async def scrub(self) -> None:
        """Write anew the tables that held contents, so that no removed row is left in a file. As the owner: it locks.

        What the write-ahead log and backups hold goes when they are recycled; `rotate-keys` makes the keys in them
        useless at once (docs/audit.md).
        """
        assert self._connections.urls is not None
        owner = await asyncpg.connect(self._connections.urls.owner)
        try:
            for row in await owner.fetch(HOLDING_CONTENTS):
                await owner.execute(f"VACUUM (FULL) {row['name']}")
        finally:
            await owner.close()

    async def handle(self, batch: Sequence[Recorded]) -> None:
        """Destroy the keys that each event orders to be destroyed. Idempotent."""
        for recorded in batch:
            body = recorded.decode()["body"]
            is_request = recorded.type == ErasureOrdered.type
            kids = await self._kids(recorded.tenant, body, is_request=is_request)
            order = Order(
                ordered=UUID(body["ordered"]), reason="request" if is_request else "retention", event=body, kids=kids
            )
            kids = await self._write_down(recorded.tenant, order)
            count = await self._destroy(recorded, order, kids)
            turn = system_turn(recorded.tenant, parent=recorded.turn)
            await self._log.log(turn, ErasureDone(ordered=body["ordered"], keys=len(kids), contents=count))
            await self._log.end(turn, "sealed")

    async def _kids(self, tenant: UUID, body: dict[str, Any], *, is_request: bool) -> list[str]:
        if not is_request:
            rows = await self._connections.system.fetch(OLD_KEYS, tenant, body["kept_as"], body["before"])
        elif body["conversation"] is None:
            rows = await self._connections.system.fetch(KEYS_OF_PERSON, tenant, body["subject"])
        else:
            prefix = f"{body['subject']}/{body['conversation']}/"
            rows = await self._connections.system.fetch(KEYS_WITH_PREFIX, tenant, prefix)
        return [row["kid"] for row in rows]

    async def _write_down(self, tenant: UUID, order: Order) -> list[str]:
        """Outside the database first: a restored backup must be told. All keys that this order ever was to destroy."""
        key = f"{FOLDER}{tenant}/{order.ordered}"
        try:
            await self._objects.put(key, msgspec.json.encode(order), if_absent=True)
        except ObjectChanged:
            written = msgspec.json.decode((await self._objects.get(key)).data, type=Order)
            return sorted({*order.kids, *written.kids})
        return order.kids

    async def _destroy(self, recorded: Recorded, order: Order, kids: Sequence[str]) -> int:
        """Keys, contents and the tombstones due for them, in one transaction; the number of contents."""
        failpoints.reach("erasure.destroy")
        async with self._connections.system.acquire() as connection, connection.transaction():
            gone = await connection.fetch(DELETE_ARTIFACTS, recorded.tenant, kids)
            commitments = sorted({row["commitment"] for row in gone})
            await connection.execute(DELETE_KEYS, recorded.tenant, kids)
            await _bury(connection, recorded, order, commitments)
            for begin in range(0, len(kids), KIDS_A_NOTICE):
                notice = " ".join(kids[begin : begin + KIDS_A_NOTICE])
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, notice)
        failpoints.reach("erasure.destroyed")
        self._keys.forget(kids)
        return len(commitments)

    async def _carried_out(self, event_type: str) -> None:
        """Return when everyone who hears of the erasure has removed what is theirs."""
        for name, subscription in self._bus.subscriptions.items():
            if subscription.types is not None and event_type in subscription.types:
                await self._delivery.drain(name)

    async def _retire(self) -> None:
        while True:
            try:
                await self.retire()
            except (*LOST, AIBoxError, asyncpg.PostgresError) as error:
                log.warning("audit.not_retired", error=type(error).__name__)
            await asyncio.sleep(RETIRE_EVERY_SECONDS)


async def _bury(connection: asyncpg.Connection, recorded: Recorded, order: Order, commitments: Sequence[str]) -> None:
    """Tombstones for `commitments`, or one row without any, which says that the order was carried out."""
    first = await connection.fetchval(NEXT_PART, recorded.tenant, order.ordered)
    if first and not commitments:
        return
    parts = [commitments[n : n + MOST_COMMITMENTS] for n in range(0, len(commitments), MOST_COMMITMENTS)] or [[]]
    for part, own in enumerate(parts, first):
        await connection.execute(
            BURY,
            recorded.tenant,
            order.ordered,
            part,
            recorded.turn,
            order.reason,
            time.time_ns() // 1000,
            own,
        )


KEYS_OF_PERSON = """
SELECT kid FROM core.data_key WHERE tenant = $1 AND subject <> '' AND (subject = $2 OR starts_with(subject, $2 || '/'))
"""
KEYS_WITH_PREFIX = "SELECT kid FROM core.data_key WHERE tenant = $1 AND starts_with(subject, $2)"
OLD_KEYS = """
SELECT kid FROM core.data_key
WHERE tenant = $1 AND split_part(subject, '/', 3) = $2 AND split_part(subject, '/', 4) < $3
"""
TENANTS_WITH_OLD = """
SELECT DISTINCT tenant FROM core.data_key
WHERE split_part(subject, '/', 3) = $1 AND split_part(subject, '/', 4) < $2
"""
KNOWN = "SELECT EXISTS (SELECT 1 FROM audit.tombstone WHERE tenant = $1 AND ordered = $2)"
NEXT_PART = "SELECT coalesce(max(part) + 1, 0) FROM audit.tombstone WHERE tenant = $1 AND ordered = $2"
BURY = """
INSERT INTO audit.tombstone (tenant, ordered, part, turn, reason, erased_us, commitments)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
DELETE_ARTIFACTS = "DELETE FROM core.artifact WHERE tenant = $1 AND kid = ANY ($2) RETURNING commitment"
DELETE_KEYS = "DELETE FROM core.data_key WHERE tenant = $1 AND kid = ANY ($2)"
HOLDING_CONTENTS = """
SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND pg_get_userbyid(c.relowner) = current_user
  AND ((n.nspname = 'core' AND c.relname IN ('data_key', 'artifact')) OR n.nspname NOT IN ('core', 'audit', 'public'))
"""
COUNT = """
SELECT coalesce(sum(cardinality(commitments)), 0)::bigint AS contents FROM audit.tombstone
WHERE tenant = $1 AND ordered = $2
"""

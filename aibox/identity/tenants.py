"""Tenants: one's own, and for who runs an installation of several all of them."""

from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import text

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, NotFound, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.identity import (
    Invited,
    TenancySettings,
    Tenant,
    TenantCreated,
    TenantRenamed,
    TenantStatus,
    TenantStatusChanged,
)
from aibox.identity.accounts import actor, announce
from aibox.identity.invitations import InvitationBook, checked
from aibox.identity.models import TenantRow
from aibox.identity.standing import EVERYBODY, Standing
from aibox.identity.visits import Visits

OWNER_DAYS = 7


class TenantBook:
    """The `Tenants`. What spans tenants is read by the system's role, and written by a turn within each."""

    def __init__(
        self,
        db: Database,
        connections: Connections,
        log: EventLog,
        standing: Standing,
        tenancy: TenancySettings,
        invitations: InvitationBook,
        visits: Visits,
    ) -> None:
        self._db = db
        self._connections = connections
        self._log = log
        self._standing = standing
        self._is_multi = tenancy.mode == "multi"
        self._invitations = invitations
        self._visits = visits

    async def own(self, turn: Turn) -> Tenant:
        async with self._db.read(turn) as session:
            row = await session.get(TenantRow, turn.tenant)
        if row is None:
            raise NotFound()
        return _tenant(row.tenant, row.name, row.status, row.created_at)

    async def rename(self, turn: Turn, name: str) -> Tenant:
        await self._require_free(name := _checked(name), but=turn.tenant)
        async with self._db.work(turn) as work:
            row = await work.session.get(TenantRow, turn.tenant)
            if row is None:
                raise NotFound()
            row.name = name
            work.record(TenantRenamed(actor=actor(turn), target=str(turn.tenant)))
        return _tenant(row.tenant, row.name, row.status, row.created_at)

    async def all(self, turn: Turn) -> list[Tenant]:
        self._require_several()
        rows = await self._fetch("SELECT tenant, name, status, created_at FROM identity.tenant ORDER BY created_at")
        return [_tenant(row["tenant"], row["name"], row["status"], row["created_at"]) for row in rows]

    async def create(self, turn: Turn, *, name: str, owner_email: str) -> tuple[Tenant, Invited]:
        self._require_several()
        await self._require_free(name := _checked(name))
        checked(owner_email, OWNER_DAYS)  # before there is a tenant that nobody could be invited to
        inside = system_turn(uuid7(), parent=turn.id)
        await self._log.log(turn, TenantCreated(actor=actor(turn), target=str(inside.tenant)))
        await self.provide(inside, name)
        invited = await self._invitations.invite(inside, email=owner_email, roles=["owner"], days=OWNER_DAYS)
        tenant = await self.own(inside)
        await self._log.end(inside, "sealed")
        return tenant, invited

    async def set_status(self, turn: Turn, tenant: UUID, status: TenantStatus) -> Tenant:
        if tenant == turn.tenant:
            raise Conflict("You cannot suspend the tenant that you are in.")
        await self._one(turn, tenant)
        await self._log.log(turn, TenantStatusChanged(actor=actor(turn), target=str(tenant), status=status))
        inside = system_turn(tenant, parent=turn.id)
        async with self._db.work(inside) as work:
            row = await work.session.get(TenantRow, tenant)
            if row is None or row.status == "deleted":
                raise NotFound()
            row.status = status
            work.record(TenantStatusChanged(actor="system", target=str(tenant), status=status))
            await announce(work.session, EVERYBODY)
        await self._log.end(inside, "sealed")
        self._standing.forget(EVERYBODY)
        return _tenant(row.tenant, row.name, row.status, row.created_at)

    async def enter(self, turn: Turn, tenant: UUID) -> Tenant:
        entered = await self._one(turn, tenant)
        await self._visits.enter(turn, entered)
        return entered

    async def leave(self, turn: Turn) -> None:
        await self._visits.leave(turn)

    async def visited(self, turn: Turn) -> Tenant | None:
        return await self._visits.visited(turn)

    async def _one(self, turn: Turn, tenant: UUID) -> Tenant:
        found = next((one for one in await self.all(turn) if one.id == tenant), None)
        if found is None:
            raise NotFound()
        return found

    async def provide(self, turn: Turn, name: str) -> None:
        """Make the turn's tenant, unless it is there."""
        async with self._db.work(turn) as work:
            made = await work.session.execute(
                text(
                    "INSERT INTO identity.tenant (tenant, name) VALUES (:tenant, :name)"
                    " ON CONFLICT DO NOTHING RETURNING 1"
                ),
                {"tenant": turn.tenant, "name": name},
            )
            if made.first() is not None:
                work.record(TenantCreated(actor="system", target=str(turn.tenant)))

    def _require_several(self) -> None:
        if not self._is_multi:
            raise NotFound()

    async def _require_free(self, name: str, *, but: UUID | None = None) -> None:
        """People name their tenant at sign-in, so no two may be called the same."""
        if not self._is_multi:
            return
        rows = await self._fetch("SELECT tenant FROM identity.tenant WHERE lower(name) = lower($1)", name)
        if any(row["tenant"] != but for row in rows):
            raise Conflict("There is a tenant of this name already.")

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self._connections.system.fetch(query, *arguments)
        except LOST as error:
            raise StateUnavailable() from error
        return rows


def _checked(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise ValidationFailed(fields=[{"field": "name", "error": "Write a name of 1 to 100 characters."}])
    return name


def _tenant(tenant: UUID, name: str, status: str, created_at: datetime) -> Tenant:
    return Tenant(id=tenant, name=name, status=status, created_at=created_at)

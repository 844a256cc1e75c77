"""Where a platform administrator acts: at home, or as an owner in the one tenant that their session has entered.

What is theirs stays at home while they are inside: account, sessions, second factors, and the list of tenants with the
way out. All other routes act in the tenant entered, where no account of theirs is.
"""

import hashlib
from uuid import UUID

from msgspec.structs import replace

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, Forbidden, StateUnavailable
from aibox.core.eventlog import EventLog
from aibox.core.turn import CostLimits, Principal, Turn, system_turn
from aibox.identity import Tenant, TenantEntered, TenantLeft, TenantNotProvisioned
from aibox.identity.accounts import actor, announce
from aibox.identity.models import SessionRow
from aibox.identity.roles import MANAGE_TENANTS, SHIPPED
from aibox.identity.standing import Found, Standing

INSIDE = "You are inside a tenant already; leave it first."
HOME = ("/v1/auth", "/auth", "/v1/admin/tenants")
VISIT = """
SELECT s.visiting AS tenant, t.name, t.status, t.created_at FROM identity.session s
JOIN identity.tenant t ON t.tenant = s.visiting
WHERE s.tenant = $1 AND s.id = $2
"""


class Visits:
    """Entering and leaving, by the turn's session; and whom a request of it acts as."""

    def __init__(
        self, db: Database, connections: Connections, log: EventLog, standing: Standing, *, is_multi: bool
    ) -> None:
        self._db = db
        self._connections = connections
        self._log = log
        self._standing = standing
        self._is_multi = is_multi

    async def placed(self, principal: Principal, path: str) -> Principal:
        """The principal of a request to `path`: inside, for whoever entered a tenant, or `principal` itself.

        Raises `TenantNotProvisioned` once the tenant entered is suspended: what was meant for it happens nowhere.
        """
        if not self._is_multi or principal.session_id is None or not principal.may(f"admin.{MANAGE_TENANTS}"):
            return principal
        if any(path == home or path.startswith(f"{home}/") for home in HOME):
            return principal
        session = UUID(principal.session_id)
        key = hashlib.sha256(b"visit\n" + session.bytes).digest()
        return await self._standing.principal(key, lambda: self._found(principal, session))

    async def visited(self, turn: Turn) -> Tenant | None:
        """The tenant that the turn's session has entered."""
        principal = turn.principal
        if not self._is_multi or principal.session_id is None or not principal.may(f"admin.{MANAGE_TENANTS}"):
            return None
        return await self._visit(principal, _session(turn))

    async def enter(self, turn: Turn, tenant: Tenant) -> None:
        """Act in `tenant` from now on. Raises `Conflict` for one's own, and while one is inside another."""
        if tenant.id == turn.tenant:
            raise Conflict("This is your own tenant.")
        if tenant.status != "active":
            raise Conflict("This tenant is suspended; let it in again first.")
        if await self._visit(turn.principal, _session(turn)) is not None:
            raise Conflict(INSIDE)
        entered = TenantEntered(actor=actor(turn), target=str(tenant.id))
        await self._tell(turn, tenant.id, entered)
        async with self._db.work(turn) as work:
            row = await work.session.get(SessionRow, (turn.tenant, _session(turn)), with_for_update=True)
            if row is None or row.visiting is not None:
                raise Conflict(INSIDE)
            row.visiting = tenant.id
            work.record(entered)
            await announce(work.session, turn.principal.id)
        self._standing.forget(turn.principal.id)

    async def leave(self, turn: Turn) -> None:
        """Act at home again; nothing happens to who is there."""
        tenant = await self._visit(turn.principal, _session(turn))
        if tenant is None:
            return
        left = TenantLeft(actor=actor(turn), target=str(tenant.id))
        async with self._db.work(turn) as work:
            row = await work.session.get(SessionRow, (turn.tenant, _session(turn)), with_for_update=True)
            if row is None or row.visiting != tenant.id:
                return
            row.visiting = None
            work.record(left)
            await announce(work.session, turn.principal.id)
        await self._tell(turn, tenant.id, left)
        self._standing.forget(turn.principal.id)

    async def _tell(self, turn: Turn, tenant: UUID, event: TenantEntered | TenantLeft) -> None:
        """Write it into the log of the tenant too. An entry comes before the act: nobody is inside without a trace."""
        inside = system_turn(tenant, parent=turn.id)
        await self._log.log(inside, event)
        await self._log.end(inside, "sealed")

    async def _found(self, principal: Principal, session: UUID) -> Found:
        tenant = await self._visit(principal, session)
        if tenant is None:
            return Found(principal, float("inf"))
        if tenant.status != "active":
            raise TenantNotProvisioned()
        inside = replace(
            principal, tenant=tenant.id, roles=("owner",), permissions=SHIPPED["owner"], limits=CostLimits()
        )
        return Found(inside, float("inf"))

    async def _visit(self, principal: Principal, session: UUID) -> Tenant | None:
        try:
            row = await self._connections.system.fetchrow(VISIT, principal.tenant, session)
        except LOST as error:
            raise StateUnavailable() from error
        if row is None:
            return None
        return Tenant(id=row["tenant"], name=row["name"], status=row["status"], created_at=row["created_at"])


def _session(turn: Turn) -> UUID:
    """The session that enters. Raises `Forbidden` for a credential without one."""
    if turn.principal.session_id is None:
        raise Forbidden()
    return UUID(turn.principal.session_id)

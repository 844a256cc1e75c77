"""Who a person of another issuer is here: found by (issuer, subject), added at the first sign-in, kept up to date."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database, Work
from aibox.core.errors import StateUnavailable
from aibox.core.eventlog import EventLog
from aibox.core.turn import Principal, system_turn, uuid7
from aibox.identity import (
    Examined,
    IssuerSignOut,
    RoleNotMapped,
    SessionRevoked,
    TenantNotProvisioned,
    User,
    UserCreated,
    UserRolesChanged,
)
from aibox.identity.accounts import announce, free_handle, loaded
from aibox.identity.definitions import DEFINED
from aibox.identity.issuers import Groups, Vouched, mapped_roles
from aibox.identity.models import EndedSignInRow, UserRow
from aibox.identity.roles import rights_of, stored_rights
from aibox.identity.secrets import new_secret
from aibox.identity.standing import EVERYBODY, Standing

PERSON = f"""
SELECT u.id, u.pseudonym, u.roles, u.status, u.signed_out_at, t.status AS tenant_status, {DEFINED},
       EXISTS (SELECT FROM identity.ended_sign_in e WHERE e.tenant = u.tenant AND e.issuer = $2 AND e.sid = $4) AS ended
FROM identity.user u JOIN identity.tenant t ON t.tenant = u.tenant
WHERE u.tenant = $1 AND u.issuer = $2
"""  # noqa: S608 - DEFINED is ours


class Federation:
    """The people whom the issuers of the table vouch for. Rights are read here, never from a token alone."""

    def __init__(self, db: Database, connections: Connections, log: EventLog, standing: Standing) -> None:
        self._db = db
        self._connections = connections
        self._log = log
        self._standing = standing

    async def principal(self, vouched: Vouched) -> Principal:
        """Who brings this access token. Raises `SessionRevoked`, `TenantNotProvisioned` or `RoleNotMapped`."""
        vouched = await self.decided(vouched)
        row = await self._one(f"{PERSON} AND u.subject = $3", vouched.tenant, vouched.iss, vouched.subject, vouched.sid)
        if row is None or (vouched.roles is not None and set(vouched.roles) != set(row["roles"])):
            await self._kept(vouched)
            row = await self._one(
                f"{PERSON} AND u.subject = $3", vouched.tenant, vouched.iss, vouched.subject, vouched.sid
            )
        since = datetime.fromtimestamp(vouched.issued, UTC)
        return _principal(
            row,
            since,
            tenant=vouched.tenant,
            issuer=vouched.iss,
            sid=vouched.sid,
            signed_in=vouched.signed_in,
            amr=vouched.amr,
            proof_key=vouched.proof_key,
        )

    async def still(self, principal: Principal, since: datetime) -> Principal:
        """The principal of a stream that began at `since`, with the rights of now. Raises as `principal` does."""
        row = await self._one(
            f"{PERSON} AND u.id = $3", principal.tenant, principal.issuer, principal.id, principal.issuer_sid
        )
        return _principal(
            row,
            since,
            tenant=principal.tenant,
            issuer=principal.issuer,
            sid=principal.issuer_sid,
            signed_in=principal.auth_time,
            amr=principal.amr,
            proof_key=principal.proof_key,
        )

    async def known(self, vouched: Vouched) -> tuple[str, ...] | None:
        """The roles that the person has here now; None for one who was never here."""
        row = await self._one(f"{PERSON} AND u.subject = $3", vouched.tenant, vouched.iss, vouched.subject, vouched.sid)
        return None if row is None else tuple(row["roles"])

    async def decided(self, vouched: Vouched) -> Vouched:
        """With the roles that the issuer's word gives here. Raises `RoleNotMapped`."""
        query = "SELECT claim, groups FROM identity.group_mapping WHERE tenant = $1 AND issuer = $2"
        row = await self._one(query, vouched.tenant, vouched.iss)
        groups = None if row is None else Groups(claim=row["claim"], groups=msgspec.json.decode(row["groups"]))
        return replace(vouched, roles=mapped_roles(vouched.row, vouched.claims, groups))

    async def examined(self, vouched: Vouched) -> Examined:
        """What the issuer says, and who that would be here; nothing is changed."""
        known = await self.known(vouched)
        roles, refused = known or (vouched.row.default_role,), ""
        try:
            roles = (await self.decided(vouched)).roles or roles
        except RoleNotMapped as error:
            roles, refused = (), error.code
        return Examined(
            claims=dict(vouched.claims),
            issuer=vouched.iss,
            tenant=vouched.tenant,
            subject=vouched.subject,
            roles=roles,
            is_known=known is not None,
            refused=refused,
        )

    async def user(self, vouched: Vouched, *, invited: Sequence[str] = ()) -> User:
        """The person, added when new, with the roles that the issuer says.

        Where it says none, a new person gets those of their invitation, or the row's default. Raises
        `TenantNotProvisioned` or `RoleNotMapped`.
        """
        return await self._kept(await self.decided(vouched), invited=invited)

    async def _kept(self, vouched: Vouched, *, invited: Sequence[str] = ()) -> User:
        await self._require_tenant(vouched.tenant)
        turn = system_turn(vouched.tenant)
        try:
            async with self._db.work(turn) as work:
                row = await self._found(work, vouched)
                if row is None:
                    row = await _add(work, vouched, invited)
                elif vouched.roles is not None and set(vouched.roles) != set(row.roles):
                    row.roles = list(vouched.roles)
                    work.record(UserRolesChanged(actor="system", target=row.pseudonym, roles=vouched.roles))
                    await announce(work.session, row.id)
                user = await loaded(work.session, row)
        except IntegrityError:  # two first requests at once: the other one added them
            async with self._db.work(turn) as work:
                row = await self._found(work, vouched)
                if row is None:
                    raise
                user = await loaded(work.session, row)
        await self._log.end(turn, "sealed")
        self._standing.forget(user.id)
        return user

    async def end_sign_in(self, tenant: UUID, issuer: str, sid: str) -> None:
        """What an issuer's back-channel logout says: its session `sid`, and ours that came from it, are over."""
        turn = system_turn(tenant)
        async with self._db.work(turn) as work:
            await work.session.merge(EndedSignInRow(tenant=tenant, issuer=issuer, sid=sid))
            await work.session.execute(
                text(
                    "UPDATE identity.session SET revoked_at = now()"
                    " WHERE tenant = :tenant AND issuer = :issuer AND issuer_sid = :sid AND revoked_at IS NULL"
                ),
                {"tenant": tenant, "issuer": issuer, "sid": sid},
            )
            work.record(IssuerSignOut(actor="system", issuer=issuer))
            await announce(work.session, EVERYBODY)
        await self._log.end(turn, "sealed")
        self._standing.forget(EVERYBODY)

    async def _found(self, work: Work, vouched: Vouched) -> UserRow | None:
        query = select(UserRow).where(
            UserRow.tenant == vouched.tenant, UserRow.issuer == vouched.iss, UserRow.subject == vouched.subject
        )
        return await work.session.scalar(query.with_for_update())

    async def _require_tenant(self, tenant: UUID) -> None:
        row = await self._one("SELECT status FROM identity.tenant WHERE tenant = $1", tenant)
        if row is None or row["status"] != "active":
            raise TenantNotProvisioned()

    async def _one(self, query: str, *arguments: object) -> asyncpg.Record | None:
        try:
            return await self._connections.system.fetchrow(query, *arguments)
        except LOST as error:
            raise StateUnavailable() from error


async def _add(work: Work, vouched: Vouched, invited: Sequence[str]) -> UserRow:
    row = UserRow(
        tenant=vouched.tenant,
        id=uuid7(),
        handle=await free_handle(work.session, vouched.tenant, vouched.email or vouched.handle or vouched.subject),
        email=vouched.email.casefold(),
        name=vouched.name or "New person",
        pseudonym=f"p-{new_secret()[:22]}",
        roles=list(vouched.roles or invited or (vouched.row.default_role,)),
        status="active",
        created_at=datetime.now(UTC),
        issuer=vouched.iss,
        subject=vouched.subject,
        signed_out_at=None,
    )
    work.session.add(row)
    await work.session.flush()
    work.record(UserCreated(actor="system", target=row.pseudonym, roles=tuple(row.roles)))
    return row


def _principal(
    row: asyncpg.Record | None,
    since: datetime,
    *,
    tenant: UUID,
    issuer: str,
    sid: str,
    signed_in: int | None,
    amr: tuple[str, ...],
    proof_key: str | None,
) -> Principal:
    if row is None or row["status"] != "active" or (sid and row["ended"]):
        raise SessionRevoked()
    if row["signed_out_at"] is not None and since <= row["signed_out_at"]:
        raise SessionRevoked()
    if row["tenant_status"] != "active":
        raise TenantNotProvisioned()
    rights = rights_of(row["roles"], stored_rights(row["defined"]))
    return Principal(
        kind="user",
        tenant=tenant,
        id=row["id"],
        pseudonym=row["pseudonym"],
        roles=tuple(row["roles"]),
        permissions=rights.permissions,
        limits=rights.limits,
        issuer=issuer,
        issuer_sid=sid,
        auth_time=signed_in,
        amr=amr,
        proof_key=proof_key,
    )

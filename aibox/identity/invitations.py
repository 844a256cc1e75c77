"""Invitations: a link for one address with roles, good once and for some days, which its sender can take back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from msgspec import Struct
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database, Work
from aibox.core.errors import Conflict, NotFound, RateLimited, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.mail import Mail
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.identity import (
    ChallengeInvalid,
    Client,
    Invitation,
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    Invited,
    User,
    Welcome,
)
from aibox.identity.accounts import EMAIL, Accounts, actor, add, loaded, require_manager
from aibox.identity.definitions import rights_here, roles_here
from aibox.identity.models import InvitationRow, TenantRow, UserRow
from aibox.identity.roles import is_within
from aibox.identity.secrets import digest, new_secret
from aibox.identity.throttle import Throttle
from aibox.stores import Cache

MAX_DAYS = 30
PER_HOUR = 100
"""How many a tenant sends in an hour: nobody makes us a source of unwanted mail."""

CONSOLE = UUID(int=0)
"""Who invited, when no person did."""


class Found(Struct, frozen=True, kw_only=True):
    """An invitation that can be accepted."""

    tenant: UUID
    id: UUID
    roles: tuple[str, ...]


class InvitationBook:
    """Writes invitations, and finds and spends them again by the digest of their token."""

    def __init__(
        self,
        db: Database,
        connections: Connections,
        log: EventLog,
        accounts: Accounts,
        throttle: Throttle,
        cache: Cache,
        mail: Mail,
        base_url: str,
        *,
        is_multi: bool,
    ) -> None:
        self._db = db
        self._connections = connections
        self._log = log
        self._accounts = accounts
        self._throttle = throttle
        self._cache = cache
        self._mail = mail
        self._base_url = base_url
        self._is_multi = is_multi

    async def invite(self, turn: Turn, *, email: str, roles: Sequence[str], days: int) -> Invited:
        """See `Invitations.invite`."""
        require_manager(turn)
        email = checked(email, days)
        await self._count(turn)
        token, now = new_secret(), datetime.now(UTC)
        async with self._db.work(turn) as work:
            names, rights = await roles_here(work.session, turn.tenant, roles, is_multi=self._is_multi)
            require_manager(turn, rights)
            await _require_new(work.session, turn, email)
            for earlier in await work.session.scalars(_open(turn).where(InvitationRow.email == email)):
                _revoke(work, turn, earlier)
            row = InvitationRow(
                tenant=turn.tenant,
                id=uuid7(),
                email=email,
                roles=names,
                digest=digest(token),
                invited_by=CONSOLE if await _is_guest(work.session, turn) else turn.principal.id,
                created_at=now,
                expires_at=now + timedelta(days=days),
                accepted_at=None,
                revoked_at=None,
            )
            work.session.add(row)
            work.record(InvitationCreated(actor=actor(turn), target=str(row.id), roles=tuple(names)))
            tenant = await _tenant_name(work.session, turn.tenant)
        link = f"{self._base_url}/invite#token={token}"
        is_sent = await self._mail.send(email, subject=f"An invitation to {tenant}", text=_letter(tenant, link, days))
        return Invited(invitation=_invitation(row), link=link, is_sent=is_sent)

    async def open_ones(self, turn: Turn) -> list[Invitation]:
        """See `Invitations.open_ones`."""
        require_manager(turn)
        query = _open(turn).order_by(InvitationRow.created_at.desc()).limit(200)
        async with self._db.read(turn) as session:
            return [_invitation(row) for row in await session.scalars(query)]

    async def revoke(self, turn: Turn, invitation_id: UUID) -> None:
        """See `Invitations.revoke`. Who may not hand out its roles may not take it back either."""
        require_manager(turn)
        async with self._db.work(turn) as work:
            row = await work.session.scalar(_open(turn).where(InvitationRow.id == invitation_id).with_for_update())
            if row is None:
                raise NotFound()
            require_manager(turn, await rights_here(work.session, turn.tenant, row.roles))
            _revoke(work, turn, row)

    async def welcome(self, token: str, client: Client) -> Welcome:
        """See `Invitations.welcome`."""
        await self._throttle.attempt_link(client.address)
        turn, _ = await self._found(token)
        async with self._db.read(turn) as session:
            row = await self._usable(session, turn, token)
            await self._throttle.succeeded_link(client.address)
            return Welcome(email=row.email, tenant=await _tenant_name(session, turn.tenant), expires_at=row.expires_at)

    async def join(self, token: str, *, name: str, password: str, client: Client) -> User:
        """The new person with a password. Raises `ChallengeInvalid`, `ValidationFailed`, `Conflict`, `RateLimited`."""
        await self._throttle.attempt_link(client.address)
        turn, _ = await self._found(token)
        async with self._db.read(turn) as session:
            email = (await self._usable(session, turn, token)).email
        await self._throttle.succeeded_link(client.address)
        name, email, stored = await self._accounts.prepared(name, email, password)
        async with self._db.work(turn) as work:
            row = await self._usable(work.session, turn, token, lock=True)
            roles = list(row.roles)
            _spend(work, row)
            person = await add(work, turn, name=name, email=email, stored=stored, roles=roles)
            user = await loaded(work.session, person)
        await self._log.end(turn, "sealed")
        return user

    async def peek(self, token: str, client: Client) -> Found:
        """The invitation, which stays good. Raises `ChallengeInvalid` or `RateLimited`."""
        await self._throttle.attempt_link(client.address)
        turn, invitation_id = await self._found(token)
        async with self._db.read(turn) as session:
            row = await self._usable(session, turn, token)
            await self._throttle.succeeded_link(client.address)
            return Found(tenant=turn.tenant, id=invitation_id, roles=tuple(row.roles))

    async def spend(self, tenant: UUID, invitation_id: UUID) -> tuple[str, ...]:
        """The roles that the invitation gives, which is used by this. Raises `ChallengeInvalid`."""
        turn = system_turn(tenant)
        async with self._db.work(turn) as work:
            row = await work.session.get(InvitationRow, (tenant, invitation_id), with_for_update=True)
            await _require_usable(work.session, row)
            assert row is not None
            roles = tuple(row.roles)
            _spend(work, row)
        await self._log.end(turn, "sealed")
        return roles

    async def _count(self, turn: Turn) -> None:
        if await self._cache.count(f"invitations:{turn.tenant}", ttl=3600) > PER_HOUR:
            raise RateLimited("Too many invitations; try again later.", retry_after=3600)

    async def _found(self, token: str) -> tuple[Turn, UUID]:
        """A turn in the tenant of a token, and the invitation's id; the token names none, so the system looks."""
        query = (
            "SELECT i.tenant, i.id FROM identity.invitation i JOIN identity.tenant t ON t.tenant = i.tenant"
            " WHERE i.digest = $1 AND t.status = 'active'"
        )
        try:
            row: asyncpg.Record | None = await self._connections.system.fetchrow(query, digest(token))
        except LOST as error:
            raise StateUnavailable() from error
        if row is None:
            raise ChallengeInvalid()
        return system_turn(row["tenant"]), row["id"]

    async def _usable(self, session: AsyncSession, turn: Turn, token: str, *, lock: bool = False) -> InvitationRow:
        query = select(InvitationRow).where(InvitationRow.tenant == turn.tenant, InvitationRow.digest == digest(token))
        row = await session.scalar(query.with_for_update() if lock else query)
        await _require_usable(session, row)
        assert row is not None
        return row


async def _require_usable(session: AsyncSession, row: InvitationRow | None) -> None:
    """Raise `ChallengeInvalid` for one that is used, revoked, expired, or whose sender could not send it today."""
    if row is None or row.accepted_at is not None or row.revoked_at is not None:
        raise ChallengeInvalid()
    if row.expires_at <= datetime.now(UTC):
        raise ChallengeInvalid()
    if row.invited_by == CONSOLE:
        return
    sender = await session.get(UserRow, (row.tenant, row.invited_by))
    if sender is None or sender.status != "active":
        raise ChallengeInvalid()
    has = await rights_here(session, row.tenant, sender.roles)
    wanted = await rights_here(session, row.tenant, row.roles)
    if "manage_users" not in has.permissions.admin or not is_within(wanted, has):
        raise ChallengeInvalid()


async def _is_guest(session: AsyncSession, turn: Turn) -> bool:
    """Whether who acts has no account in the tenant: the console, or who runs the installation and entered it."""
    return await session.get(UserRow, (turn.tenant, turn.principal.id)) is None


async def _require_new(session: AsyncSession, turn: Turn, email: str) -> None:
    query = select(UserRow.id).where(UserRow.tenant == turn.tenant, UserRow.issuer == "", UserRow.email == email)
    if await session.scalar(query) is not None:
        raise Conflict("Someone with this e-mail is here already.")


def _open(turn: Turn) -> Select[InvitationRow]:
    return select(InvitationRow).where(
        InvitationRow.tenant == turn.tenant,
        InvitationRow.accepted_at.is_(None),
        InvitationRow.revoked_at.is_(None),
    )


def _spend(work: Work, row: InvitationRow) -> None:
    row.accepted_at, row.email = datetime.now(UTC), ""  # the account holds the address from here on
    work.record(InvitationAccepted(actor="system", target=str(row.id)))


def _revoke(work: Work, turn: Turn, row: InvitationRow) -> None:
    row.revoked_at, row.email = datetime.now(UTC), ""
    work.record(InvitationRevoked(actor=actor(turn), target=str(row.id)))


async def _tenant_name(session: AsyncSession, tenant: UUID) -> str:
    name: str = await session.scalar(select(TenantRow.name).where(TenantRow.tenant == tenant)) or "AIBox"
    return name


def checked(email: str, days: int) -> str:
    """The address as it is stored. Raises `ValidationFailed`."""
    email = email.strip().casefold()
    problems = {
        "email": None if EMAIL.fullmatch(email) else "Write an e-mail address.",
        "days": None if 1 <= days <= MAX_DAYS else f"Choose 1 to {MAX_DAYS} days.",
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem is not None]
    if fields:
        raise ValidationFailed(fields=fields)
    return email


def _letter(tenant: str, link: str, days: int) -> str:
    return (
        f"You are invited to {tenant}.\n\n"
        f"Open this link to make your account. It works once, within {days} {'day' if days == 1 else 'days'}:\n\n"
        f"{link}\n\n"
        "If you did not expect this, ignore it: without the link nothing happens.\n"
    )


def _invitation(row: InvitationRow) -> Invitation:
    return Invitation(
        id=row.id,
        email=row.email,
        roles=tuple(row.roles),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )

"""People: adding them, their roles and status, their passwords, and the one-use link for the first owner."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database, Work
from aibox.core.errors import Conflict, Forbidden, NotFound, ValidationFailed
from aibox.core.turn import Principal, Turn, uuid7
from aibox.identity import (
    ChallengeInvalid,
    LastOwner,
    SetupLinkCreated,
    Status,
    User,
    UserCreated,
    UserPasswordChanged,
    UserRenamed,
    UserRolesChanged,
    UserSignedOut,
    UserStatusChanged,
)
from aibox.identity.definitions import defined, rights_here, roles_here
from aibox.identity.models import PasswordRow, SetupLinkRow, UserRow
from aibox.identity.passwords import Passwords, weakness
from aibox.identity.roles import Rights, covers, rights_of
from aibox.identity.secrets import digest, new_secret
from aibox.identity.standing import CHANNEL, Standing

ANONYMOUS_EMAIL = "anonymous@localhost"
SETUP_LIFE = timedelta(hours=24)
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


def actor(turn: Turn) -> str:
    """Who acts, as events name them: `user:<pseudonym>`, or `system`."""
    return "system" if turn.principal.kind == "system" else f"user:{turn.principal.pseudonym}"


class Accounts:
    """Reads and writes the people of the turn's tenant."""

    def __init__(self, db: Database, passwords: Passwords, standing: Standing, *, is_multi: bool = False) -> None:
        self._db = db
        self._passwords = passwords
        self._standing = standing
        self._is_multi = is_multi

    async def create(self, turn: Turn, *, name: str, email: str, password: str, roles: Sequence[str]) -> User:
        require_manager(turn)
        async with self._db.read(turn) as session:
            roles, rights = await roles_here(session, turn.tenant, roles, is_multi=self._is_multi)
        require_manager(turn, rights)
        name, email, stored = await self.prepared(name, email, password)
        async with self._db.work(turn) as work:
            row = await add(work, turn, name=name, email=email, stored=stored, roles=roles)
            return await loaded(work.session, row)

    async def prepared(self, name: str, email: str, password: str) -> tuple[str, str, str]:
        """(name, e-mail, password's hash) as they are stored. Raises `ValidationFailed`."""
        name, email = _checked(name, email, password)
        return name, email, await self._passwords.hash(password)

    async def all(self, turn: Turn) -> list[User]:
        require_manager(turn)
        async with self._db.read(turn) as session:
            own = await defined(session, turn.tenant)
            rows = await session.scalars(
                select(UserRow).where(UserRow.tenant == turn.tenant).order_by(UserRow.created_at, UserRow.id)
            )
            return [user_of(row, rights_of(row.roles, own)) for row in rows]

    async def one(self, turn: Turn, user_id: UUID) -> User:
        if user_id != turn.principal.id:
            require_manager(turn)
        async with self._db.read(turn) as session:
            return await loaded(session, await _load(session, turn, user_id))

    async def by_email(self, turn: Turn, email: str) -> User:
        require_manager(turn)
        async with self._db.read(turn) as session:
            found = await _named(session, turn, email)
            if found is None:
                raise NotFound()
            return await loaded(session, found)

    async def rename(self, turn: Turn, user_id: UUID, name: str) -> User:
        _refuse({"name": _name_problem(name := name.strip())})
        async with self._db.work(turn) as work:
            row = await reach(work.session, turn, user_id)
            row.name = name
            work.record(UserRenamed(actor=actor(turn), target=row.pseudonym))
            return await loaded(work.session, row)

    async def set_roles(self, turn: Turn, user_id: UUID, roles: Sequence[str]) -> User:
        require_manager(turn)
        async with self._db.work(turn) as work:
            roles, rights = await roles_here(work.session, turn.tenant, roles, is_multi=self._is_multi)
            require_manager(turn, rights)
            row = await reach(work.session, turn, user_id)
            if "owner" not in roles:
                await _keep_an_owner(work, turn, row)
            row.roles = list(roles)
            work.record(UserRolesChanged(actor=actor(turn), target=row.pseudonym, roles=tuple(roles)))
            await announce(work.session, row.id)
        self._standing.forget(row.id)
        return user_of(row, rights)

    async def set_status(self, turn: Turn, user_id: UUID, status: Status) -> User:
        require_manager(turn)
        async with self._db.work(turn) as work:
            row = await reach(work.session, turn, user_id)
            if status != "active":
                await _keep_an_owner(work, turn, row)
                await _end_sessions(work, row)
            row.status = status
            work.record(UserStatusChanged(actor=actor(turn), target=row.pseudonym, status=status))
            await announce(work.session, row.id)
            user = await loaded(work.session, row)
        self._standing.forget(row.id)
        return user

    async def set_password(self, turn: Turn, user_id: UUID, password: str) -> None:
        async with self._db.read(turn) as session:
            row = await reach(session, turn, user_id)
        _refuse({"password": weakness(password, person=(row.email, row.name, row.handle))})
        stored = await self._passwords.hash(password)
        async with self._db.work(turn) as work:
            row = await reach(work.session, turn, user_id)
            await _store_password(work, row, stored)
            await _end_sessions(work, row)
            work.record(UserPasswordChanged(actor=actor(turn), target=row.pseudonym))
            await announce(work.session, row.id)
        self._standing.forget(row.id)

    async def sign_out(self, turn: Turn, user_id: UUID) -> None:
        """End all sessions of a person, and the access tokens that another issuer gave them until now."""
        async with self._db.work(turn) as work:
            row = await reach(work.session, turn, user_id)
            row.signed_out_at = datetime.now(UTC)
            await _end_sessions(work, row)
            work.record(UserSignedOut(actor=actor(turn), target=row.pseudonym))
            await announce(work.session, row.id)
        self._standing.forget(row.id)

    async def verified(self, turn: Turn, username: str, password: str) -> User | None:
        """The active person with this e-mail or handle, if the password is theirs.

        Whether there is such a person costs the same: one query and one hash until the password was right (L01).
        """
        query = _naming(turn, username).add_columns(PasswordRow.hash).outerjoin(PasswordRow, _ITS_PASSWORD)
        async with self._db.read(turn) as session:
            found = (await session.execute(query)).one_or_none()
        row, stored = (None, None) if found is None else found
        if not await self._passwords.verify(password, stored) or row is None or row.status != "active":
            return None
        if stored is not None and self._passwords.needs_rehash(stored):
            fresh = await self._passwords.hash(password)
            async with self._db.work(turn) as work:
                await _store_password(work, row, fresh)
        async with self._db.read(turn) as session:
            return await loaded(session, row)

    async def provide_anonymous(self, turn: Turn) -> Principal:
        """Whom every caller is while sign-in is switched off: a member without a password."""
        async with self._db.work(turn) as work:
            row = await _named(work.session, turn, ANONYMOUS_EMAIL)
            if row is None:
                row = await add(work, turn, name="Anonymous", email=ANONYMOUS_EMAIL, stored=None, roles=["member"])
            rights = await rights_here(work.session, turn.tenant, row.roles)
        return Principal(
            kind="user",
            tenant=row.tenant,
            id=row.id,
            pseudonym=row.pseudonym,
            roles=tuple(row.roles),
            permissions=rights.permissions,
            limits=rights.limits,
        )

    async def has_owner(self, turn: Turn) -> bool:
        async with self._db.read(turn) as session:
            return await _has_owner(session, turn)

    async def setup_token(self, turn: Turn) -> str | None:
        """A new setup token, which voids those before; None once there is an owner."""
        token = new_secret()
        async with self._db.work(turn) as work:
            if await _has_owner(work.session, turn):
                return None
            await _void_links(work, turn)
            work.session.add(
                SetupLinkRow(
                    tenant=turn.tenant, digest=digest(token), expires_at=datetime.now(UTC) + SETUP_LIFE, used_at=None
                )
            )
            work.record(SetupLinkCreated(actor=actor(turn)))
        return token

    async def redeem(self, turn: Turn, *, token: str, name: str, email: str, password: str) -> User:
        """The first owner, by a setup token. Raises `ChallengeInvalid`, or `ValidationFailed` (the token remains)."""
        async with self._db.read(turn) as session:
            await _usable_link(session, turn, token, lock=False)
        name, email, stored = await self.prepared(name, email, password)
        async with self._db.work(turn) as work:
            link = await _usable_link(work.session, turn, token, lock=True)
            link.used_at = datetime.now(UTC)
            row = await add(work, turn, name=name, email=email, stored=stored, roles=["owner"])
            return await loaded(work.session, row)


def require_manager(turn: Turn, rights: Rights | None = None) -> None:
    """Raise `Forbidden` unless the caller manages people and may itself do all that `rights` allow."""
    if not turn.principal.may("admin.manage_users") or not (rights is None or covers(turn.principal, rights)):
        raise Forbidden()


async def reach(session: AsyncSession, turn: Turn, user_id: UUID) -> UserRow:
    """The person, who is the caller, or whom the caller may manage. Raises `NotFound` or `Forbidden`."""
    if user_id != turn.principal.id:
        require_manager(turn)
    row = await _load(session, turn, user_id)
    if user_id != turn.principal.id:
        require_manager(turn, await rights_here(session, turn.tenant, row.roles))
    return row


async def _load(session: AsyncSession, turn: Turn, user_id: UUID) -> UserRow:
    row = await session.get(UserRow, (turn.tenant, user_id))
    if row is None:
        raise NotFound()
    return row


async def _named(session: AsyncSession, turn: Turn, name: str) -> UserRow | None:
    return await session.scalar(_naming(turn, name))


def _naming(turn: Turn, name: str) -> Select[UserRow]:
    """The local account with this e-mail or handle."""
    folded = name.casefold().replace("\x00", "\ufffd")  # which nobody's has, and PostgreSQL takes
    return select(UserRow).where(
        UserRow.tenant == turn.tenant,
        UserRow.issuer == "",  # whom another issuer vouches for has no password here, whatever their e-mail
        or_(UserRow.email == folded, UserRow.handle == folded),
    )


_ITS_PASSWORD = (PasswordRow.tenant == UserRow.tenant) & (PasswordRow.user_id == UserRow.id)


async def add(work: Work, turn: Turn, *, name: str, email: str, stored: str | None, roles: Sequence[str]) -> UserRow:
    """A new local account. Raises `Conflict` for an e-mail that is here already."""
    row = UserRow(
        tenant=turn.tenant,
        id=uuid7(),
        handle=await free_handle(work.session, turn.tenant, email),
        email=email,
        name=name,
        pseudonym=f"p-{new_secret()[:22]}",
        roles=list(roles),
        status="active",
        created_at=datetime.now(UTC),
        issuer="",
        subject="",
        signed_out_at=None,
    )
    work.session.add(row)
    try:
        await work.session.flush()
    except IntegrityError:
        raise Conflict("Someone with this e-mail is here already.") from None
    if stored is not None:
        await _store_password(work, row, stored)
    work.record(UserCreated(actor=actor(turn), target=row.pseudonym, roles=tuple(roles)))
    return row


async def free_handle(session: AsyncSession, tenant: UUID, email: str) -> str:
    """The part before the @, with a number where that is taken."""
    wanted = re.sub(r"[^a-z0-9._-]+", "-", email.partition("@")[0].casefold()).strip("-._") or "user"
    query = select(UserRow.handle).where(UserRow.tenant == tenant, UserRow.handle.startswith(wanted, autoescape=True))
    taken = set(await session.scalars(query))
    return next(name for n in range(len(taken) + 1) if (name := f"{wanted}{n + 1 if n else ''}") not in taken)


async def _store_password(work: Work, row: UserRow, stored: str) -> None:
    await work.session.merge(PasswordRow(tenant=row.tenant, user_id=row.id, hash=stored, changed_at=datetime.now(UTC)))


async def _keep_an_owner(work: Work, turn: Turn, row: UserRow) -> None:
    """Raise `LastOwner` when `row` is the only active owner. Locked, so that two owners cannot demote each other."""
    owners = await work.session.scalars(
        select(UserRow.id)
        .where(UserRow.tenant == turn.tenant, UserRow.status == "active", UserRow.roles.contains(["owner"]))
        .with_for_update()
    )
    if set(owners) == {row.id}:
        raise LastOwner()


async def _end_sessions(work: Work, row: UserRow) -> None:
    await work.session.execute(
        text(
            "UPDATE identity.session SET revoked_at = now()"
            " WHERE tenant = :tenant AND user_id = :user AND revoked_at IS NULL"
        ),
        {"tenant": row.tenant, "user": row.id},
    )


async def announce(session: AsyncSession, user_id: UUID) -> None:
    """Tell every process, with the commit, to believe nothing it remembers of this person."""
    await session.execute(text("SELECT pg_notify(:channel, :user)"), {"channel": CHANNEL, "user": str(user_id)})


async def _has_owner(session: AsyncSession, turn: Turn) -> bool:
    query = select(UserRow.id).where(UserRow.tenant == turn.tenant, UserRow.roles.contains(["owner"])).limit(1)
    return await session.scalar(query) is not None


async def _void_links(work: Work, turn: Turn) -> None:
    await work.session.execute(
        text("UPDATE identity.setup_link SET used_at = now() WHERE tenant = :tenant AND used_at IS NULL"),
        {"tenant": turn.tenant},
    )


async def _usable_link(session: AsyncSession, turn: Turn, token: str, *, lock: bool) -> SetupLinkRow:
    query = select(SetupLinkRow).where(SetupLinkRow.tenant == turn.tenant, SetupLinkRow.digest == digest(token))
    link = await session.scalar(query.with_for_update() if lock else query)
    if link is None or link.used_at is not None or link.expires_at <= datetime.now(UTC):
        raise ChallengeInvalid()
    if await _has_owner(session, turn):
        raise ChallengeInvalid()
    return link


async def loaded(session: AsyncSession, row: UserRow) -> User:
    """The person of this row, with what their roles permit now."""
    return user_of(row, await rights_here(session, row.tenant, row.roles))


def user_of(row: UserRow, rights: Rights) -> User:
    """The person as other modules know one."""
    return User(
        id=row.id,
        tenant=row.tenant,
        pseudonym=row.pseudonym,
        handle=row.handle,
        email=row.email,
        name=row.name,
        roles=tuple(row.roles),
        status=row.status,  # type: ignore[arg-type] # the table's CHECK says so
        created_at=row.created_at,
        issuer=row.issuer,
        permissions=rights.permissions,
        limits=rights.limits,
    )


def _checked(name: str, email: str, password: str) -> tuple[str, str]:
    name, email = name.strip(), email.strip().casefold()
    problems = {
        "name": _name_problem(name),
        "email": None if EMAIL.fullmatch(email) else "Write an e-mail address.",
        "password": weakness(password, person=(email, email.partition("@")[0], name)),
    }
    _refuse(problems)
    return name, email


def _name_problem(name: str) -> str | None:
    return None if 1 <= len(name) <= 200 and name.isprintable() else "Write a name of 1 to 200 characters."


def _refuse(problems: dict[str, str | None]) -> None:
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem is not None]
    if fields:
        raise ValidationFailed(fields=fields)

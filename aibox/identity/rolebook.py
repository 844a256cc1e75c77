"""The roles that a tenant makes itself: written, changed and deleted without anybody gaining what the writer lacks."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import Conflict, Forbidden, NotFound, ValidationFailed
from aibox.core.turn import Turn
from aibox.identity import Role, RoleChanged, RoleCreated, RoleDeleted, RoleInUse, RoleRights
from aibox.identity.accounts import actor, announce
from aibox.identity.definitions import defined, form_in
from aibox.identity.models import RoleRow, UserRow
from aibox.identity.roles import (
    RESERVED,
    SHIPPED,
    Rights,
    covers,
    form_of,
    is_within,
    rights_in,
    rights_of,
    told,
)
from aibox.identity.standing import EVERYBODY, Standing

MAX_ROLES, MAX_TOOLS, MAX_USD = 100, 200, 1_000_000_000
LABELS = {
    "owner": ("Owner", "Everything."),
    "admin": ("Admin", "Everything but the settings of the installation."),
    "member": ("Member", "Chat, agents and tools, own memory and the team’s."),
    "viewer": ("Viewer", "Reads own memory. No chat."),
}

_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}")
_TOOL = re.compile(r"\*|[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}")


class RoleBook:
    """The `Roles` of each tenant. A change is announced with its commit, and felt within a second everywhere."""

    def __init__(self, db: Database, standing: Standing) -> None:
        self._db = db
        self._standing = standing

    async def all(self, turn: Turn) -> list[Role]:
        async with self._db.read(turn) as session:
            count = await _counts(session, turn)
            shipped = [_shipped(name, count[name]) for name in SHIPPED]
            rows = await session.scalars(select(RoleRow).where(RoleRow.tenant == turn.tenant).order_by(RoleRow.name))
            return [*shipped, *(_role(row, count[row.name]) for row in rows)]

    async def one(self, turn: Turn, name: str) -> Role:
        for role in await self.all(turn):
            if role.name == name:
                return role
        raise NotFound()

    async def create(self, turn: Turn, *, name: str, label: str, about: str, permissions: RoleRights) -> Role:
        _check(label=label, about=about, permissions=permissions, name=name)
        rights, now = rights_in(permissions), datetime.now(UTC)
        async with self._db.work(turn) as work:
            own = await defined(work.session, turn.tenant)
            if name in own:
                raise Conflict("There is a role of this name already.")
            if len(own) >= MAX_ROLES:
                raise Conflict(f"There are {MAX_ROLES} roles already; delete one first.")
            await _require(work.session, turn, name, before=own, after={**own, name: rights})
            row = RoleRow(
                tenant=turn.tenant,
                name=name,
                label=label.strip(),
                about=about.strip(),
                rights=_stored(permissions),
                created_at=now,
                updated_at=now,
            )
            work.session.add(row)
            try:
                await work.session.flush()
            except IntegrityError:
                raise Conflict("There is a role of this name already.") from None
            work.record(RoleCreated(actor=actor(turn), target=name, rights=told(rights)))
            await announce(work.session, EVERYBODY)
        self._standing.forget(EVERYBODY)
        return _role(row, 0)

    async def change(
        self, turn: Turn, name: str, *, label: str | None, about: str | None, permissions: RoleRights | None
    ) -> Role:
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, name)
            label, about = row.label if label is None else label, row.about if about is None else about
            permissions = permissions or form_in(row)
            _check(label=label, about=about, permissions=permissions)
            own = await defined(work.session, turn.tenant)
            rights = rights_in(permissions)
            await _require(work.session, turn, name, before=own, after={**own, name: rights})
            row.label, row.about = label.strip(), about.strip()
            row.rights, row.updated_at = _stored(permissions), datetime.now(UTC)
            work.record(RoleChanged(actor=actor(turn), target=name, rights=told(rights)))
            await announce(work.session, EVERYBODY)
            people = (await _counts(work.session, turn))[name]
        self._standing.forget(EVERYBODY)
        return _role(row, people)

    async def delete(self, turn: Turn, name: str) -> None:
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, name)
            own = await defined(work.session, turn.tenant)
            await _require(work.session, turn, name, before=own, after=own)
            if await work.session.scalar(_IN_USE, {"tenant": turn.tenant, "role": name}):
                raise RoleInUse()
            await work.session.delete(row)
            work.record(RoleDeleted(actor=actor(turn), target=name))
            await announce(work.session, EVERYBODY)
        self._standing.forget(EVERYBODY)


_IN_USE = text("""
    SELECT EXISTS (SELECT FROM identity.user WHERE tenant = :tenant AND :role = ANY (roles))
        OR EXISTS (SELECT FROM identity.invitation WHERE tenant = :tenant AND :role = ANY (roles)
                   AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now())
        OR EXISTS (SELECT FROM identity.group_mapping m, jsonb_each_text(m.groups) g
                   WHERE m.tenant = :tenant AND g.value = :role)
""")


async def _require(
    session: AsyncSession, turn: Turn, name: str, *, before: Mapping[str, Rights], after: Mapping[str, Rights]
) -> None:
    """Raise `Forbidden` unless the caller may do all that the role permits, before and after, and nobody who has it
    gains by the change what the caller may not do.

    The second matters for what narrows: without its denials or limits a role gives its people what others of their
    roles allow.
    """
    if not all(covers(turn.principal, own[name]) for own in (before, after) if name in own):
        raise Forbidden("You may not do all that this role permits.")
    query = select(UserRow.roles).where(UserRow.tenant == turn.tenant, UserRow.roles.contains([name])).distinct()
    for roles in await session.scalars(query):
        then, now = rights_of(roles, before), rights_of(roles, after)
        if not is_within(now, then) and not covers(turn.principal, now):
            raise Forbidden("Someone with this role could then do more than you may.")


async def _row(session: AsyncSession, turn: Turn, name: str) -> RoleRow:
    if name in SHIPPED:
        raise Conflict("The shipped roles stay as they are; make one of your own.")
    row = await session.get(RoleRow, (turn.tenant, name), with_for_update=True) if _NAME.fullmatch(name) else None
    if row is None:
        raise NotFound()
    return row


async def _counts(session: AsyncSession, turn: Turn) -> Counter[str]:
    rows = await session.execute(
        text("SELECT r, count(*) FROM identity.user, unnest(roles) r WHERE tenant = :tenant GROUP BY r"),
        {"tenant": turn.tenant},
    )
    return Counter(dict(tuple(row) for row in rows))


def _shipped(name: str, people: int) -> Role:
    label, about = LABELS[name]
    return Role(name=name, label=label, about=about, is_shipped=True, permissions=form_of(SHIPPED[name]), people=people)


def _role(row: RoleRow, people: int) -> Role:
    return Role(
        name=row.name, label=row.label, about=row.about, is_shipped=False, permissions=form_in(row), people=people
    )


def _stored(permissions: RoleRights) -> dict[str, object]:
    form: dict[str, object] = msgspec.to_builtins(permissions)
    return form


def _check(*, label: str, about: str, permissions: RoleRights, name: str | None = None) -> None:
    tools, cost = permissions.tools, permissions.cost
    problems = {
        "name": None if name is None or (_NAME.fullmatch(name) and name not in RESERVED) else _NAME_PROBLEM,
        "label": None if _is_line(label, 1, 60) else "Write a title of 1 to 60 characters.",
        "about": None if _is_line(about, 0, 300) else "Write at most 300 characters, in one line.",
        "permissions.tools.allowed": _tools_problem(tools.allowed),
        "permissions.tools.denied": "Leave out `*`: who may use no tool is allowed none."
        if "*" in tools.denied
        else _tools_problem(tools.denied),
        "permissions.cost.monthly_limit_usd": _usd_problem(cost.monthly_limit_usd),
        "permissions.cost.per_request_limit_usd": _usd_problem(cost.per_request_limit_usd),
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem is not None]
    if fields:
        raise ValidationFailed(fields=fields)


_NAME_PROBLEM = "Write 2 to 40 small letters, digits and hyphens, a letter first; the shipped roles keep their names."


def _is_line(written: str, least: int, most: int) -> bool:
    return least <= len(written.strip()) <= most and written.isprintable()


def _tools_problem(names: Iterable[str]) -> str | None:
    names = list(names)
    if len(names) <= MAX_TOOLS and all(_TOOL.fullmatch(name) for name in names):
        return None
    return f"Name at most {MAX_TOOLS} tools, by letters, digits and _ . : / -"


def _usd_problem(usd: Decimal | None) -> str | None:
    if usd is None or (usd.is_finite() and 0 <= usd <= MAX_USD and usd == round(usd, 6)):
        return None
    return "Write US dollars with at most six decimals, or leave it out for no limit."

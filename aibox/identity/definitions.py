"""What the names of roles mean in a tenant: the roles made there, as rows hold them."""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.identity import RoleRights
from aibox.identity.models import RoleRow
from aibox.identity.roles import BUILT_IN, SHIPPED, Rights, checked_roles, rights_in, rights_of

DEFINED = (
    "(SELECT jsonb_object_agg(r.name, r.rights) FROM identity.role r"
    " WHERE r.tenant = u.tenant AND r.name = ANY (u.roles)) AS defined"
)
"""A column for the look-ups of credentials: the roles that the person `u` has and the tenant made."""


async def defined(session: AsyncSession, tenant: UUID) -> dict[str, Rights]:
    """The rights of each role that the tenant made, by its name, in order."""
    rows = await session.scalars(select(RoleRow).where(RoleRow.tenant == tenant).order_by(RoleRow.name))
    return {row.name: rights_in(form_in(row)) for row in rows}


async def rights_here(session: AsyncSession, tenant: UUID, roles: Iterable[str]) -> Rights:
    """What these roles permit together in this tenant."""
    names = list(roles)
    own = [name for name in names if name not in BUILT_IN]
    return rights_of(names, await defined(session, tenant) if own else {})


async def roles_here(
    session: AsyncSession, tenant: UUID, roles: Iterable[str], *, is_multi: bool
) -> tuple[list[str], Rights]:
    """The roles in their order, and what they permit. Raises `ValidationFailed` for none or an unknown one."""
    own = await defined(session, tenant)
    names = checked_roles(list(roles), [*(BUILT_IN if is_multi else SHIPPED), *own])
    return names, rights_of(names, own)


def form_in(row: RoleRow) -> RoleRights:
    """The permission object of a role that the tenant made."""
    return msgspec.convert(row.rights, RoleRights)

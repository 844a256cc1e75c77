"""What administrators see and decide of other sign-in services: their keys' health, which groups have which roles."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import Forbidden, NotFound, ValidationFailed
from aibox.core.turn import Turn
from aibox.identity import (
    Examined,
    GroupsMapped,
    InvalidIssuer,
    Issuer,
    SignInService,
    TenancySettings,
    TenantMismatch,
)
from aibox.identity.accounts import actor, announce, require_manager
from aibox.identity.challenges import Tests
from aibox.identity.definitions import roles_here
from aibox.identity.federation import Federation
from aibox.identity.issuers import Issuers
from aibox.identity.models import GroupMappingRow
from aibox.identity.roles import covers
from aibox.identity.signin import TEST_PAGE
from aibox.identity.sso import BEGUN_SECONDS, SingleSignOn
from aibox.identity.standing import EVERYBODY, Standing
from aibox.identity.tokens import parse
from aibox.identity.web import Web

MAX_GROUPS = 200

_CLAIM = re.compile(r"[\x21-\x7e]{1,200}")


class SignInServiceBook:
    """The `SignInServices` of each tenant. A mapping is announced with its commit: the next request feels it."""

    def __init__(
        self,
        db: Database,
        standing: Standing,
        issuers: Issuers,
        federation: Federation,
        sso: SingleSignOn,
        web: Web,
        tests: Tests,
        tenancy: TenancySettings,
    ) -> None:
        self._db = db
        self._standing = standing
        self._issuers = issuers
        self._federation = federation
        self._sso = sso
        self._web = web
        self._tests = tests
        self._tenancy = tenancy

    async def all(self, turn: Turn) -> list[SignInService]:
        query = select(GroupMappingRow).where(GroupMappingRow.tenant == turn.tenant)
        async with self._db.read(turn) as session:
            mapped = {row.issuer: row for row in await session.scalars(query)}
        return [self._seen(row, mapped.get(row.iss)) for row in self._issuers.all if self._is_for(turn, row)]

    async def map_groups(self, turn: Turn, alias: str, *, claim: str, groups: Mapping[str, str]) -> SignInService:
        issuer = self._named(turn, alias)
        _check(claim, groups)
        async with self._db.work(turn) as work:
            row = await work.session.get(GroupMappingRow, (turn.tenant, issuer.iss), with_for_update=True)
            await self._require(turn, work.session, issuer, row, groups)
            row = await work.session.merge(
                GroupMappingRow(
                    tenant=turn.tenant,
                    issuer=issuer.iss,
                    claim=claim,
                    groups=dict(groups),
                    updated_at=datetime.now(UTC),
                )
            )
            work.record(_mapped(turn, issuer, claim, groups))
            await announce(work.session, EVERYBODY)
        self._standing.forget(EVERYBODY)
        return self._seen(issuer, row)

    async def unmap_groups(self, turn: Turn, alias: str) -> SignInService:
        issuer = self._named(turn, alias)
        async with self._db.work(turn) as work:
            row = await work.session.get(GroupMappingRow, (turn.tenant, issuer.iss), with_for_update=True)
            if row is not None:
                await self._require(turn, work.session, issuer, row, issuer.groups)
                await work.session.delete(row)
                work.record(_mapped(turn, issuer, issuer.groups_claim, issuer.groups))
                await announce(work.session, EVERYBODY)
        self._standing.forget(EVERYBODY)
        return self._seen(issuer, None)

    async def check(self, turn: Turn, alias: str) -> SignInService:
        await self._issuers.check(self._named(turn, alias))
        return next(one for one in await self.all(turn) if one.issuer.alias == alias)

    async def examine(self, turn: Turn, alias: str, token: str) -> Examined:
        issuer = self._named(turn, alias)
        parsed = parse(token)
        if parsed.claims.get("iss") != issuer.iss:
            raise InvalidIssuer("The token comes from another issuer than this one.")
        vouched = await self._issuers.access(token, parsed)
        if vouched.tenant != turn.tenant:
            raise TenantMismatch("The token belongs to another tenant.")
        return await self._federation.examined(vouched)

    async def begin_test(self, turn: Turn, alias: str) -> tuple[str, str]:
        issuer = self._named(turn, alias)
        tester = (turn.tenant, turn.principal.id)
        address, binding = await self._sso.begin(issuer.alias, TEST_PAGE, tester=tester)
        return address, self._web.state_cookie(binding, seconds=BEGUN_SECONDS)

    async def tested(self, turn: Turn, test: str) -> Examined:
        return await self._tests.take(turn.tenant, turn.principal.id, test)

    async def _require(
        self,
        turn: Turn,
        session: AsyncSession,
        issuer: Issuer,
        row: GroupMappingRow | None,
        groups: Mapping[str, str],
    ) -> None:
        """Raise `Forbidden` unless the caller hands out roles and may do all that is mapped to, before and after."""
        before = issuer.groups if row is None else row.groups
        for role in {*before.values(), *groups.values()}:
            _, rights = await roles_here(session, turn.tenant, [role], is_multi=self._tenancy.mode == "multi")
            if not covers(turn.principal, rights):
                raise Forbidden("A group has, or would have, a role that permits more than you may do.")
        require_manager(turn)

    def _named(self, turn: Turn, alias: str) -> Issuer:
        for row in self._issuers.all:
            if row.alias == alias and self._is_for(turn, row):
                return row
        raise NotFound()

    def _is_for(self, turn: Turn, row: Issuer) -> bool:
        """Whether people of the turn's tenant can come from this issuer."""
        if self._tenancy.mode == "single":
            return True
        if row.tenant_rule == "pinned":
            return (row.tenant or self._tenancy.single_tenant_id) == turn.tenant
        return turn.tenant in row.tenants.values()

    def _seen(self, row: Issuer, mapped: GroupMappingRow | None) -> SignInService:
        return SignInService(
            issuer=row,
            groups_claim=row.groups_claim if mapped is None else mapped.claim,
            groups=dict(row.groups if mapped is None else mapped.groups),
            is_set_here=mapped is not None,
            health=self._issuers.health(row),
        )


def _mapped(turn: Turn, issuer: Issuer, claim: str, groups: Mapping[str, str]) -> GroupsMapped:
    return GroupsMapped(actor=actor(turn), target=issuer.alias, claim=claim, roles=tuple(sorted(set(groups.values()))))


def _check(claim: str, groups: Mapping[str, str]) -> None:
    problems = {
        "groups_claim": None if _CLAIM.fullmatch(claim) else "Write a claim's name, or its path with dots.",
        "groups": None
        if len(groups) <= MAX_GROUPS and all(0 < len(name) <= 300 and name.isprintable() for name in groups)
        else f"Name at most {MAX_GROUPS} groups, each in one line of at most 300 characters.",
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem is not None]
    if fields:
        raise ValidationFailed(fields=fields)

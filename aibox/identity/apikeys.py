"""API keys: made for a person, shown once, found again by their HMAC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from aibox.core.db import Database
from aibox.core.errors import NotFound, ValidationFailed
from aibox.core.keyring import Ring
from aibox.core.turn import Turn
from aibox.identity import ApiKey, KeyCreated, KeyRevoked
from aibox.identity.accounts import actor, announce, reach
from aibox.identity.models import ApiKeyRow
from aibox.identity.roles import SCOPES
from aibox.identity.secrets import api_key_digests, new_api_key
from aibox.identity.standing import Standing

MAX_DAYS = 365
MAX_USD = 1_000_000_000


class ApiKeys:
    """The keys of the people of the turn's tenant: one's own, or, with `admin.manage_users`, another's."""

    def __init__(self, db: Database, standing: Standing, ring: Ring) -> None:
        self._db = db
        self._standing = standing
        self._ring = ring

    async def create(
        self,
        turn: Turn,
        *,
        user_id: UUID,
        name: str,
        scopes: Sequence[str],
        days: int,
        models: Sequence[str] | None,
        budget_usd: Decimal | None,
    ) -> str:
        _check(name, scopes, days, models, budget_usd)
        key_id, key = new_api_key()
        async with self._db.work(turn) as work:
            owner = await reach(work.session, turn, user_id)
            now = datetime.now(UTC)
            work.session.add(
                ApiKeyRow(
                    tenant=turn.tenant,
                    id=key_id,
                    user_id=user_id,
                    name=name.strip(),
                    digest=api_key_digests(self._ring, key)[0],
                    scopes=sorted(set(scopes)),
                    created_at=now,
                    expires_at=now + timedelta(days=days),
                    revoked_at=None,
                    used_at=None,
                    models=None if models is None else sorted(set(models)),
                    budget_usd=budget_usd,
                )
            )
            work.record(
                KeyCreated(actor=actor(turn), target=owner.pseudonym, key=key_id, scopes=tuple(sorted(set(scopes))))
            )
        return key

    async def all(self, turn: Turn, *, user_id: UUID) -> list[ApiKey]:
        query = (
            select(ApiKeyRow)
            .where(ApiKeyRow.tenant == turn.tenant, ApiKeyRow.user_id == user_id)
            .order_by(ApiKeyRow.created_at.desc())
            .limit(200)
        )
        async with self._db.read(turn) as session:
            await reach(session, turn, user_id)
            return [_api_key(row) for row in await session.scalars(query)]

    async def revoke(self, turn: Turn, *, user_id: UUID, key_id: str) -> None:
        async with self._db.work(turn) as work:
            owner = await reach(work.session, turn, user_id)
            row = await work.session.get(ApiKeyRow, (turn.tenant, key_id))
            if row is None or row.user_id != user_id:
                raise NotFound()
            if row.revoked_at is None:
                row.revoked_at = datetime.now(UTC)
                work.record(KeyRevoked(actor=actor(turn), target=owner.pseudonym, key=key_id))
                await announce(work.session, user_id)
        self._standing.forget(user_id)


def _check(
    name: str, scopes: Sequence[str], days: int, models: Sequence[str] | None, budget_usd: Decimal | None
) -> None:
    problems = {
        "name": None
        if 1 <= len(name.strip()) <= 100 and name.isprintable()
        else "Write a name of 1 to 100 characters.",
        "scopes": None if scopes and set(scopes) <= set(SCOPES) else f"Choose of {', '.join(SCOPES)}.",
        "models": None
        if models is None or (1 <= len(models) <= 100 and all(1 <= len(m) <= 200 and m.isprintable() for m in models))
        else "Name 1 to 100 models, or leave it out for all.",
        "budget_usd": None
        if budget_usd is None or _is_amount(budget_usd)
        else "Write US dollars with at most six decimals, or leave it out for no limit.",
        "days": None if 1 <= days <= MAX_DAYS else f"Choose 1 to {MAX_DAYS} days.",
    }
    fields = [{"field": field, "error": problem} for field, problem in problems.items() if problem is not None]
    if fields:
        raise ValidationFailed(fields=fields)


def _api_key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        is_revoked=row.revoked_at is not None,
        models=None if row.models is None else tuple(row.models),
        budget_usd=row.budget_usd,
    )


def _is_amount(usd: Decimal) -> bool:
    return usd.is_finite() and 0 <= usd <= MAX_USD and usd == round(usd, 6)

"""The bundle of a tenant: which rows of the catalogue are applied, and how what is staged differs from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Row
from aibox.observability import Price, dollars
from aibox.router import ROLES, BundleChange, BundleStale, Model, Provider
from aibox.router.snapshot import Entry, Route, Shelf

_PUBLISH: Final = text("""
    INSERT INTO router.bundle AS b (tenant, staged, applied, document, applied_at)
    VALUES (:tenant, 1, 1, router.document(:tenant), now())
    ON CONFLICT (tenant) DO UPDATE SET staged = b.staged + 1, applied = b.staged + 1,
        document = excluded.document, staged_at = now(), applied_at = now()""")
_STAGE: Final = text("""
    INSERT INTO router.bundle AS b (tenant, staged, applied, document)
    VALUES (:tenant, 1, 0, '{"providers": [], "models": [], "roles": []}')
    ON CONFLICT (tenant) DO UPDATE SET staged = b.staged + 1, staged_at = now()""")
_REVISION: Final = text("SELECT staged FROM router.bundle WHERE tenant = :tenant")
_APPLY: Final = text("""
    UPDATE router.bundle SET applied = staged, document = router.document(:tenant), applied_at = now()
    WHERE tenant = :tenant""")
_SETTLE: Final = text("""
    UPDATE router.bundle SET staged = staged + 1, applied = staged + 1, staged_at = now() WHERE tenant = :tenant""")
_TABLES: Final = ("provider", "model", "role")
MOST_SENTENCES: Final = 100


class Revisions(Struct, frozen=True):
    """A tenant's row of `router.bundle`, without its document."""

    tenant: UUID
    staged: int = 0
    applied: int = 0
    staged_at: datetime | None = None
    applied_at: datetime | None = None

    @property
    def is_applied(self) -> bool:
        """Whether nothing is staged."""
        return self.staged == self.applied


REVISIONS: Final = "SELECT tenant, staged, applied, staged_at, applied_at FROM router.bundle"


def staged_query(row: type[Row]) -> str:
    """Reads the rows of the tenants that have staged changes, as they are staged."""
    return (
        f"SELECT {_columns(row)} FROM router.{row.__tablename__}"  # noqa: S608 - names of our own tables
        " JOIN router.bundle USING (tenant) WHERE staged <> applied"
    )


def applied_query(row: type[Row]) -> str:
    """Reads the rows of all tenants as they were when they were applied."""
    table = row.__tablename__
    return (
        f"SELECT {_columns(row)} FROM router.bundle AS b"  # noqa: S608 - as above
        f" CROSS JOIN LATERAL jsonb_populate_recordset(null::router.{table}, b.document -> '{table}s') AS {table}"
    )


def _columns(row: type[Row]) -> str:
    return ", ".join(f"{row.__tablename__}.{column.name}" for column in row.__table__.columns)


async def publish(session: AsyncSession, tenant: UUID) -> None:
    """Apply all rows as they stand in the caller's Work, as the next revision."""
    await session.flush()
    await session.execute(_PUBLISH, {"tenant": tenant})


async def stage(session: AsyncSession, tenant: UUID) -> None:
    """Count the rows as they stand in the caller's Work as the next revision, to be applied later."""
    await session.flush()
    await session.execute(_STAGE, {"tenant": tenant})


async def apply(session: AsyncSession, tenant: UUID, *, revision: int | None) -> int:
    """Apply what is staged; its revision. Raises `BundleStale` when that is not `revision`."""
    staged = await _require(session, tenant, revision)
    await session.execute(_APPLY, {"tenant": tenant})
    return staged


async def discard(session: AsyncSession, tenant: UUID, *, revision: int | None) -> int:
    """Make the rows what is applied; the revision that was given up. Raises `BundleStale` as `apply`."""
    staged = await _require(session, tenant, revision)
    await session.execute(text("DELETE FROM router.provider WHERE tenant = :tenant"), {"tenant": tenant})
    for table in _TABLES:
        await session.execute(
            text(
                f"INSERT INTO router.{table} SELECT r.* FROM router.bundle AS b CROSS JOIN LATERAL"  # noqa: S608 - ours
                f" jsonb_populate_recordset(null::router.{table}, b.document -> '{table}s') AS r"
                " WHERE b.tenant = :tenant"
            ),
            {"tenant": tenant},
        )
    await session.execute(_SETTLE, {"tenant": tenant})
    return staged


async def _require(session: AsyncSession, tenant: UUID, revision: int | None) -> int:
    staged = (await session.scalars(_REVISION, {"tenant": tenant})).first() or 0
    if revision is not None and revision != staged:
        raise BundleStale()
    return int(staged)


def sentences(changes: Iterable[BundleChange]) -> tuple[str, ...]:
    """The changes as an event tells them: not more than fit into one."""
    told = [change.sentence for change in changes]
    more = len(told) - MOST_SENTENCES
    return (*told[:MOST_SENTENCES], f"And {more} more.") if more > 0 else tuple(told)


def diff(applied: Shelf, staged: Shelf) -> list[BundleChange]:
    """What applying `staged` would change, in sentences."""
    before = {entry.provider.id: entry for entry in applied.entries}
    after = {entry.provider.id: entry for entry in staged.entries}
    changes: list[BundleChange] = []
    for entry in (*after.values(), *(gone for id, gone in before.items() if id not in after)):
        changes += _of_provider(before.get(entry.provider.id), after.get(entry.provider.id))
    for role in ROLES:
        changes += _of_role(role, applied.roles.get(role, ()), staged.roles.get(role, ()))
    return changes


def _of_provider(before: Entry | None, after: Entry | None) -> Iterator[BundleChange]:
    if before is None and after is not None:
        name = after.provider.name
        sentence = f"The provider {name} ({after.provider.base_url}) is added with {len(after.provider.models)} models."
        yield BundleChange(change="added", subject="provider", name=name, sentence=sentence)
    elif after is None and before is not None:
        name = before.provider.name
        sentence = f"The provider {name} is removed with {len(before.provider.models)} models."
        yield BundleChange(change="removed", subject="provider", name=name, sentence=sentence)
    elif before is not None and after is not None:
        yield from provider_changes(before, after)
        yield from _of_models(before.provider, after.provider)


def provider_changes(before: Entry, after: Entry) -> Iterator[BundleChange]:
    """How the provider itself differs, its models aside."""
    if before.api_key != after.api_key or before.provider.has_key != after.provider.has_key:
        word = "replaced" if before.provider.has_key else "stored"
        word = word if after.provider.has_key else "removed"
        yield _changed("provider", after.provider.name, "api_key", None, None, f"its API key is {word}")
    old, new = _provider_fields(before.provider), _provider_fields(after.provider)
    yield from _fields("provider", after.provider.name, old, new)


def _provider_fields(provider: Provider) -> dict[str, str]:
    any_number = "any number"
    return {
        "name": provider.name,
        "type": provider.type,
        "adapter": provider.adapter,
        "base_url": provider.base_url,
        "enabled": _yes(provider.enabled),
        "max_concurrency": any_number if provider.max_concurrency is None else str(provider.max_concurrency),
        "max_waiting": str(provider.max_waiting),
        "queue_seconds": f"{provider.queue_seconds:g}",
    }


def _of_models(before: Provider, after: Provider) -> Iterator[BundleChange]:
    old, new = {model.id: model for model in before.models}, {model.id: model for model in after.models}
    for id in dict.fromkeys((*new, *old)):
        yield from model_changes(old.get(id), new.get(id), provider=after.name)


def model_changes(before: Model | None, after: Model | None, *, provider: str) -> Iterator[BundleChange]:
    """How a model of `provider` differs; None where it does not exist."""
    if before is None and after is not None:
        name = f"{provider}/{after.id}"
        yield BundleChange(change="added", subject="model", name=name, sentence=f"The model {name} is added.")
    elif after is None and before is not None:
        name = f"{provider}/{before.id}"
        yield BundleChange(change="removed", subject="model", name=name, sentence=f"The model {name} is removed.")
    elif before is not None and after is not None:
        yield from _fields("model", f"{provider}/{after.id}", _model_fields(before), _model_fields(after))


def _model_fields(model: Model) -> dict[str, str]:
    return {
        "capabilities": ", ".join(model.capabilities) or "not said",
        "context": "not said" if model.context is None else str(model.context),
        "price": "not known" if model.price is None else price_words(model.price),
    }


def price_words(price: Price) -> str:
    """A price as people read it: US dollars per million tokens."""
    kinds = (
        ("in", price.input_usd),
        ("out", price.output_usd),
        ("cached", price.cached_input_usd),
        ("cache write", price.cache_write_usd),
        ("reasoning", price.reasoning_usd),
    )
    return ", ".join(f"${dollars(usd)} {kind}" for kind, usd in kinds if usd is not None)


def _of_role(role: str, before: Sequence[Route], after: Sequence[Route]) -> Iterator[BundleChange]:
    old, new = _names(before), _names(after)
    if old != new:
        yield BundleChange(
            change="changed",
            subject="role",
            name=role,
            field="models",
            before=old,
            after=new,
            sentence=f"The role {role} leads to {new or 'nothing'} instead of {old or 'nothing'}.",
        )


def _names(routes: Sequence[Route]) -> str | None:
    return ", then ".join(route.name for route in routes) or None


def _fields(subject: str, name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[BundleChange]:
    for field, value in new.items():
        if old[field] != value:
            words = f"`{field}` is {value} instead of {old[field]}"
            yield _changed(subject, name, field, old[field], value, words)


def _changed(subject: str, name: str, field: str, before: str | None, after: str | None, words: str) -> BundleChange:
    return BundleChange(
        change="changed",
        subject="model" if subject == "model" else "provider",
        name=name,
        field=field,
        before=before,
        after=after,
        sentence=f"Of the {subject} {name}: {words}.",
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"

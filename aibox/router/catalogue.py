"""The catalogue as administrators change it: providers, models and roles, staged and applied."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import Connections
from aibox.core.db import Database, Work
from aibox.core.errors import Conflict, NotAvailable, NotFound, ValidationFailed
from aibox.core.http import Client
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn, uuid7
from aibox.observability import Price
from aibox.router import (
    KINDS,
    ROLES,
    AdapterName,
    Bundle,
    BundleMoved,
    BundleStale,
    BundleState,
    EngineMetrics,
    ListedModel,
    Model,
    ModelRemoved,
    ModelSet,
    ModelTerms,
    ModelUnknown,
    PriceSet,
    Provider,
    ProviderAdded,
    ProviderChange,
    ProviderChanged,
    ProviderRemoved,
    ProviderTest,
    RoleSet,
    Settings,
    bundles,
)
from aibox.router.gates import Gates
from aibox.router.health import Health
from aibox.router.inspection import Sample, engine_sample, metrics_of, tested
from aibox.router.models import ModelRow, ProviderRow, RoleRow
from aibox.router.registration import checked_name, chosen, normalised, probe
from aibox.router.shelves import Shelves, key_owner
from aibox.router.snapshot import Entry, Route, Shelf

LOCK = 6_127_740_233
"""Any constant: one change of a tenant's catalogue at a time where the order of two would matter."""

MOST_NAME: Final = 300
MOST_CAPABILITIES: Final = 20
MOST_USD: Final = 1_000_000
LEAST_USD: Final = Decimal("1e-12")
"""A price is a multiple of this, per million tokens."""

_Act = Callable[..., Awaitable[int]]
_CAPABILITY: Final = re.compile(r"[a-z][a-z0-9_.-]{0,31}")


class CatalogueService:
    """See `Catalogue`. What is staged is read and changed here; calls read `shelf(tenant)`, what is applied."""

    def __init__(
        self,
        settings: Settings,
        *,
        db: Database,
        connections: Connections,
        keys: DataKeys,
        http: Client,
        health: Health,
        gates: Gates,
    ) -> None:
        self._settings = settings
        self._db = db
        self._shelves = Shelves(connections, keys, swapped=self._forget_others)
        self._keys = keys
        self._http = http
        self._health = health
        self._gates = gates
        self._samples: dict[UUID, Sample] = {}

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load what is stored, and keep it fresh until the block ends."""
        async with self._shelves.run(tasks):
            yield

    def shelf(self, tenant: UUID) -> Shelf:
        """What calls of `tenant` use. Raises `StateUnavailable` before the first load."""
        return self._shelves.applied(tenant)

    async def refresh(self) -> None:
        """Read everything anew. Raises `StateUnavailable`; what was read last stays then."""
        await self._shelves.refresh()

    async def add_provider(
        self,
        turn: Turn,
        *,
        name: str,
        base_url: str,
        api_key: str | None = None,
        type: str = "external",
        adapter: AdapterName = "chat_completions",
        models: Sequence[str] | None = None,
    ) -> Provider:
        """See `Catalogue.add_provider`."""
        name = checked_name(name)
        if type not in ("vllm", "external"):
            raise _invalid("type", "`vllm` or `external`")
        api_key = _checked_key(api_key)
        address = normalised(base_url)
        self._require_free(turn, name)
        probed = await probe(
            self._http, address, api_key, adapter=adapter, connect_seconds=self._settings.connect_seconds
        )
        found = chosen(probed.models, models)
        provider_id = uuid7()
        sealed = await self._sealed(turn, provider_id, api_key)
        async with self._change(turn) as work:
            await _require_free(work, turn.tenant, name)
            work.session.add(
                ProviderRow(
                    tenant=turn.tenant,
                    id=provider_id,
                    name=name,
                    type=type,
                    adapter=adapter,
                    base_url=probed.base_url,
                    api_key=sealed,
                )
            )
            await work.session.flush()
            work.session.add_all(
                ModelRow(tenant=turn.tenant, provider=provider_id, id=item.id, context=item.context, position=position)
                for position, item in enumerate(found)
            )
            work.record(
                ProviderAdded(actor=actor(turn), provider=name, kind=type, base_url=probed.base_url, models=len(found))
            )
        return await self.provider(turn, str(provider_id))

    async def providers(self, turn: Turn) -> list[Provider]:
        """All providers as they are staged, the oldest first."""
        shelf = self._shelves.staged(turn.tenant)
        return [self._shown(shelf, entry) for entry in shelf.entries]

    async def provider(self, turn: Turn, provider: str) -> Provider:
        """See `Catalogue.provider`."""
        shelf = self._shelves.staged(turn.tenant)
        return self._shown(shelf, _entry(shelf, provider))

    async def change_provider(self, turn: Turn, provider: str, change: ProviderChange) -> Provider:
        """See `Catalogue.change_provider`."""
        before = _entry(self._shelves.staged(turn.tenant), provider)
        given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET}
        values = await self._values(turn, before, given)
        api_key = values.pop("api_key", before.api_key)
        known = replace(before.provider, **values)
        changes = list(bundles.provider_changes(before, replace(before, provider=known, api_key=api_key)))
        if not changes:
            return await self.provider(turn, provider)
        columns = {name: value for name, value in values.items() if name != "has_key"}
        if "api_key" in given:
            columns["api_key"] = await self._sealed(turn, before.provider.id, api_key)
        async with self._change(turn) as work:
            if known.name != before.provider.name:
                await _require_free(work, turn.tenant, known.name)
            row = await work.session.get(ProviderRow, (turn.tenant, before.provider.id))
            if row is None:
                raise _no_provider()
            for name, value in columns.items():
                setattr(row, name, value)
            work.record(
                ProviderChanged(actor=actor(turn), provider=before.provider.name, changes=bundles.sentences(changes))
            )
        return await self.provider(turn, str(before.provider.id))

    async def _values(self, turn: Turn, before: Entry, given: dict[str, Any]) -> dict[str, Any]:
        """What is given, checked and, where it says how the provider is reached, tried. Raises as `add_provider`."""
        values = dict(given)
        if before.provider.type == "local" and (fixed := {*given} & {"name", "type", "adapter", "base_url", "api_key"}):
            raise _invalid(min(fixed), "cannot be changed for the models that AIBox serves itself")
        if "name" in given:
            values["name"] = checked_name(given["name"])
        if "api_key" in given:
            values["api_key"] = _checked_key(given["api_key"])
            values["has_key"] = values["api_key"] is not None
        if {*given} & {"base_url", "api_key", "adapter"}:
            address = normalised(given.get("base_url", before.provider.base_url))
            key = values.get("api_key", before.api_key)
            spoken = given.get("adapter", before.provider.adapter)
            seconds = self._settings.connect_seconds
            probed = await probe(self._http, address, key, adapter=spoken, connect_seconds=seconds)
            values["base_url"] = probed.base_url
        return values

    async def test_provider(self, turn: Turn, provider: str) -> ProviderTest:
        """See `Catalogue.test_provider`."""
        entry = _entry(self._shelves.staged(turn.tenant), provider)
        if entry.provider.type == "local":
            problem = self._health.local_problem
            models = tuple(model.id for model in entry.provider.models)
            code = "backend_unavailable" if problem else ""
            return ProviderTest(ok=not problem, latency_ms=0, models=models, code=code, sentence=problem)
        done = await tested(self._http, entry, connect_seconds=self._settings.connect_seconds)
        if done.ok:
            self._health.forgive(entry.provider.id)
        return done

    async def provider_models(self, turn: Turn, provider: str) -> list[ListedModel]:
        """See `Catalogue.provider_models`."""
        entry = _entry(self._shelves.staged(turn.tenant), provider)
        known = {model.id for model in entry.provider.models}
        if entry.provider.type == "local":
            return [ListedModel(id=one.id, context=one.context, is_known=True) for one in entry.provider.models]
        seconds = self._settings.connect_seconds
        spoken = entry.provider.adapter
        address, key = entry.provider.base_url, entry.api_key
        probed = await probe(self._http, address, key, adapter=spoken, connect_seconds=seconds)
        return [ListedModel(id=one.id, context=one.context, is_known=one.id in known) for one in probed.models]

    async def provider_metrics(self, turn: Turn, provider: str) -> EngineMetrics:
        """See `Catalogue.provider_metrics`."""
        entry = _entry(self._shelves.staged(turn.tenant), provider)
        if entry.provider.type != "vllm":
            raise NotAvailable("Only a provider of type vllm tells its metrics.")
        sample = await engine_sample(self._http, entry, connect_seconds=self._settings.connect_seconds)
        before = self._samples.get(entry.provider.id)
        self._samples[entry.provider.id] = sample
        return metrics_of(sample, before)

    async def remove_provider(self, turn: Turn, provider: str) -> None:
        """See `Catalogue.remove_provider`. Raises `NotFound`."""
        known = _entry(self._shelves.staged(turn.tenant), provider).provider
        async with self._change(turn) as work:
            await work.session.execute(
                delete(ProviderRow).where(ProviderRow.tenant == turn.tenant, ProviderRow.id == known.id)
            )
            work.record(ProviderRemoved(actor=actor(turn), provider=known.name))

    async def set_model(self, turn: Turn, provider: str, model: str, terms: ModelTerms) -> Model:
        """See `Catalogue.set_model`. Raises `ValidationFailed`."""
        _check_terms(model, terms)
        known = _entry(self._shelves.staged(turn.tenant), provider).provider
        before = next((one for one in known.models if one.id == model), None)
        after = replace(
            before or Model(id=model, provider=known.name),
            capabilities=tuple(dict.fromkeys(terms.capabilities)),
            context=terms.context,
            price=terms.price,
        )
        changes = bundles.sentences(bundles.model_changes(before, after, provider=known.name))
        if changes:
            async with self._change(turn) as work:
                await _store_model(work.session, turn.tenant, known.id, after)
                work.record(ModelSet(actor=actor(turn), model=f"{known.name}/{model}", changes=changes))
        shown = await self.provider(turn, str(known.id))
        return next(one for one in shown.models if one.id == model)

    async def remove_model(self, turn: Turn, provider: str, model: str) -> None:
        """See `Catalogue.remove_model`."""
        known = _entry(self._shelves.staged(turn.tenant), provider).provider
        if all(one.id != model for one in known.models):
            raise ModelUnknown(f"The provider {known.name} has no model called {model[:100]} here.")
        if known.type == "local":
            raise _invalid("model", "the models that AIBox serves itself cannot be removed")
        async with self._change(turn) as work:
            await work.session.execute(
                delete(ModelRow).where(
                    ModelRow.tenant == turn.tenant, ModelRow.provider == known.id, ModelRow.id == model
                )
            )
            work.record(ModelRemoved(actor=actor(turn), model=f"{known.name}/{model}"))

    async def set_role(self, turn: Turn, role: str, model: str | None, *, fallbacks: Sequence[str] = ()) -> None:
        """See `Catalogue.set_role`. Raises `ModelUnknown`, `ValidationFailed`."""
        if role not in ROLES:
            raise _invalid("role", f"one of {', '.join(ROLES)}")
        if model is None and fallbacks:
            raise _invalid("fallbacks", "none without a model")
        shelf = self._shelves.staged(turn.tenant)
        routes = [] if model is None else [shelf.find(name) for name in (model, *fallbacks)]
        routes = list(dict.fromkeys(routes))
        _require_fit(role, routes)
        async with self._change(turn) as work:
            await set_role_rows(work.session, turn.tenant, role, routes)
            work.record(RoleSet(actor=actor(turn), role=role, models=tuple(route.name for route in routes)))

    async def roles(self, turn: Turn) -> dict[str, dict[str, Any] | None]:
        """See `Catalogue.roles`."""
        shelf = self._shelves.staged(turn.tenant)
        listed: dict[str, dict[str, Any] | None] = {}
        for alias in ROLES:
            names = [route.name for route in shelf.roles.get(alias, ())]
            listed[alias] = {"model": names[0], "fallbacks": names[1:]} if names else None
        return listed

    async def set_price(self, turn: Turn, model: str, price: Price | None) -> None:
        """US dollars per million tokens of `model`, None when they are not known. Raises `ModelUnknown`."""
        _check_price(price)
        route = self._shelves.staged(turn.tenant).find(model)
        async with self._change(turn) as work:
            await work.session.execute(
                update(ModelRow)
                .where(
                    ModelRow.tenant == turn.tenant,
                    ModelRow.provider == route.entry.provider.id,
                    ModelRow.id == route.model.id,
                )
                .values(_price_columns(price))
            )
            work.record(
                PriceSet(
                    actor=actor(turn),
                    model=route.name,
                    input_usd="" if price is None else format(price.input_usd, "f"),
                    output_usd="" if price is None else format(price.output_usd, "f"),
                )
            )

    async def bundle(self, turn: Turn) -> Bundle:
        """See `Catalogue.bundle`."""
        revisions = self._shelves.revisions(turn.tenant)
        return Bundle(
            apply=self._settings.apply,
            staged=BundleState(revision=revisions.staged, at=revisions.staged_at),
            applied=BundleState(revision=revisions.applied, at=revisions.applied_at),
            diff=tuple(bundles.diff(self._shelves.applied(turn.tenant), self._shelves.staged(turn.tenant))),
        )

    async def apply_bundle(self, turn: Turn, *, revision: int | None = None) -> Bundle:
        """See `Catalogue.apply_bundle`."""
        return await self._move(turn, "applied", bundles.apply, revision)

    async def discard_bundle(self, turn: Turn, *, revision: int | None = None) -> Bundle:
        """See `Catalogue.discard_bundle`."""
        return await self._move(turn, "discarded", bundles.discard, revision)

    async def _move(self, turn: Turn, to: Literal["applied", "discarded"], act: _Act, revision: int | None) -> Bundle:
        """What is staged is applied or discarded: exactly that which this process knows and the event tells."""
        seen = await self.bundle(turn)
        if revision not in (None, seen.staged.revision):
            raise BundleStale()
        if seen.staged.revision == seen.applied.revision:
            return seen
        async with self._db.work(turn) as work:
            await lock(work.session)
            await act(work.session, turn.tenant, revision=seen.staged.revision)
            changes = bundles.sentences(seen.diff)
            work.record(BundleMoved(actor=actor(turn), to=to, revision=seen.staged.revision, changes=changes))
        await self.refresh()
        return await self.bundle(turn)

    @contextlib.asynccontextmanager
    async def _change(self, turn: Turn) -> AsyncGenerator[Work]:
        """One change of the tenant's rows: alone, counted as a revision, applied at once if so set, seen on return."""
        async with self._db.work(turn) as work:
            await lock(work.session)
            yield work
            count = bundles.publish if self._settings.apply == "auto" else bundles.stage
            await count(work.session, turn.tenant)
        await self.refresh()

    def _forget_others(self, known: set[tuple[UUID, str]]) -> None:
        self._health.keep(known)
        self._gates.keep({provider for provider, _ in known})

    def _shown(self, shelf: Shelf, entry: Entry) -> Provider:
        """The provider with what this process knows of it."""
        routes = [route for route in shelf.routes if route.entry is entry]
        gate = self._gates.of(entry.provider.id)
        failures = [failure for route in routes if (failure := self._health.last_failure(route)) is not None]
        return replace(
            entry.provider,
            models=tuple(
                replace(
                    route.model,
                    health=self._health.of(route),
                    cools_until=self._health.cools_until(route),
                    roles=tuple(shelf.leading_to(route)),
                )
                for route in routes
            ),
            health=self._health.of_all(routes),
            in_flight=gate.in_flight,
            waiting=gate.waiting,
            last_failure=max(failures, key=lambda failure: failure.at, default=None),
        )

    def _require_free(self, turn: Turn, name: str) -> None:
        if any(entry.provider.name == name for entry in self._shelves.staged(turn.tenant).entries):
            raise _name_taken(name)

    async def _sealed(self, turn: Turn, provider: UUID, api_key: str | None) -> str | None:
        if api_key is None:
            return None
        key = await self._keys.of(turn.tenant)
        return key.seal(api_key.encode(), owner=key_owner(provider), field="api_key")


def actor(turn: Turn) -> str:
    """Who acts, as events name it: `user:<pseudonym>` or `system`."""
    return "system" if turn.principal.kind == "system" else f"user:{turn.principal.pseudonym}"


async def set_role_rows(session: AsyncSession, tenant: UUID, role: str, routes: Sequence[Route]) -> None:
    """Replace where `role` leads, inside the caller's Work."""
    await session.execute(delete(RoleRow).where(RoleRow.tenant == tenant, RoleRow.alias == role))
    session.add_all(
        RoleRow(tenant=tenant, alias=role, position=position, provider=route.entry.provider.id, model=route.model.id)
        for position, route in enumerate(routes)
    )


def _entry(shelf: Shelf, provider: str) -> Entry:
    """By name or id. Raises `NotFound`."""
    for entry in shelf.entries:
        if provider in (entry.provider.name, str(entry.provider.id)):
            return entry
    raise _no_provider()


async def _require_free(work: Work, tenant: UUID, name: str) -> None:
    taken = select(ProviderRow.id).where(ProviderRow.tenant == tenant, ProviderRow.name == name)
    if (await work.session.scalars(taken)).first() is not None:
        raise _name_taken(name)


async def _store_model(session: AsyncSession, tenant: UUID, provider: UUID, model: Model) -> None:
    row = await session.get(ModelRow, (tenant, provider, model.id))
    if row is None:
        mine = (ModelRow.tenant == tenant, ModelRow.provider == provider)
        last = (await session.scalars(select(func.max(ModelRow.position)).where(*mine))).first()
        row = ModelRow(tenant=tenant, provider=provider, id=model.id, position=0 if last is None else last + 1)
        session.add(row)
    row.capabilities = list(model.capabilities)
    row.context = model.context
    for name, usd in _price_columns(model.price).items():
        setattr(row, name, usd)


def _price_columns(price: Price | None) -> dict[str, Decimal | None]:
    return {name: getattr(price, name, None) for name in Price.__struct_fields__}


def _check_terms(model: str, terms: ModelTerms) -> None:
    if not model or len(model) > MOST_NAME or not model.isprintable():
        raise _invalid("model", f"1 to {MOST_NAME} printable characters")
    if len(terms.capabilities) > MOST_CAPABILITIES or not all(map(_CAPABILITY.fullmatch, terms.capabilities)):
        raise _invalid("capabilities", f"words such as {', '.join(KINDS)}, vision, tools; at most {MOST_CAPABILITIES}")
    _check_price(terms.price)


def _check_price(price: Price | None) -> None:
    amounts = [] if price is None else [usd for usd in _price_columns(price).values() if usd is not None]
    if not all(usd.is_finite() and 0 <= usd <= MOST_USD and usd == usd.quantize(LEAST_USD) for usd in amounts):
        raise _invalid("price", f"not negative, at most {MOST_USD}, with at most 12 decimals")


def _checked_key(api_key: str | None) -> str | None:
    cleaned = (api_key or "").strip() or None
    if cleaned is not None and not (cleaned.isascii() and cleaned.isprintable()):
        raise _invalid("api_key", "only printable ASCII characters")
    return cleaned


def _require_fit(role: str, routes: Sequence[Route]) -> None:
    kind = role if role in KINDS else "chat"
    for route in routes:
        if not route.serves(kind):
            raise _invalid("model", f"{route.name} does not serve {kind}")
    if role == "embedding" and len({route.model.id for route in routes}) > 1:
        # Vectors of two models do not compare: a search would find nonsense without saying so.
        raise _invalid("fallbacks", "the same model at another provider, for this role")


async def lock(session: AsyncSession) -> None:
    """One change of the catalogue at a time, until the caller's Work ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _invalid(field: str, error: str) -> ValidationFailed:
    return ValidationFailed(fields=[{"field": field, "error": error}])


def _no_provider() -> NotFound:
    return NotFound("There is no such provider.")


def _name_taken(name: str) -> Conflict:
    return Conflict(f"A provider called {name} exists already.")

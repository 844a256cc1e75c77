"""What a tenant's models are at one moment: immutable, built whole, swapped whole, read without a lock."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, cast
from uuid import UUID

from msgspec import Struct

from aibox.observability import Price, Prices
from aibox.router import KINDS, ROLES, AdapterName, Model, ModelUnknown, Provider, RoleNotConfigured
from aibox.router.models import ModelRow, ProviderRow, RoleRow

FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))


class Entry(Struct, frozen=True):
    """A provider with its opened key. The key is in no repr, no log and no answer."""

    provider: Provider
    created: int
    api_key: str | None

    def __repr__(self) -> str:
        return f"Entry({self.provider.name})"


class Route(Struct, frozen=True):
    """A way to a model."""

    entry: Entry
    model: Model

    @property
    def name(self) -> str:
        """`provider/model`: names it whatever else the tenant has."""
        return f"{self.entry.provider.name}/{self.model.id}"

    def serves(self, kind: str) -> bool:
        """Whether the model is of this kind; one of which nobody said is taken for any."""
        said = self.model.capabilities
        return kind in said or not any(known in said for known in KINDS)

    @property
    def can_chat(self) -> bool:
        return self.serves("chat")

    @property
    def can_embed(self) -> bool:
        return self.serves("embedding")

    @property
    def can_rerank(self) -> bool:
        return self.serves("rerank")

    def price(self, prices: Prices) -> Price | None:
        """What it costs: the price set on it, else a known one; what we serve ourselves costs nothing unless priced."""
        if self.model.price is not None:
            return self.model.price
        is_ours = self.entry.provider.type in ("local", "vllm")
        known = prices.find(self.entry.provider.name, self.model.id, is_ours=is_ours)
        return FREE if known is None and is_ours else known


class Shelf(Struct, frozen=True):
    """One tenant's providers, models and roles."""

    entries: tuple[Entry, ...] = ()
    routes: tuple[Route, ...] = ()
    named: dict[str, Route] = {}
    roles: dict[str, tuple[Route, ...]] = {}

    def find(self, name: str) -> Route:
        """The model called `name`: `provider/model`, or an id, of which the oldest provider's is meant.

        Raises `ModelUnknown`.
        """
        route = self.named.get(name)
        if route is None:
            raise ModelUnknown(f"No model is called {name[:100]} here.")
        return route

    def lead(self, name: str) -> tuple[Route, ...]:
        """Where a call of `name` may go, in order; a role's disabled models left out (perhaps none is left).

        Raises `ModelUnknown`, `RoleNotConfigured`.
        """
        if name in ROLES:
            if not self.roles.get(name):
                raise RoleNotConfigured(f"No model is set for the role {name}; an administrator can set one.")
            return tuple(route for route in self.roles[name] if route.entry.provider.enabled)
        route = self.find(name)
        if not route.entry.provider.enabled:
            raise ModelUnknown(f"The provider of {name[:100]} is switched off.")
        return (route,)

    def leading_to(self, route: Route) -> list[str]:
        """The roles that ask this model, first or later."""
        return [alias for alias in ROLES if any(one is route for one in self.roles.get(alias, ()))]

    def aliases(self, route: Route) -> list[str]:
        """The roles that ask this model first."""
        return [alias for alias in ROLES if any(first is route for first in self.roles.get(alias, ())[:1])]


class Snapshot(Struct, frozen=True):
    """Every tenant's shelf."""

    shelves: dict[UUID, Shelf] = {}

    def of(self, tenant: UUID) -> Shelf:
        return self.shelves.get(tenant, Shelf())


def build(
    providers: Iterable[ProviderRow],
    models: Iterable[ModelRow],
    roles: Iterable[RoleRow],
    keys: Mapping[UUID, str | None],
) -> Snapshot:
    """A snapshot of these rows; `keys` are the opened API keys by provider."""
    models_of: dict[UUID, list[ModelRow]] = {}
    for model in sorted(models, key=lambda row: (row.position, row.id)):
        models_of.setdefault(model.provider, []).append(model)
    roles_of: dict[UUID, list[RoleRow]] = {}
    for role in sorted(roles, key=lambda row: (row.alias, row.position)):
        roles_of.setdefault(role.tenant, []).append(role)
    entries_of: dict[UUID, list[Entry]] = {}
    for row in sorted(providers, key=lambda row: (row.created_at, row.id)):
        entry = _entry(row, models_of.get(row.id, []), keys.get(row.id))
        entries_of.setdefault(row.tenant, []).append(entry)
    return Snapshot(
        {tenant: _shelf(entries, roles_of.get(tenant, [])) for tenant, entries in entries_of.items()},
    )


def _entry(row: ProviderRow, models: Sequence[ModelRow], api_key: str | None) -> Entry:
    provider = Provider(
        id=row.id,
        name=row.name,
        # The table's CHECKs hold both columns to what is known.
        type=cast(Literal["local", "vllm", "external"], row.type),
        adapter=cast(AdapterName, row.adapter),
        base_url=row.base_url,
        has_key=row.api_key is not None,
        enabled=row.enabled,
        max_concurrency=row.max_concurrency,
        max_waiting=row.max_waiting,
        queue_seconds=row.queue_seconds,
        models=tuple(_model(row.name, model) for model in models),
    )
    return Entry(provider, int(row.created_at.timestamp()), api_key)


def _model(provider: str, row: ModelRow) -> Model:
    price = None
    if row.input_usd is not None and row.output_usd is not None:
        price = Price(
            input_usd=row.input_usd,
            output_usd=row.output_usd,
            cached_input_usd=row.cached_input_usd,
            cache_write_usd=row.cache_write_usd,
            reasoning_usd=row.reasoning_usd,
        )
    return Model(
        id=row.id,
        provider=provider,
        capabilities=tuple(row.capabilities),
        context=row.context,
        price=price,
        demonstration=row.demonstration,
    )


def _shelf(entries: Sequence[Entry], roles: Sequence[RoleRow]) -> Shelf:
    routes = tuple(Route(entry, model) for entry in entries for model in entry.provider.models)
    by_key = {(route.entry.provider.id, route.model.id): route for route in routes}
    named: dict[str, Route] = {}
    for route in routes:
        named.setdefault(route.model.id, route)
    # `provider/model` wins over a model id that is written alike.
    named |= {route.name: route for route in routes}
    led: dict[str, list[Route]] = {}
    for role in roles:
        route_of = by_key.get((role.provider, role.model))
        if route_of is not None:
            led.setdefault(role.alias, []).append(route_of)
    return Shelf(tuple(entries), routes, named, {alias: tuple(found) for alias, found in led.items()})

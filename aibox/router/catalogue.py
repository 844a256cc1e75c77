"""The catalogue: providers, models and roles in PostgreSQL, and the snapshot that every call reads."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import Conflict, NotFound, StateUnavailable, ValidationFailed
from aibox.core.http import Client
from aibox.core.keyring import SecretUnreadable
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn, uuid7
from aibox.observability import Price
from aibox.router import ROLES, PriceSet, Provider, ProviderAdded, ProviderRemoved, RoleSet, Settings
from aibox.router.health import Health
from aibox.router.models import ModelRow, ProviderRow, RoleRow
from aibox.router.registration import checked_name, chosen, normalised, probe
from aibox.router.snapshot import Route, Shelf, Snapshot, build

log = structlog.get_logger("aibox.router.catalogue")

CHANNEL = "aibox_catalogue"
REFRESH_SECONDS = 30.0
RECONNECT_SECONDS = 1.0
LOCK = 6_127_740_233
"""Any constant: one change of a tenant's catalogue at a time where the order of two would matter."""

_PROVIDERS = "SELECT tenant, id, name, type, adapter, base_url, api_key, enabled, created_at FROM router.provider"
_MODELS = (
    "SELECT tenant, provider, id, capabilities, context, input_usd, output_usd, demonstration, position"
    " FROM router.model"
)
_ROLES = "SELECT tenant, alias, position, provider, model FROM router.role"


class CatalogueService:
    """See `Catalogue`. Readers take `shelf(tenant)`: a reference to a snapshot that never changes."""

    def __init__(
        self,
        settings: Settings,
        *,
        db: Database,
        connections: Connections,
        keys: DataKeys,
        http: Client,
        health: Health,
    ) -> None:
        self._settings = settings
        self._db = db
        self._connections = connections
        self._keys = keys
        self._http = http
        self._health = health
        self._snapshot: Snapshot | None = None
        self._opened: dict[tuple[UUID, str], str] = {}
        self._refreshing = asyncio.Lock()
        self._stale = asyncio.Event()

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load the snapshot, and keep it fresh until the block ends."""
        await self.refresh()
        started = [
            tasks.create_task(self._listen(), name="catalogue.listen"),
            tasks.create_task(self._keep_fresh(), name="catalogue.refresh"),
        ]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)

    def shelf(self, tenant: UUID) -> Shelf:
        """What `tenant` has. Raises `StateUnavailable` before the first load."""
        if self._snapshot is None:
            raise StateUnavailable()
        return self._snapshot.of(tenant)

    async def refresh(self) -> None:
        """Read everything and swap the snapshot. Raises `StateUnavailable`; the old one stays then."""
        async with self._refreshing:
            try:
                async with (
                    self._connections.system.acquire() as connection,
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    providers = [ProviderRow(**dict(row)) for row in await connection.fetch(_PROVIDERS)]
                    models = [ModelRow(**dict(row)) for row in await connection.fetch(_MODELS)]
                    roles = [RoleRow(**dict(row)) for row in await connection.fetch(_ROLES)]
            except LOST:
                raise StateUnavailable() from None
            keys = {row.id: await self._open(row) for row in providers}
            sealed = {(row.id, row.api_key) for row in providers}
            self._opened = {known: key for known, key in self._opened.items() if known in sealed}
            self._snapshot = build(providers, models, roles, keys)

    async def add_provider(
        self,
        turn: Turn,
        *,
        name: str,
        base_url: str,
        api_key: str | None = None,
        type: str = "external",
        models: Sequence[str] | None = None,
    ) -> Provider:
        """See `Catalogue.add_provider`."""
        name = checked_name(name)
        if type not in ("vllm", "external"):
            raise _invalid("type", "`vllm` or `external`")
        api_key = (api_key or "").strip() or None
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise _invalid("api_key", "only printable ASCII characters")
        address = normalised(base_url)
        self._require_free(turn, name)
        probed = await probe(self._http, address, api_key, connect_seconds=self._settings.connect_seconds)
        found = chosen(probed.models, models)
        provider_id = uuid7()
        sealed = None
        if api_key is not None:
            key = await self._keys.of(turn.tenant)
            sealed = key.seal(api_key.encode(), owner=_owner(provider_id), field="api_key")
        async with self._db.work(turn) as work:
            await lock(work.session)
            taken = select(ProviderRow.id).where(ProviderRow.tenant == turn.tenant, ProviderRow.name == name)
            if (await work.session.scalars(taken)).first() is not None:
                raise _name_taken(name)
            work.session.add(
                ProviderRow(
                    tenant=turn.tenant,
                    id=provider_id,
                    name=name,
                    type=type,
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
        await self.refresh()
        return self._provider(turn, name)

    async def providers(self, turn: Turn) -> list[Provider]:
        """All providers, the oldest first."""
        return [self._provider(turn, entry.provider.name) for entry in self.shelf(turn.tenant).entries]

    async def remove_provider(self, turn: Turn, provider: str) -> None:
        """See `Catalogue.remove_provider`. Raises `NotFound`."""
        known = next(
            (
                entry.provider
                for entry in self.shelf(turn.tenant).entries
                if provider in (entry.provider.name, str(entry.provider.id))
            ),
            None,
        )
        if known is None:
            raise NotFound("There is no such provider.")
        async with self._db.work(turn) as work:
            await lock(work.session)
            await work.session.execute(
                delete(ProviderRow).where(ProviderRow.tenant == turn.tenant, ProviderRow.id == known.id)
            )
            work.record(ProviderRemoved(actor=actor(turn), provider=known.name))
        await self.refresh()

    async def set_role(self, turn: Turn, role: str, model: str | None, *, fallbacks: Sequence[str] = ()) -> None:
        """See `Catalogue.set_role`. Raises `ModelUnknown`, `ValidationFailed`."""
        if role not in ROLES:
            raise _invalid("role", f"one of {', '.join(ROLES)}")
        if model is None and fallbacks:
            raise _invalid("fallbacks", "none without a model")
        shelf = self.shelf(turn.tenant)
        routes = [] if model is None else [shelf.find(name) for name in (model, *fallbacks)]
        routes = list(dict.fromkeys(routes))
        _require_fit(role, routes)
        async with self._db.work(turn) as work:
            await lock(work.session)
            await set_role_rows(work.session, turn.tenant, role, routes)
            work.record(RoleSet(actor=actor(turn), role=role, models=tuple(route.name for route in routes)))
        await self.refresh()

    async def roles(self, turn: Turn) -> dict[str, dict[str, Any] | None]:
        """See `Catalogue.roles`."""
        shelf = self.shelf(turn.tenant)
        listed: dict[str, dict[str, Any] | None] = {}
        for alias in ROLES:
            names = [route.name for route in shelf.roles.get(alias, ())]
            listed[alias] = {"model": names[0], "fallbacks": names[1:]} if names else None
        return listed

    async def set_price(self, turn: Turn, model: str, price: Price | None) -> None:
        """US dollars per million tokens of `model`, None when they are not known. Raises `ModelUnknown`."""
        if price is not None and not all(usd.is_finite() and usd >= 0 for usd in (price.input_usd, price.output_usd)):
            raise _invalid("price", "not negative")
        route = self.shelf(turn.tenant).find(model)
        async with self._db.work(turn) as work:
            await work.session.execute(
                update(ModelRow)
                .where(
                    ModelRow.tenant == turn.tenant,
                    ModelRow.provider == route.entry.provider.id,
                    ModelRow.id == route.model.id,
                )
                .values(
                    input_usd=None if price is None else price.input_usd,
                    output_usd=None if price is None else price.output_usd,
                )
            )
            work.record(
                PriceSet(
                    actor=actor(turn),
                    model=route.name,
                    input_usd="" if price is None else format(price.input_usd, "f"),
                    output_usd="" if price is None else format(price.output_usd, "f"),
                )
            )
        await self.refresh()

    def _provider(self, turn: Turn, name: str) -> Provider:
        shelf = self.shelf(turn.tenant)
        for entry in shelf.entries:
            if entry.provider.name == name:
                routes = [route for route in shelf.routes if route.entry is entry]
                return msgspec.structs.replace(entry.provider, health=self._health.of_all(routes))
        raise NotFound("There is no such provider.")

    def _require_free(self, turn: Turn, name: str) -> None:
        if any(entry.provider.name == name for entry in self.shelf(turn.tenant).entries):
            raise _name_taken(name)

    async def _open(self, row: ProviderRow) -> str | None:
        """The provider's API key. None when there is none, or when it does not open: its calls say so then."""
        if row.api_key is None:
            return None
        known = self._opened.get((row.id, row.api_key))
        if known is not None:
            return known
        try:
            kid = row.api_key.split(":")[1]
            key = await self._keys.named(row.tenant, kid)
            if key is None:
                raise SecretUnreadable()
            opened = key.open(row.api_key, owner=_owner(row.id), field="api_key").decode()
        except (SecretUnreadable, IndexError):
            log.error("catalogue.key_unreadable", provider=row.name)
            return None
        self._opened[(row.id, row.api_key)] = opened
        return opened

    async def _listen(self) -> None:
        """Wake the refresher at each NOTIFY; connect again when the connection is lost."""
        assert self._connections.urls is not None
        while True:
            try:
                connection = await asyncpg.connect(self._connections.urls.system)
            except (*LOST, asyncpg.PostgresError):
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            try:
                await self._hear(connection)
            except LOST:
                await asyncio.sleep(RECONNECT_SECONDS)
            finally:
                connection.terminate()

    async def _hear(self, connection: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        await connection.add_listener(CHANNEL, lambda *_: self._stale.set())
        self._stale.set()  # what changed while nobody listened
        await lost.wait()

    async def _keep_fresh(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._stale.wait()
            self._stale.clear()
            try:
                await self.refresh()
            except (StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("catalogue.refresh_failed", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)
                self._stale.set()


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


def _require_fit(role: str, routes: Sequence[Route]) -> None:
    for route in routes:
        if role == "embedding" and not route.can_embed:
            raise _invalid("model", f"{route.name} makes no embeddings")
        if role != "embedding" and not route.can_chat:
            raise _invalid("model", f"{route.name} cannot chat")
    if role == "embedding" and len({route.model.id for route in routes}) > 1:
        # Vectors of two models do not compare: a search would find nonsense without saying so.
        raise _invalid("fallbacks", "the same model at another provider, for this role")


async def lock(session: AsyncSession) -> None:
    """One change of the catalogue at a time, until the caller's Work ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _owner(provider_id: UUID) -> str:
    return f"router.provider/{provider_id}"


def _invalid(field: str, error: str) -> ValidationFailed:
    return ValidationFailed(fields=[{"field": field, "error": error}])


def _name_taken(name: str) -> Conflict:
    return Conflict(f"A provider called {name} exists already.")

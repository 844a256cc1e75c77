"""System, build and create_app: the one place where modules meet."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import urlsplit

from litestar import Litestar, Request, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from aibox import __version__
from aibox.audit.console import Console
from aibox.audit.erasure import Erasure
from aibox.audit.room import Room
from aibox.audit.routes import ROUTES as AUDIT_ROUTES
from aibox.audit.service import Audit
from aibox.audit.timestamps import Timestamps
from aibox.audit.trail import Trail
from aibox.audit.turns import class_of
from aibox.audit.witnesses import Witnesses
from aibox.boot import check_database, check_egress, check_settings
from aibox.core import failpoints
from aibox.core.connections import Connections, Urls
from aibox.core.db import Database
from aibox.core.delivery import Delivery
from aibox.core.errors import BootRefused
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus
from aibox.core.http import Outgoing
from aibox.core.jobs import Jobs
from aibox.core.keyring import Rings, load_rings
from aibox.core.keys import DataKeys
from aibox.core.mail import Mail
from aibox.core.telemetry import Telemetry
from aibox.core.turn import Turn
from aibox.gateway.checks import checked
from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.guard import Guard
from aibox.gateway.limits import Limits, Rates, Slots
from aibox.gateway.media import require_json
from aibox.gateway.openapi import House, Rendered
from aibox.gateway.origins import cors
from aibox.gateway.routes import ROUTES as GATEWAY_ROUTES
from aibox.gateway.serve import OnlyHere
from aibox.guardrail.routes import ROUTES as GUARDRAIL_ROUTES
from aibox.guardrail.service import GuardrailService
from aibox.identity.account_routes import ROUTES as ACCOUNT_ROUTES
from aibox.identity.admin_routes import ROUTES as IDENTITY_ADMIN_ROUTES
from aibox.identity.egauth_routes import ROUTES as EGAUTH_ROUTES
from aibox.identity.middleware import TurnMiddleware
from aibox.identity.policy import check_routes, require_policy
from aibox.identity.routes import ROUTES as IDENTITY_ROUTES
from aibox.identity.service import IdentityService
from aibox.knowledge.handlers import subscribe as subscribe_knowledge
from aibox.knowledge.reading import MessageReader
from aibox.knowledge.routes import ROUTES as KNOWLEDGE_ROUTES
from aibox.knowledge.service import KnowledgeService
from aibox.knowledge.wiki import WikiService
from aibox.memory.handlers import subscribe as subscribe_memory
from aibox.memory.routes import ROUTES as MEMORY_ROUTES
from aibox.memory.service import MemoryService
from aibox.observability.budgets import BudgetService
from aibox.observability.handlers import subscribe as subscribe_observability
from aibox.observability.otlp import TraceExporter
from aibox.observability.prices import PriceService
from aibox.observability.routes import ROUTES as OBSERVABILITY_ROUTES
from aibox.observability.service import ObservabilityService
from aibox.router.assembly import Routing
from aibox.router.catalogue import CatalogueService
from aibox.router.dialects.spoken import DIALECTS
from aibox.router.routes import ROUTES as ROUTER_ROUTES
from aibox.router.service import RouterService
from aibox.runtime.approvals import ApprovalStore
from aibox.runtime.completions import Completions
from aibox.runtime.conversations import ConversationStore
from aibox.runtime.embeddings import Embeddings
from aibox.runtime.handlers import subscribe as subscribe_runtime
from aibox.runtime.jobs import StreamSweeper
from aibox.runtime.live_replay import LiveReplay
from aibox.runtime.routes import ROUTES as RUNTIME_ROUTES
from aibox.runtime.service import ChatService
from aibox.runtime.steps import Parts
from aibox.runtime.tools import Services
from aibox.settings import Settings
from aibox.stores import Cache, Objects, Vectors
from aibox.stores.cache import open_cache
from aibox.stores.objects import open_objects
from aibox.stores.postgres import open_postgres
from aibox.stores.vectors import open_vectors


class System(Struct, frozen=True, kw_only=True):
    """Every part of a running AIBox. Building one does no I/O but the key file's."""

    settings: Settings
    rings: Rings
    connections: Connections
    keys: DataKeys
    log: EventLog
    db: Database
    bus: Bus
    delivery: Delivery
    cache: Cache
    vectors: Vectors
    objects: Objects
    http: Outgoing
    identity: IdentityService
    room: Room
    audit: Audit
    trail: Trail
    erasure: Erasure
    log_console: Console
    live_replay: LiveReplay
    budgets: BudgetService
    prices: PriceService
    observability: ObservabilityService
    exporter: TraceExporter
    routing: Routing
    catalogue: CatalogueService
    router: RouterService
    guardrail: GuardrailService
    memories: MemoryService
    jobs: Jobs
    knowledge: KnowledgeService
    wiki: WikiService
    conversations: ConversationStore
    approvals: ApprovalStore
    chat: ChatService
    sweeper: StreamSweeper
    completions: Completions
    embeddings: Embeddings

    @contextlib.asynccontextmanager
    async def run(self, progress: Callable[[str], None] = lambda _: None) -> AsyncGenerator[None]:
        """Everything up until the block ends, then down again in the opposite order. `progress` hears each step."""
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            urls = await enter(open_postgres(self.settings.database, self.settings.data_path))
            await check_database(urls)
            await check_egress(self.settings.http)
            progress("database")
            await enter(self._opened(urls))
            tasks = await enter(_task_group())
            await enter(self.keys.run(tasks))
            await enter(self.log.run(tasks))
            await enter(self.identity.run(tasks))
            await self.audit.require_no_rollback(self.settings.tenancy.single_tenant_id)
            await enter(self.room.run(tasks))
            await enter(self.audit.run(tasks))
            await enter(self.delivery.run(tasks))
            await enter(self.erasure.run(tasks))
            progress("audit log")
            await enter(self.budgets.run(tasks))
            await enter(self.prices.run(tasks))
            await enter(self.observability.run(tasks))
            await enter(self.exporter.run(tasks))
            await enter(self.routing.run(tasks))
            progress("models")
            await enter(self.guardrail.run(tasks))
            progress("guardrail")
            await enter(self.memories.run(tasks))
            await enter(self.knowledge.run(tasks))
            await enter(self.jobs.run(tasks))
            await enter(self.chat.run(tasks))
            await enter(self.sweeper.run(tasks))
            yield

    @contextlib.asynccontextmanager
    async def console(self) -> AsyncGenerator[None]:
        """What commands at the machine's console need: no model, no delivery. It may run beside a server."""
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            urls = await enter(open_postgres(self.settings.database, self.settings.data_path))
            await enter(self._opened(urls))
            tasks = await enter(_task_group())
            await enter(self.log.run(tasks))
            await enter(self.identity.run(tasks))
            await enter(self.catalogue.run(tasks))
            yield

    @contextlib.asynccontextmanager
    async def _opened(self, urls: Urls) -> AsyncGenerator[None]:
        async with (
            self.connections.run(urls),
            self.cache.run(),
            self.vectors.run(),
            self.objects.run(),
            self.http.run(),
        ):
            yield


@contextlib.asynccontextmanager
async def _task_group() -> AsyncGenerator[asyncio.TaskGroup]:
    """A TaskGroup whose only error goes on as itself: the commands show an error by its class."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def build(settings: Settings) -> System:
    """The System of `settings`, by plain constructor calls. Raises `BootRefused` for keys that must not be used."""
    check_settings(settings)
    if settings.failpoints and settings.is_production:
        raise BootRefused("boot_failpoints", "Unset AIBOX_FAILPOINTS: it stops the process on purpose.")
    failpoints.arm(settings.failpoints)
    data = settings.data_path
    rings = load_rings(data / "keys.json", settings.keys.given)
    connections = Connections(settings.database)
    keys = DataKeys(connections, rings["secrets"])
    log = EventLog(connections, keys, lease_seconds=settings.audit.lease_seconds, class_of=class_of)
    db = Database(connections, log)
    bus = Bus()
    cache = open_cache(settings.cache)
    vectors = open_vectors(settings.vectors, db, connections)
    objects = open_objects(settings.objects, data)
    http = Outgoing(settings.http)
    identity = IdentityService(
        settings.auth,
        settings.tenancy,
        db=db,
        connections=connections,
        log=log,
        rings=rings,
        keys=keys,
        http=http,
        cache=cache,
        mail=Mail(settings.mail),
        base_url=settings.base_url,
        production=settings.is_production,
    )
    audit = Audit(
        settings.audit,
        connections,
        db,
        objects,
        rings["audit"],
        keys,
        host=urlsplit(settings.base_url).hostname or "localhost",
        build=__version__,
        policy=f"{settings.guardrail.profile}@{__version__}",
        witnesses=Witnesses(settings.audit, connections, http),
        timestamps=Timestamps(settings.audit, connections, http),
    )
    trail = Trail(db, log, keys, audit.copies, identity)
    budgets = BudgetService(settings.observability, db=db, connections=connections, log=log)
    prices = PriceService(settings.observability, connections=connections, log=log, http=http)
    observability = ObservabilityService(db=db, connections=connections, budgets=budgets)
    exporter = TraceExporter(settings.observability, connections=connections, http=http)
    routing = Routing(
        settings.router,
        tenant=settings.tenancy.single_tenant_id,
        db=db,
        connections=connections,
        log=log,
        keys=keys,
        http=http,
        budgets=budgets,
        prices=prices,
    )
    router = routing.router
    guardrail = GuardrailService(settings.guardrail, db=db, log=log, keys=keys, router=router)
    memories = MemoryService(
        settings.memory,
        data / "mem0",
        db=db,
        connections=connections,
        log=log,
        vectors=vectors,
        router=guardrail.guarded(router),
        scrub=guardrail.scrub,
    )
    jobs = Jobs(connections, log)
    knowledge = KnowledgeService(
        settings.knowledge,
        data / "reading",
        db=db,
        connections=connections,
        log=log,
        objects=objects,
        vectors=vectors,
        router=guardrail.guarded(router),
        reranker=guardrail.reranker(router),
        http=http,
        jobs=jobs,
    )
    wiki = WikiService(knowledge, db=db, objects=objects, jobs=jobs)
    conversations = ConversationStore(db, guardrail)
    approvals = ApprovalStore(db, minutes=settings.runtime.approval_minutes)
    parts = Parts(
        settings=settings.runtime,
        db=db,
        log=log,
        guardrail=guardrail,
        memories=memories,
        knowledge=knowledge,
        router=router,
        abilities=router,
        services=Services(memories=memories, knowledge=knowledge, wiki=wiki),
        approvals=approvals,
        recheck=identity.recheck,
    )
    reader = MessageReader(settings.knowledge, data / "reading")
    completions = Completions(log, identity.recheck, guardrail, router, router, reader, DIALECTS)
    subscribe_observability(bus, observability, exporter)
    subscribe_runtime(bus, connections, conversations, log)
    subscribe_memory(bus, memories, log)
    subscribe_knowledge(bus, knowledge, log)
    delivery = Delivery(connections, bus)
    return System(
        settings=settings,
        rings=rings,
        connections=connections,
        keys=keys,
        log=log,
        db=db,
        bus=bus,
        delivery=delivery,
        cache=cache,
        vectors=vectors,
        objects=objects,
        http=http,
        identity=identity,
        room=Room(log, data, reserve_mb=settings.audit.reserve_mb),
        audit=audit,
        trail=trail,
        live_replay=LiveReplay(trail, log, completions),
        log_console=Console(connections, log, keys, objects, trail, audit.copies, data / "keys.json"),
        erasure=Erasure(settings.audit, connections, log, keys, objects, delivery, bus, identity),
        budgets=budgets,
        prices=prices,
        observability=observability,
        exporter=exporter,
        routing=routing,
        catalogue=routing.catalogue,
        router=router,
        guardrail=guardrail,
        memories=memories,
        jobs=jobs,
        knowledge=knowledge,
        wiki=wiki,
        conversations=conversations,
        approvals=approvals,
        chat=ChatService(parts, audit, conversations),
        sweeper=StreamSweeper(connections, hours=settings.runtime.events_hours),
        completions=completions,
        embeddings=Embeddings(log, identity.recheck, guardrail, router),
    )


class App:
    """The ASGI application: the routes, and around them what every request passes, outermost first."""

    def __init__(self, litestar: Litestar, outermost: ASGIApp) -> None:
        self.litestar = litestar
        self._outermost = outermost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)


def create_app(system: System) -> App:
    """Guard → Telemetry → TurnMiddleware → routes. Raises `BootRefused` for a route without a policy."""
    services: dict[str, object] = {
        "connections": system.connections,
        "identity": system.identity,
        "account": system.identity.account,
        "roles": system.identity.roles,
        "invitations": system.identity.invitations,
        "sign_in_services": system.identity.sign_in_services,
        "tenants": system.identity.tenants,
        "windows": system.identity.windows,
        "receipts": system.audit,
        "trail": system.trail,
        "erasures": system.erasure,
        "live_replay": system.live_replay,
        "budgets": system.budgets,
        "prices": system.prices,
        "observability": system.observability,
        "catalogue": system.catalogue,
        "model_router": system.router,
        "guardrail": system.guardrail,
        "memories": system.memories,
        "knowledge": system.knowledge,
        "wiki": system.wiki,
        "chat": system.chat,
        "conversations": system.conversations,
        "approvals": system.approvals,
        "completions": system.completions,
        "embeddings": system.embeddings,
    }
    settings = system.settings
    rates, slots = Rates(system.cache), Slots(system.cache)
    litestar = House(
        route_handlers=[
            *GATEWAY_ROUTES,
            *IDENTITY_ROUTES,
            *ACCOUNT_ROUTES,
            *IDENTITY_ADMIN_ROUTES,
            *EGAUTH_ROUTES,
            *RUNTIME_ROUTES,
            *ROUTER_ROUTES,
            *GUARDRAIL_ROUTES,
            *MEMORY_ROUTES,
            *KNOWLEDGE_ROUTES,
            *AUDIT_ROUTES,
            *OBSERVABILITY_ROUTES,
        ],
        dependencies={
            "turn": Provide(_turn, sync_to_thread=False),
            **{name: _provide(service) for name, service in services.items()},
        },
        middleware=[
            lambda app: Limits(app, settings.limits, rates, slots),
            checked(require_policy(system.identity), require_json),
        ],
        cors_config=cors(settings.gateway.cors_origins),
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=OpenAPIConfig(
            title="AIBox",
            version=__version__,
            render_plugins=[Rendered()],
            openapi_router=Router("/docs", route_handlers=[], opt={"policy": "public"}),
            use_handler_docstrings=True,
        ),
        request_max_body_size=None,  # the Guard counts what is read
        logging_config=None,
    )
    check_routes(litestar)
    inner = Telemetry(TurnMiddleware(litestar, system.identity, system.log))
    guard = Guard(
        inner,
        settings.gateway,
        public_url=settings.public_url,
        base_url=settings.base_url,
        production=settings.is_production,
    )
    return App(litestar, OnlyHere(guard))


def _turn(request: Request[Any, Any, Any]) -> Turn:
    turn: Turn = request.scope["state"]["turn"]
    return turn


def _provide(service: object) -> Provide:
    return Provide(lambda: service, sync_to_thread=False)

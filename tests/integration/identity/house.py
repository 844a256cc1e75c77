"""Identity behind its middleware and routes, with a small application of two routes, on a real database."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from litestar import Litestar, Request, get, post
from litestar.di import NamedDependency, Provide
from litestar.types import ASGIApp
from msgspec import Struct

from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.core.mail import Mail
from aibox.core.mail import Settings as MailSettings
from aibox.core.turn import Turn, system_turn
from aibox.gateway import Settings as GatewaySettings
from aibox.gateway.checks import checked
from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.guard import Guard
from aibox.gateway.media import require_json
from aibox.identity import Settings, TenancySettings, User
from aibox.identity.account_routes import ROUTES as ACCOUNT_ROUTES
from aibox.identity.admin_routes import ROUTES as ADMIN_ROUTES
from aibox.identity.egauth_routes import ROUTES as EGAUTH_ROUTES
from aibox.identity.middleware import TurnMiddleware
from aibox.identity.policy import check_routes, require_policy
from aibox.identity.routes import ROUTES
from aibox.identity.service import IdentityService
from aibox.identity.winbind import Verifier
from aibox.stores import Cache, CacheSettings
from aibox.stores.cache import open_cache
from tests.conftest import Kernel

BASE = "http://localhost:8080"
PASSWORD = "a long enough passphrase"
TENANT = TenancySettings().single_tenant_id


@get("/v1/whoami", opt={"policy": "public", "scope": "chat"})
async def whoami(turn: NamedDependency[Turn]) -> dict[str, Any]:
    """Whom the request was taken for."""
    principal = turn.principal
    return {"kind": principal.kind, "id": str(principal.id), "roles": principal.roles, "turn": str(turn.id)}


@post("/v1/chat", opt={"policy": "chat", "scope": "chat"}, status_code=200)
async def chat(turn: NamedDependency[Turn]) -> dict[str, str]:
    return {"turn": str(turn.id)}


class House(Struct, frozen=True, kw_only=True):
    """Everything a test needs of identity."""

    kernel: Kernel
    identity: IdentityService
    cache: Cache
    app: ASGIApp
    base: str = BASE

    @property
    def console(self) -> Turn:
        """A turn of the administrator at the console."""
        return system_turn(TENANT)

    def http(self, **headers: str) -> httpx.AsyncClient:
        """A client without credentials other than `headers`."""
        return self.connection(4711, **headers)

    def connection(self, port: int, **headers: str) -> httpx.AsyncClient:
        """As `http`, on a connection of its own: the one from `port`."""
        transport = httpx.ASGITransport(self.app, client=("192.0.2.7", port))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url=self.base, headers=headers)

    async def person(self, name: str = "ada", *roles: str) -> User:
        email = f"{name}@example.org"
        return await self.identity.create_user(
            self.console, name=name.title(), email=email, password=PASSWORD, roles=roles or ("member",)
        )

    async def tokens(self, name: str = "ada") -> dict[str, Any]:
        """An API client's sign-in of that person."""
        async with self.http() as http:
            answer = await http.post("/v1/auth/login", json={"username": f"{name}@example.org", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        granted: dict[str, Any] = answer.json()
        return granted

    @contextlib.asynccontextmanager
    async def browser(self, name: str = "ada") -> AsyncGenerator[httpx.AsyncClient]:
        """A browser signed in as that person, which sends what a page of ours would."""
        async with self.http(Origin=self.base, **{"Sec-Fetch-Site": "same-origin"}) as http:
            body = {"username": f"{name}@example.org", "password": PASSWORD}
            answer = await http.post("/v1/auth/login", json=body)
            assert answer.status_code == 200, answer.text
            http.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
            yield http

    async def events(self, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
        """(type, body) of everything logged whose type begins so, in order."""
        rows = await self.kernel.connections.system.fetch(
            "SELECT type, data FROM core.event WHERE starts_with(type, $1) ORDER BY xact, row_id", prefix
        )
        return [(row["type"], httpx.Response(200, content=row["data"]).json()["body"]) for row in rows]


@contextlib.asynccontextmanager
async def opened(
    kernel: Kernel,
    *,
    cache_url: str = "memory:",
    settings: Settings | None = None,
    tenancy: TenancySettings | None = None,
    mail: Mail | None = None,
    base: str = BASE,
    verifier: Verifier | None = None,
) -> AsyncGenerator[House]:
    cache = open_cache(CacheSettings(url=cache_url))
    http = Outgoing(HttpSettings(internal_hosts=("127.0.0.1",)))
    identity = IdentityService(
        settings or Settings(),
        tenancy or TenancySettings(),
        db=kernel.db,
        connections=kernel.connections,
        log=kernel.log,
        rings=kernel.rings,
        keys=kernel.keys,
        http=http,
        cache=cache,
        mail=mail or Mail(MailSettings()),
        base_url=base,
        verifier=verifier,
    )
    async with cache.run(), http.run(), identity.run(kernel.tasks):
        app = application(kernel, identity, base=base)
        yield House(kernel=kernel, identity=identity, cache=cache, app=app, base=base)


def application(kernel: Kernel, identity: IdentityService, *, base: str = BASE) -> ASGIApp:
    async def current_turn(request: Request[Any, Any, Any]) -> Turn:
        turn: Turn = request.scope["state"]["turn"]
        return turn

    services: dict[str, object] = {
        "identity": identity,
        "account": identity.account,
        "roles": identity.roles,
        "invitations": identity.invitations,
        "sign_in_services": identity.sign_in_services,
        "tenants": identity.tenants,
        "windows": identity.windows,
    }
    app = Litestar(
        [*ROUTES, *ACCOUNT_ROUTES, *ADMIN_ROUTES, *EGAUTH_ROUTES, whoami, chat],
        dependencies={
            "turn": Provide(current_turn),
            **{name: _provided(service) for name, service in services.items()},
        },
        middleware=[checked(require_policy(identity), require_json)],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )
    check_routes(app)
    return Guard(TurnMiddleware(app, identity, kernel.log), GatewaySettings(), public_url="", base_url=base)


def _provided(service: object) -> Provide:
    return Provide(lambda: service, sync_to_thread=False)

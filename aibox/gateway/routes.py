"""The routes of no one module: health, metrics, and the web app for all other addresses."""

from datetime import UTC, datetime

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from aibox.core.connections import LOST, Connections
from aibox.core.errors import StateUnavailable
from aibox.gateway.static import web_app

ANSWER_SECONDS = 2.0


class Health(Struct, frozen=True):
    ok: bool
    ts: str


@get(["/healthz", "/v1/healthz", "/readyz"], opt={"policy": "public"})
async def health(connections: NamedDependency[Connections]) -> Response[Health]:
    """200 when the server answers and its database does; else 503."""
    try:
        await connections.system.fetchval("SELECT 1", timeout=ANSWER_SECONDS)
    except (*LOST, TimeoutError):
        raise StateUnavailable() from None
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Response(Health(ok=True, ts=now), headers={"Cache-Control": "no-store"})


@get("/metrics", opt={"policy": "admin.view_audit_log", "scope": "metrics"}, media_type="text/plain")
async def metrics() -> Response[bytes]:
    """Prometheus metrics, for a key with the scope `metrics`."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


ROUTES = [health, metrics, web_app()]

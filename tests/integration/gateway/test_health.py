"""Health says whether the database answers."""

import httpx
from litestar import Litestar
from litestar.di import Provide

from aibox.core.connections import Connections
from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.routes import health
from tests.conftest import Kernel


async def test_health_is_good_while_the_database_answers_and_unavailable_after(kernel: Kernel) -> None:
    async def connections() -> Connections:
        return kernel.connections

    app = Litestar(
        [health],
        dependencies={"connections": Provide(connections)},
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for path in ("/healthz", "/v1/healthz", "/readyz"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["ok"]) == (200, True)
        kernel.connections.system.terminate()
        down = await http.get("/healthz")
    assert (down.status_code, down.json()["code"]) == (503, "state_unavailable")

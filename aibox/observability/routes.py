"""Observability's routes."""

from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from aibox.core.turn import Turn
from aibox.observability import Observability


@get("/v1/usage/me", opt={"policy": "signed-in", "scope": "models"}, summary="What one's own model calls add up to")
async def own_usage(turn: NamedDependency[Turn], observability: NamedDependency[Observability]) -> dict[str, Any]:
    return await observability.usage_of(turn)


ROUTES: list[ControllerRouterHandler] = [own_usage]

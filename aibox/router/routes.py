"""The router's routes: what can be asked for, and the administration of providers and roles."""

from typing import Any

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from aibox.core.turn import Turn
from aibox.router import Catalogue, ModelRouter, Provider
from aibox.router.schemas import NewProvider, RoleModels, RoleTarget


@get("/v1/models", opt={"policy": "signed-in", "scope": "models"}, summary="The models that can be asked for")
async def list_models(turn: NamedDependency[Turn], model_router: NamedDependency[ModelRouter]) -> dict[str, Any]:
    return {"object": "list", "data": await model_router.models(turn)}


@get("/v1/routes", opt={"policy": "signed-in", "scope": "models"}, summary="Where each role alias leads")
async def list_routes(turn: NamedDependency[Turn], model_router: NamedDependency[ModelRouter]) -> dict[str, Any]:
    return {"object": "list", "data": await model_router.routes(turn)}


class InferenceController(Controller):
    """Providers and roles."""

    path = "/v1/admin/inference"
    opt = {"policy": "admin.manage_providers", "scope": "admin"}  # noqa: RUF012 - Litestar's own attribute

    @get("/providers", summary="All providers with their models and health")
    async def providers(self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue]) -> list[Provider]:
        return await catalogue.providers(turn)

    @post("/providers", summary="Add a provider: its address is probed first, nothing is saved when that fails")
    async def add_provider(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], data: JSONBody[NewProvider]
    ) -> Provider:
        return await catalogue.add_provider(
            turn, name=data.name, base_url=data.base_url, api_key=data.api_key, type=data.type, models=data.models
        )

    @delete("/providers/{provider_id:str}", summary="Remove a provider with its models")
    async def remove_provider(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], provider_id: FromPath[str]
    ) -> None:
        await catalogue.remove_provider(turn, provider_id)

    @get("/roles", summary="Every role alias and where it leads")
    async def roles(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue]
    ) -> dict[str, RoleModels | None]:
        return {
            alias: None if target is None else RoleModels(**target)
            for alias, target in (await catalogue.roles(turn)).items()
        }

    @put("/roles/{alias:str}", summary="Lead a role to a model, then to its fallbacks", status_code=204)
    async def set_role(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        alias: FromPath[str],
        data: JSONBody[RoleTarget],
    ) -> None:
        await catalogue.set_role(turn, alias, data.model, fallbacks=data.fallbacks)


ROUTES: list[ControllerRouterHandler] = [list_models, list_routes, InferenceController]

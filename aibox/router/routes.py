"""The router's routes: what can be asked for, and the administration of providers and roles."""

from typing import Any

from litestar import Controller, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler

from aibox.core.turn import Turn
from aibox.router import (
    Bundle,
    Catalogue,
    EngineMetrics,
    ListedModel,
    Model,
    ModelRouter,
    ModelTerms,
    Provider,
    ProviderChange,
    ProviderTest,
)
from aibox.router.schemas import NewProvider, RoleModels, RoleTarget


@get("/v1/models", opt={"policy": "signed-in", "scope": "models"}, summary="The models that can be asked for")
async def list_models(turn: NamedDependency[Turn], model_router: NamedDependency[ModelRouter]) -> dict[str, Any]:
    return {"object": "list", "data": await model_router.models(turn)}


@get("/v1/routes", opt={"policy": "signed-in", "scope": "models"}, summary="Where each role alias leads")
async def list_routes(turn: NamedDependency[Turn], model_router: NamedDependency[ModelRouter]) -> dict[str, Any]:
    return {"object": "list", "data": await model_router.routes(turn)}


class InferenceController(Controller):
    """Providers, models, roles, and what of them is applied."""

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
            turn,
            name=data.name,
            base_url=data.base_url,
            api_key=data.api_key,
            type=data.type,
            adapter=data.adapter,
            models=data.models,
        )

    @get("/providers/{provider_id:str}", summary="One provider, by its id or name")
    async def provider(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], provider_id: FromPath[str]
    ) -> Provider:
        return await catalogue.provider(turn, provider_id)

    @patch("/providers/{provider_id:str}", summary="Change a provider: another address or key is probed first")
    async def change_provider(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        provider_id: FromPath[str],
        data: JSONBody[ProviderChange],
    ) -> Provider:
        return await catalogue.change_provider(turn, provider_id, data)

    @post("/providers/{provider_id:str}/test", summary="Ask a provider for its models now", status_code=200)
    async def test_provider(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], provider_id: FromPath[str]
    ) -> ProviderTest:
        return await catalogue.test_provider(turn, provider_id)

    @get("/providers/{provider_id:str}/models", summary="What a provider lists now")
    async def provider_models(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], provider_id: FromPath[str]
    ) -> list[ListedModel]:
        return await catalogue.provider_models(turn, provider_id)

    @get("/providers/{provider_id:str}/metrics", summary="What a vLLM server says of itself")
    async def provider_metrics(
        self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue], provider_id: FromPath[str]
    ) -> EngineMetrics:
        return await catalogue.provider_metrics(turn, provider_id)

    @put("/providers/{provider_id:str}/models/{model_id:path}", summary="Add a model, or say all its terms anew")
    async def set_model(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        provider_id: FromPath[str],
        model_id: FromPath[str],
        data: JSONBody[ModelTerms],
    ) -> Model:
        return await catalogue.set_model(turn, provider_id, model_id.removeprefix("/"), data)

    @delete("/providers/{provider_id:str}/models/{model_id:path}", summary="Remove a model")
    async def remove_model(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        provider_id: FromPath[str],
        model_id: FromPath[str],
    ) -> None:
        await catalogue.remove_model(turn, provider_id, model_id.removeprefix("/"))

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

    @get("/bundle", summary="What is staged, what is applied, and how they differ")
    async def bundle(self, turn: NamedDependency[Turn], catalogue: NamedDependency[Catalogue]) -> Bundle:
        return await catalogue.bundle(turn)

    @post("/bundle/apply", summary="Let calls use what is staged, if it is still `revision`", status_code=200)
    async def apply_bundle(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        revision: FromQuery[int | None] = None,
    ) -> Bundle:
        return await catalogue.apply_bundle(turn, revision=revision)

    @post("/bundle/discard", summary="Give up what is staged, if it is still `revision`", status_code=200)
    async def discard_bundle(
        self,
        turn: NamedDependency[Turn],
        catalogue: NamedDependency[Catalogue],
        revision: FromQuery[int | None] = None,
    ) -> Bundle:
        return await catalogue.discard_bundle(turn, revision=revision)


ROUTES: list[ControllerRouterHandler] = [list_models, list_routes, InferenceController]

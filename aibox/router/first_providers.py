"""The providers that a file names for the first boot: added to a catalogue that is empty, and never again.

A provider that does not answer yet (a vLLM that still loads its model) is asked again until it does, as long as this
process runs. A role that the file does not name goes to the local model, else to the first provider with a key.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
import structlog
from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, BootRefused
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, system_turn
from aibox.observability import Price
from aibox.router import ROLES, AdapterName, ModelTerms
from aibox.router.catalogue import CatalogueService
from aibox.router.first_boot import CHAT_ROLES, PROVIDER

log = structlog.get_logger("aibox.router.first_boot")

AGAIN_SECONDS: Final = 15.0


class FirstModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a provider. What is left out is as the provider lists it, or unknown."""

    id: str
    capabilities: tuple[str, ...] = ()
    context: int | None = None
    price: Price | None = None


class FirstProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider, as `POST /v1/admin/inference/providers` takes one; `api_key_env` names a variable with its key."""

    name: str
    base_url: str
    type: Literal["vllm", "external"] = "external"
    adapter: AdapterName = "chat_completions"
    api_key_env: str = ""
    models: Annotated[
        tuple[FirstModel, ...], Meta(description="Only these; all that it lists where there are none")
    ] = ()


class FirstProviders(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: providers in order of preference, and roles as lists of models, the fallbacks after the first."""

    providers: tuple[FirstProvider, ...]
    roles: dict[str, tuple[str, ...]] = {}


def read(path: Path) -> FirstProviders:
    """The file's contents. Raises `BootRefused`, naming what is wrong: a key that is not set, a role that is none."""
    try:
        found = msgspec.yaml.decode(path.read_bytes(), type=FirstProviders)
    except (OSError, msgspec.DecodeError) as error:
        raise _refused(str(error)) from None
    for provider in found.providers:
        if provider.api_key_env and not os.environ.get(provider.api_key_env):
            raise _refused(f"{provider.name} takes its key from {provider.api_key_env}, which is not set")
    if unknown := sorted(set(found.roles) - set(ROLES)):
        raise _refused(f"there is no role {unknown[0]}; there are {', '.join(ROLES)}")
    return found


def _refused(error: str) -> BootRefused:
    return BootRefused("boot_providers", f"router.first_providers cannot be used: {error}.")


async def add(
    tenant: UUID, wanted: FirstProviders, *, catalogue: CatalogueService, events: EventLog, again: float = AGAIN_SECONDS
) -> None:
    """Add each provider as soon as it answers, and give out the roles; return when all is done."""
    left = list(wanted.providers)
    while True:
        turn = system_turn(tenant)
        left = [provider for provider in left if not await _added(turn, provider, catalogue)]
        await _give_roles(turn, wanted, catalogue, is_last=not left)
        await events.end(turn, "sealed")
        if not left:
            return
        await asyncio.sleep(again)


async def _added(turn: Turn, wanted: FirstProvider, catalogue: CatalogueService) -> bool:
    try:
        if any(one.name == wanted.name for one in await catalogue.providers(turn)):
            return True  # a person was faster
        added = await catalogue.add_provider(
            turn,
            name=wanted.name,
            base_url=wanted.base_url,
            api_key=os.environ.get(wanted.api_key_env) if wanted.api_key_env else None,
            type=wanted.type,
            adapter=wanted.adapter,
            models=[model.id for model in wanted.models] or None,
        )
        listed = {model.id: model.context for model in added.models}
        for model in wanted.models:
            context = model.context or listed[model.id]
            terms = ModelTerms(capabilities=model.capabilities, context=context, price=model.price)
            await catalogue.set_model(turn, wanted.name, model.id, terms)
    except AIBoxError as error:
        log.warning("router.first_provider_not_added", provider=wanted.name, code=error.code, error=str(error))
        return False
    return True


async def _give_roles(turn: Turn, wanted: FirstProviders, catalogue: CatalogueService, *, is_last: bool) -> None:
    """Roles that the file names and whose models are there; at the end also those that nobody serves yet."""
    shown = {one.name: one for one in await catalogue.providers(turn)}
    known = {f"{name}/{model.id}" for name, one in shown.items() for model in one.models}
    given = await catalogue.roles(turn)
    for role, models in wanted.roles.items():
        there = [name for name in models if name in known]
        if there and (is_last or len(there) == len(models)) and _is_ours_to_give(given[role]):
            await _give(turn, role, there, catalogue)
    keyed = (
        next((one for one in wanted.providers if one.api_key_env and shown[one.name].models), None) if is_last else None
    )
    if keyed is not None:
        for role in CHAT_ROLES:
            if given[role] is None and role not in wanted.roles:
                await _give(turn, role, [f"{keyed.name}/{shown[keyed.name].models[0].id}"], catalogue)


def _is_ours_to_give(given: dict[str, Any] | None) -> bool:
    """Not when a person gave it to a provider meanwhile."""
    return given is None or given["model"].startswith(f"{PROVIDER}/")


async def _give(turn: Turn, role: str, models: Sequence[str], catalogue: CatalogueService) -> None:
    try:
        await catalogue.set_role(turn, role, models[0], fallbacks=models[1:])
    except AIBoxError as error:
        log.warning("router.first_role_not_set", role=role, code=error.code, error=str(error))

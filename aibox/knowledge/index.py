"""The index of passages: one generation a time serves a tenant, and the next is built beside it when the model changes.

A generation is made with one embedding model in one collection of the vector store. Questions are asked with the model
of the generation that serves, so a new model changes nothing until its generation is whole; the switch is one commit.
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from msgspec import Struct
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database, Work
from aibox.core.errors import AIBoxError
from aibox.core.jobs import Job, Jobs
from aibox.core.turn import Turn
from aibox.knowledge import Generation, Reindexed
from aibox.knowledge.models import ChunkRow, GenerationRow, ItemRow, PlacedRow
from aibox.knowledge.rights import Kept, actor, readers
from aibox.router import ModelRouter, RoleNotConfigured
from aibox.stores import Point, Vectors

log = structlog.get_logger("aibox.knowledge.index")

REINDEX, PURGE, RIGHTS = "knowledge-reindex", "knowledge-purge", "knowledge-rights"

BATCH = 8
"""Texts embedded at a time: a question of a chat waits behind no more than these."""

ITEMS = 20


class Place(Struct, frozen=True):
    """A generation as the module works with it."""

    id: int
    collection: str
    model: str
    dimension: int


class Index:
    """Puts passages into the tenant's generations, keeps rights up to date in them, and builds the next one."""

    def __init__(self, *, db: Database, vectors: Vectors, router: ModelRouter, jobs: Jobs) -> None:
        self._db = db
        self._vectors = vectors
        self._router = router
        self._jobs = jobs
        jobs.register(REINDEX, self._reindex)
        jobs.register(PURGE, self._purge)
        jobs.register(RIGHTS, self._update_rights)

    async def active(self, turn: Turn) -> Place | None:
        """The generation that serves, None before the first document."""
        async with self._db.read(turn) as session:
            return await active_place(session, turn)

    async def places(self, turn: Turn) -> list[Place]:
        """Where a new document must stand: the generation that serves (made when there is none), and the next.

        Raises what the router raises when no embedding model answers.
        """
        if await self.active(turn) is None:
            await self._begin(turn, await self._model(turn), "active")
        async with self._db.read(turn) as session:
            rows = await session.scalars(
                _generations(turn).where(GenerationRow.state != "retired").order_by(GenerationRow.state)
            )
            return [_place(row) for row in rows]

    async def keep_up(self, turn: Turn) -> None:
        """Begin the next generation when the embedding model is another now. A model that does not answer waits."""
        active = await self.active(turn)
        try:
            model = await self._model(turn)
            if active is None:
                return
            if active.model == model:
                await self._give_up_building(turn)
                return
            await self._begin(turn, model, "building")
        except AIBoxError as error:
            log.warning("knowledge.not_kept_up", code=error.code)
            return
        async with self._db.work(turn) as work:
            await self._jobs.enqueue(work, turn, REINDEX, {}, dedupe=REINDEX)

    async def embed(self, turn: Turn, place: Place, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of the generation's own model. Raises what the router raises."""
        return await self._router.embed(turn, texts, model=place.model)

    async def put(self, turn: Turn, place: Place, item: ItemRow, chunks: Sequence[ChunkRow]) -> None:
        """Index those passages of an item that are not there yet; nobody finds them until `show`."""
        chunks = await self._lacking(turn, place, chunks)
        if not chunks:
            return
        texts = [indexed_text(item.title, chunk) for chunk in chunks]
        vectors = await self.embed(turn, place, texts)
        points = [
            Point(
                id=str(chunk.id),
                vector=vector,
                text=text,
                payload={
                    "item": str(item.id),
                    "revision": chunk.revision,
                    "generation": place.id,
                    "readers": [],
                    "archived": False,
                    "tags": [],
                },
            )
            for chunk, text, vector in zip(chunks, texts, vectors, strict=True)
        ]
        await self._vectors.put(turn, place.collection, points)

    async def _lacking(self, turn: Turn, place: Place, chunks: Sequence[ChunkRow]) -> list[ChunkRow]:
        """The passages that a killed process did not come to."""
        ids = [str(chunk.id) for chunk in chunks]
        generation = {"generation": place.id}
        hits = await self._vectors.get(turn, place.collection, filter=generation, limit=len(ids), ids=ids)
        known = {hit.id for hit in hits}
        return [chunk for chunk in chunks if str(chunk.id) not in known]

    async def show(self, turn: Turn, item_id: UUID) -> None:
        """Let the index judge by the item's rights as they are now, in all generations.

        Rights that change meanwhile are set again: whoever ends last has set the last.
        """
        while True:
            async with self._db.read(turn) as session:
                item = await session.get(ItemRow, (turn.tenant, item_id))
                places = [_place(row) for row in await session.scalars(_generations(turn))]
            if item is None or item.rights_indexed == item.rights_version:
                return
            for place in places:
                await self._vectors.patch(turn, place.collection, filter={"item": str(item_id)}, payload=_rights(item))
            async with self._db.work(turn) as work:
                await work.session.execute(
                    update(ItemRow)
                    .where(
                        ItemRow.tenant == turn.tenant,
                        ItemRow.id == item_id,
                        ItemRow.rights_version == item.rights_version,
                    )
                    .values(rights_indexed=item.rights_version)
                )

    async def show_later(self, work: Work, turn: Turn, item_id: UUID) -> None:
        """As `show`, by a job of `work`: for whoever cannot be sure to come to it."""
        await self._jobs.enqueue(work, turn, RIGHTS, {"item": str(item_id)}, dedupe=str(item_id), delay=1.0)

    async def hide_old(self, turn: Turn, item_id: UUID, *, before: int) -> None:
        """Remove the passages of revisions before `before`."""
        old = list(range(max(1, before - 50), before))
        if old:
            for place in await self._all(turn):
                await self._vectors.delete(turn, place.collection, filter={"item": str(item_id), "revision": old})

    async def remove(self, turn: Turn, item_id: UUID, *, revision: int) -> None:
        """Remove the passages of one revision."""
        for place in await self._all(turn):
            await self._vectors.delete(turn, place.collection, filter={"item": str(item_id), "revision": [revision]})

    async def remove_later(self, work: Work, turn: Turn, item_id: UUID) -> None:
        """Remove an item's passages from the index, by a job of `work`."""
        await self._jobs.enqueue(work, turn, PURGE, {"item": str(item_id)}, dedupe=f"item {item_id}")

    async def is_placed(self, session: AsyncSession, turn: Turn, item: UUID, revision: int) -> bool:
        """Whether the generation that serves has this revision. It cannot be switched before the transaction ends."""
        active = await session.scalar(
            _generations(turn).where(GenerationRow.state == "active").with_for_update(read=True)
        )
        if active is None:
            return False
        placed = await session.get(PlacedRow, (turn.tenant, active.id, item))
        return placed is not None and placed.revision == revision

    async def mark_placed(self, turn: Turn, place: Place, item: UUID, revision: int) -> None:
        """All passages of the revision stand in the generation."""
        async with self._db.work(turn) as work:
            is_there = await work.session.scalar(
                select(exists().where(ItemRow.tenant == turn.tenant, ItemRow.id == item))
            )
            lives = await work.session.get(GenerationRow, (turn.tenant, place.id))
            if is_there and lives is not None:
                await work.session.execute(
                    insert(PlacedRow)
                    .values(tenant=turn.tenant, generation=place.id, item=item, revision=revision)
                    .on_conflict_do_update(index_elements=["tenant", "generation", "item"], set_={"revision": revision})
                )

    async def generations(self, turn: Turn) -> list[Generation]:
        """The newest first, with how many items stand in each."""
        async with self._db.read(turn) as session:
            total = await session.scalar(_served_items(turn)) or 0
            placed = (
                select(func.count())
                .where(PlacedRow.tenant == GenerationRow.tenant, PlacedRow.generation == GenerationRow.id)
                .scalar_subquery()
            )
            found = await session.execute(
                select(GenerationRow, placed)
                .where(GenerationRow.tenant == turn.tenant)
                .order_by(GenerationRow.id.desc())
            )
            return [
                Generation(
                    id=row.id, model=row.model, dimension=row.dimension, state=row.state, items=items, total=total
                )
                for row, items in found
            ]

    async def _model(self, turn: Turn) -> str:
        """The embedding model that is set now, as `provider/model`."""
        routes = await self._router.routes(turn)
        models: list[dict[str, Any]] = next((route["models"] for route in routes if route["id"] == "embedding"), [])
        if not models:
            raise RoleNotConfigured("No model is set for the role embedding; an administrator can set one.")
        return str(models[0]["id"])

    async def _begin(self, turn: Turn, model: str, state: str) -> None:
        """A new generation, unless another process made one first; one being built for another model is given up."""
        dimension = len((await self._router.embed(turn, ["dimension"], model=model))[0])
        name = hashlib.sha256(model.encode()).hexdigest()[:12]
        async with self._db.work(turn) as work:
            building = await work.session.scalar(_generations(turn).where(GenerationRow.state == "building"))
            if state == "building" and building is not None:
                if building.model == model:
                    return
                await self._retire(work, turn, building)
            newest = select(func.coalesce(func.max(GenerationRow.id), 0) + 1).where(GenerationRow.tenant == turn.tenant)
            await work.session.execute(
                insert(GenerationRow)
                .values(
                    tenant=turn.tenant,
                    id=newest.scalar_subquery(),
                    collection=f"knowledge-{name}-{dimension}",
                    model=model,
                    dimension=dimension,
                    state=state,
                )
                .on_conflict_do_nothing()
            )

    async def _give_up_building(self, turn: Turn) -> None:
        """The model that serves is the one that is set, again: the next generation is not wanted any more."""
        building = _generations(turn).where(GenerationRow.state == "building")
        async with self._db.read(turn) as session:
            if await session.scalar(building) is None:
                return
        async with self._db.work(turn) as work:
            if (row := await work.session.scalar(building.with_for_update())) is not None:
                await self._retire(work, turn, row)

    async def _retire(self, work: Work, turn: Turn, generation: GenerationRow) -> None:
        generation.state = "retired"
        await work.session.flush()
        payload = {"generation": generation.id, "collection": generation.collection}
        await self._jobs.enqueue(work, turn, PURGE, payload, dedupe=f"generation {generation.id}")

    async def _reindex(self, turn: Turn, _: Job) -> None:
        """Put what the next generation lacks into it, and switch when nothing is missing."""
        while True:
            async with self._db.read(turn) as session:
                row = await session.scalar(_generations(turn).where(GenerationRow.state == "building"))
                if row is None:
                    return
                place = _place(row)
                missing = list(await session.scalars(_missing(turn, place.id).limit(ITEMS)))
            for item in missing:
                await self._place_item(turn, place, item)
            if not missing and await self._switch(turn, place):
                return

    async def _place_item(self, turn: Turn, place: Place, item: ItemRow) -> None:
        for begin in range(0, 1 << 30, BATCH):
            async with self._db.read(turn) as session:
                chunks = list(await session.scalars(passages(turn, item.id, item.served, begin=begin, limit=BATCH)))
            if not chunks:
                break
            await self.put(turn, place, item, chunks)
        async with self._db.read(turn) as session:
            current = await session.get(ItemRow, (turn.tenant, item.id))
        if current is None:  # and what was embedded while it went came after it was cleared away
            await self.remove(turn, item.id, revision=item.served)
        else:
            await self._vectors.patch(turn, place.collection, filter={"item": str(item.id)}, payload=_rights(current))
            await self.mark_placed(turn, place, item.id, item.served)
            await self._show_again(turn, item.id)

    async def _show_again(self, turn: Turn, item_id: UUID) -> None:
        """Rights may have changed between reading the row and patching the index: set them once more."""
        async with self._db.work(turn) as work:
            await work.session.execute(
                update(ItemRow)
                .where(ItemRow.tenant == turn.tenant, ItemRow.id == item_id)
                .values(rights_version=ItemRow.rights_version + 1)
            )
        await self.show(turn, item_id)

    async def _switch(self, turn: Turn, place: Place) -> bool:
        """The next generation serves from this commit on, unless something came that it lacks."""
        async with self._db.work(turn) as work:
            rows = await work.session.scalars(
                _generations(turn).where(GenerationRow.state != "retired").with_for_update()
            )
            generations = {row.state: row for row in rows}
            building = generations.get("building")
            if building is None or building.id != place.id:
                return True
            if await work.session.scalar(_missing(turn, place.id).limit(1)) is not None:
                return False
            if (old := generations.get("active")) is not None:
                await self._retire(work, turn, old)
            building.state = "active"
            items = await work.session.scalar(_served_items(turn)) or 0
            work.record(Reindexed(actor=actor(turn), model=place.model, items=items))
        log.info("knowledge.reindexed", model=place.model, items=items)
        return True

    async def _purge(self, turn: Turn, job: Job) -> None:
        """Remove a retired generation, or an item that was deleted."""
        if (item := job.payload.get("item")) is not None:
            for place in await self._all(turn):
                await self._vectors.delete(turn, place.collection, filter={"item": item})
            return
        generation = int(job.payload["generation"])
        await self._vectors.delete(turn, job.payload["collection"], filter={"generation": generation})
        async with self._db.work(turn) as work:
            await work.session.execute(
                delete(GenerationRow).where(
                    GenerationRow.tenant == turn.tenant,
                    GenerationRow.id == generation,
                    GenerationRow.state == "retired",
                )
            )

    async def _update_rights(self, turn: Turn, job: Job) -> None:
        await self.show(turn, UUID(job.payload["item"]))

    async def _all(self, turn: Turn) -> list[Place]:
        async with self._db.read(turn) as session:
            return [_place(row) for row in await session.scalars(_generations(turn))]


async def active_place(session: AsyncSession, turn: Turn) -> Place | None:
    """The generation that serves, as `session` sees it."""
    row = await session.scalar(_generations(turn).where(GenerationRow.state == "active"))
    return None if row is None else _place(row)


def indexed_text(title: str, chunk: ChunkRow) -> str:
    """What is embedded and searched for words: the passage, and before it where it stands."""
    place = f"{title} › {chunk.section}" if chunk.section else title
    return "\n".join(filter(None, (place, chunk.context, chunk.text)))


def passages(turn: Turn, item: UUID, revision: int, *, begin: int, limit: int) -> Any:
    """A select of the passages of an item's revision from number `begin` on."""
    return (
        select(ChunkRow)
        .where(
            ChunkRow.tenant == turn.tenant,
            ChunkRow.item == item,
            ChunkRow.revision == revision,
            ChunkRow.n >= begin,
        )
        .order_by(ChunkRow.n)
        .limit(limit)
    )


def kept(item: ItemRow) -> Kept:
    """The row's rights as `rights.py` judges them."""
    return Kept(owner=item.owner, visibility=item.visibility, audience=item.audience, grants=item.grants)


def _rights(item: ItemRow) -> dict[str, Any]:
    return {"readers": readers(kept(item)), "archived": item.archived, "tags": item.tags}


def _generations(turn: Turn) -> Any:
    return select(GenerationRow).where(GenerationRow.tenant == turn.tenant)


def _served_items(turn: Turn) -> Any:
    return select(func.count()).select_from(ItemRow).where(ItemRow.tenant == turn.tenant, ItemRow.served > 0)


def _missing(turn: Turn, generation: int) -> Any:
    """Items that can be found and do not stand in the generation as they are."""
    placed = exists().where(
        PlacedRow.tenant == ItemRow.tenant,
        PlacedRow.item == ItemRow.id,
        PlacedRow.generation == generation,
        PlacedRow.revision == ItemRow.served,
    )
    return select(ItemRow).where(ItemRow.tenant == turn.tenant, ItemRow.served > 0, ~placed).order_by(ItemRow.id)


def _place(row: GenerationRow) -> Place:
    return Place(row.id, row.collection, row.model, row.dimension)

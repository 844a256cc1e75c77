"""Knowledge: items with their rights, the documents behind them, and what searches of them find."""

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import structlog
from msgspec import UNSET, UnsetType, to_builtins
from sqlalchemy import delete, select

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database, Work
from aibox.core.errors import AIBoxError, AuditUnavailable, NotFound, TooLarge, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.events import json_artifact, text_artifact
from aibox.core.http import Client
from aibox.core.jobs import Job, Jobs
from aibox.core.turn import Turn, system_turn, uuid7
from aibox.knowledge import (
    MAX_QUERY,
    Added,
    AudienceSet,
    Change,
    ChunksRetrieved,
    DocumentAdded,
    DocumentChanged,
    DocumentDeleted,
    DocumentEmpty,
    DocumentRead,
    Generation,
    Item,
    NotFailed,
    Passage,
    Rights,
    Search,
    Settings,
    Source,
    Stage,
    Unconfirmed,
    Upload,
)
from aibox.knowledge.contexts import Contexts
from aibox.knowledge.index import Index, passages
from aibox.knowledge.ingestion import Ingestion
from aibox.knowledge.intake import fetch
from aibox.knowledge.items import (
    checked_grants,
    checked_tags,
    item_of,
    managed_row,
    new_item,
    of_tenant,
    queue,
    readable_row,
    require_shareable,
    require_title,
)
from aibox.knowledge.models import AudienceRow, ChunkRow, ItemRow, WikiVersionRow
from aibox.knowledge.rights import actor, readable
from aibox.knowledge.search import Finder, reader_of
from aibox.router import ModelRouter, Reranker
from aibox.stores import Objects, Vectors

log = structlog.get_logger("aibox.knowledge")

REMOVE = "knowledge-remove"
"""The job that removes objects which belong to no item any more."""

WATCH_SECONDS = 60.0
WAIT_SECONDS = 0.2
MOST_SHARED = 500
MOST_PEOPLE = 5000

T = TypeVar("T")


class KnowledgeService:
    """`Knowledge` over rows, an object store and an index. `folder` is for documents while they are read."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        db: Database,
        connections: Connections,
        log: EventLog,
        objects: Objects,
        vectors: Vectors,
        router: ModelRouter,
        reranker: Reranker,
        http: Client,
        jobs: Jobs,
    ) -> None:
        """`router` and `reranker` are the guarded ones."""
        self._settings = settings
        self._folder = folder
        self._db = db
        self._connections = connections
        self._log = log
        self._objects = objects
        self._http = http
        self._jobs = jobs
        self.index = Index(db=db, vectors=vectors, router=router, jobs=jobs)
        self._finder = Finder(settings, db=db, vectors=vectors, index=self.index, reranker=reranker)
        self._ingestion = Ingestion(
            settings,
            folder,
            db=db,
            objects=objects,
            index=self.index,
            contexts=Contexts(router, enabled=settings.contexts),
            jobs=jobs,
        )
        jobs.register(REMOVE, self._remove)

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Follow the embedding model until the block ends: another one begins the next generation of the index."""
        # What a killed process left of documents that it was reading.
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        watching = tasks.create_task(self._watch_forever(), name="knowledge.watch")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def add(self, turn: Turn, upload: Upload) -> Added:
        return await self._take_in(turn, upload, source="upload")

    async def add_text(
        self, turn: Turn, *, title: str, content: str, tags: Sequence[str] = (), rights: Rights | None = None
    ) -> Added:
        with self._draft() as path:
            await asyncio.to_thread(path.write_text, content.replace("\x00", ""), "utf-8", "replace")
            upload = Upload(path=path, name="text.md", title=title, tags=tuple(tags), rights=rights or Rights())
            return await self._take_in(turn, upload, source="text")

    async def add_url(
        self, turn: Turn, *, url: str, title: str = "", tags: Sequence[str] = (), rights: Rights | None = None
    ) -> Added:
        with self._draft() as path:
            fetched = await fetch(self._http, url, path, limit=self._settings.upload_mb << 20)
            upload = Upload(path=path, name=fetched.name, title=title, tags=tuple(tags), rights=rights or Rights())
            return await self._take_in(turn, upload, source="url", url=url, charset=fetched.charset)

    async def wait(self, turn: Turn, item_id: UUID, *, seconds: float) -> Item:
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while True:
            item = await self.item(turn, item_id)
            if item.stage in ("indexed", "failed") or clock() >= deadline:
                return item
            await asyncio.sleep(WAIT_SECONDS)

    async def items(
        self,
        turn: Turn,
        *,
        limit: int = 50,
        before: UUID | None = None,
        text: str = "",
        tags: Sequence[str] = (),
        stage: Stage | None = None,
        archived: bool = False,
    ) -> Sequence[Item]:
        async with self._db.read(turn) as session:
            reader = await reader_of(session, turn)
            wanted = of_tenant(turn).where(readable(reader), ItemRow.archived == archived)
            if before is not None:
                wanted = wanted.where(ItemRow.id < before)
            if text:
                wanted = wanted.where(ItemRow.title.icontains(text.replace("\x00", ""), autoescape=True))
            if tags:
                wanted = wanted.where(ItemRow.tags.overlap(list(tags)))
            if stage is not None:
                wanted = wanted.where(ItemRow.stage == stage)
            rows = await session.scalars(wanted.order_by(ItemRow.id.desc()).limit(limit))
            return [item_of(row, reader) for row in rows]

    async def item(self, turn: Turn, item_id: UUID) -> Item:
        async with self._db.read(turn) as session:
            return item_of(*await readable_row(session, turn, item_id))

    async def change(self, turn: Turn, item_id: UUID, change: Change) -> Item:
        async with self._db.work(turn) as work:
            row, reader = await managed_row(work.session, turn, item_id)
            changed = _apply(turn, row, change)
            if changed:
                await self._changed(work, turn, row, changed)
            await work.session.flush()
            await work.session.refresh(row)
            item = item_of(row, reader)
        await self._show(turn, item_id)
        return item

    async def share(
        self, turn: Turn, item_ids: Sequence[UUID], rights: Rights, *, confirm_tenant_wide: bool
    ) -> Sequence[Item]:
        if not 0 < len(item_ids) <= MOST_SHARED:
            raise ValidationFailed(fields=[{"field": "item_ids", "error": f"1 to {MOST_SHARED} documents"}])
        if rights.visibility_mode == "shared" and not rights.audience_tags and not confirm_tenant_wide:
            raise Unconfirmed(fields=[{"field": "confirm_tenant_wide", "error": "must be true to share with everyone"}])
        change = Change(
            visibility_mode=rights.visibility_mode, audience_tags=rights.audience_tags, user_grants=rights.user_grants
        )
        items = []
        async with self._db.work(turn) as work:
            for item_id in sorted(set(item_ids)):  # in one order, so that two such calls cannot wait for each other
                row, reader = await managed_row(work.session, turn, item_id)
                if changed := _apply(turn, row, change):
                    await self._changed(work, turn, row, changed)
                    await work.session.flush()
                    await work.session.refresh(row)
                items.append(item_of(row, reader))
        for item in items:
            await self._show(turn, item.id)
        return items

    async def delete(self, turn: Turn, item_id: UUID) -> None:
        async with self._db.work(turn) as work:
            row, _ = await managed_row(work.session, turn, item_id)
            keys = {row.original}
            if row.topic is not None:
                keys |= set(
                    await work.session.scalars(
                        select(WikiVersionRow.key).where(
                            WikiVersionRow.tenant == turn.tenant, WikiVersionRow.topic == row.topic
                        )
                    )
                )
            await work.session.execute(delete(ItemRow).where(ItemRow.tenant == turn.tenant, ItemRow.id == item_id))
            await self.index.remove_later(work, turn, item_id)
            await self._jobs.enqueue(work, turn, REMOVE, {"keys": sorted(keys)})
            work.record(DocumentDeleted(actor=actor(turn), target=str(item_id)))

    async def erase(self, turn: Turn) -> int:
        person = turn.principal.id
        async with self._db.read(turn) as session:
            private = list(
                await session.scalars(
                    select(ItemRow.id).where(
                        ItemRow.tenant == turn.tenant, ItemRow.owner == person, ItemRow.visibility == "private"
                    )
                )
            )
            granted = list(
                await session.scalars(
                    of_tenant(turn).with_only_columns(ItemRow.id).where(ItemRow.grants.contains([person]))
                )
            )
        for item_id in private:
            with contextlib.suppress(NotFound):  # erased before, by a delivery that was cut off
                await self.delete(turn, item_id)
        for item_id in granted:
            item = await self.item(turn, item_id)
            grants = tuple(user for user in item.user_grants if user != person)
            await self.change(turn, item_id, Change(user_grants=grants))
        async with self._db.work(turn) as work:
            await work.session.execute(
                delete(AudienceRow).where(AudienceRow.tenant == turn.tenant, AudienceRow.user_id == person)
            )
        return len(private)

    async def retry(self, turn: Turn, item_id: UUID) -> Added:
        async with self._db.work(turn) as work:
            row, reader = await managed_row(work.session, turn, item_id)
            if row.stage != "failed":
                raise NotFailed()
            row.stage = "chunked" if row.chunks else "uploaded"
            row.error = row.error_code = None
            job = await queue(self._jobs, work, turn, row)
            await work.session.flush()
            await work.session.refresh(row)
            return Added(item=item_of(row, reader), job_id=job)

    async def original(self, turn: Turn, item_id: UUID, path: Path) -> Item:
        async with self._db.read(turn) as session:
            row, reader = await readable_row(session, turn, item_id)
        await self._log.log(turn, DocumentRead(actor=actor(turn), target=str(item_id)))
        await self._objects.get_file(row.original, path)
        return item_of(row, reader)

    async def passages(self, turn: Turn, item_id: UUID, *, begin: int = 0, limit: int = 50) -> Sequence[Passage]:
        async with self._db.read(turn) as session:
            row, _ = await readable_row(session, turn, item_id)
            found = await session.scalars(passages(turn, item_id, row.served, begin=begin, limit=limit))
            return [chunk.value() for chunk in found]

    async def passage(self, turn: Turn, item_id: UUID, chunk_id: UUID) -> Passage:
        async with self._db.read(turn) as session:
            row, _ = await readable_row(session, turn, item_id)
            chunk = await session.get(ChunkRow, (turn.tenant, chunk_id))
        if chunk is None or chunk.item != item_id or chunk.revision != row.served:
            raise NotFound("There is no such passage; the document may have changed.")
        return chunk.value()

    async def search(self, turn: Turn, query: str, *, limit: int = 8, tags: Sequence[str] = ()) -> Search:
        if len(query) > MAX_QUERY:
            raise ValidationFailed(fields=[{"field": "query", "error": f"at most {MAX_QUERY} characters"}])
        search = await self._finder.search(turn, query, limit=limit, tags=tags)
        await self._retrieved(turn, query, search)
        return search

    async def consult(self, turn: Turn, question: str) -> Search:
        if not self._settings.passages:
            return Search()
        search = await self._finder.consult(turn, question[:MAX_QUERY], limit=self._settings.passages)
        if search.found or search.degraded:
            await self._retrieved(turn, question, search)
        return search

    async def audiences(self, turn: Turn) -> dict[str, tuple[UUID, ...]]:
        async with self._db.read(turn) as session:
            rows = await session.scalars(
                select(AudienceRow)
                .where(AudienceRow.tenant == turn.tenant)
                .order_by(AudienceRow.tag, AudienceRow.user_id)
            )
            found: dict[str, tuple[UUID, ...]] = {}
            for row in rows:
                found[row.tag] = (*found.get(row.tag, ()), row.user_id)
            return found

    async def set_audience(self, turn: Turn, tag: str, user_ids: Sequence[UUID]) -> None:
        people = sorted(set(user_ids))
        if len(people) > MOST_PEOPLE:
            raise ValidationFailed(fields=[{"field": "user_ids", "error": f"at most {MOST_PEOPLE}"}])
        async with self._db.work(turn) as work:
            await work.session.execute(
                delete(AudienceRow).where(AudienceRow.tenant == turn.tenant, AudienceRow.tag == tag)
            )
            work.session.add_all(AudienceRow(tenant=turn.tenant, tag=tag, user_id=user) for user in people)
            work.record(AudienceSet(actor=actor(turn), target=tag, people=len(people)))

    async def generations(self, turn: Turn) -> Sequence[Generation]:
        return await self.index.generations(turn)

    async def reindex(self, turn: Turn) -> Sequence[Generation]:
        await self.index.keep_up(turn)
        return await self.index.generations(turn)

    async def _take_in(
        self, turn: Turn, upload: Upload, *, source: Source, url: str | None = None, charset: str = ""
    ) -> Added:
        """Store the original, then the row and the job that reads it."""
        size, sha256 = await asyncio.to_thread(_measure, upload.path)
        if size == 0:
            raise DocumentEmpty("The document is empty.")
        if size > self._settings.upload_mb << 20:
            raise TooLarge(f"The document is larger than {self._settings.upload_mb} MiB.")
        id = uuid7()
        key = f"knowledge/{turn.tenant}/{id}/original"
        row = new_item(
            turn,
            id=id,
            title=upload.title or upload.name,
            name=upload.name,
            source=source,
            original=key,
            size=size,
            sha256=sha256,
            tags=upload.tags,
            rights=upload.rights,
        )
        row.source_url, row.charset = url, charset
        await self._objects.put_file(key, upload.path)
        try:
            return await self._enter(turn, row)
        except AIBoxError:
            with contextlib.suppress(AIBoxError):  # it belongs to no item: it costs room and nothing else
                await self._objects.delete(key)
            raise

    async def _enter(self, turn: Turn, row: ItemRow) -> Added:
        async with self._db.work(turn) as work:
            reader = await reader_of(work.session, turn)
            work.session.add(row)
            await work.session.flush()
            await work.session.refresh(row)
            job = await queue(self._jobs, work, turn, row)
            work.record(
                DocumentAdded(
                    actor=actor(turn), target=str(row.id), result=row.source, sha256=row.sha256, size=row.size
                )
            )
            return Added(item=item_of(row, reader), job_id=job)

    async def _changed(self, work: Work, turn: Turn, row: ItemRow, fields: Sequence[str]) -> None:
        """Count the rights up, and let the index follow also if nobody comes to it after this Work."""
        row.rights_version += 1
        row.updated_at = datetime.now(UTC)
        await self.index.show_later(work, turn, row.id)
        work.record(
            DocumentChanged(
                actor=actor(turn),
                target=str(row.id),
                fields=tuple(fields),
                visibility=row.visibility,
                audience=tuple(row.audience),
                grants=len(row.grants),
            )
        )

    async def _show(self, turn: Turn, item_id: UUID) -> None:
        """Bring the index up to date now; when it cannot be, the job of the Work does it, and rows decide meanwhile."""
        try:
            await self.index.show(turn, item_id)
        except AuditUnavailable:
            raise
        except AIBoxError as error:
            log.warning("knowledge.rights_wait", item=str(item_id), code=error.code)

    async def _retrieved(self, turn: Turn, query: str, search: Search) -> None:
        await self._log.log(
            turn,
            ChunksRetrieved(
                count=len(search.found),
                documents=tuple(dict.fromkeys(str(found.passage.document_id) for found in search.found)),
                chunks=tuple(str(found.passage.chunk_id) for found in search.found),
                degraded=search.degraded,
                artifacts=(json_artifact(to_builtins(search.found)), text_artifact(query)),
            ),
        )

    async def _remove(self, _: Turn, job: Job) -> None:
        for key in job.payload["keys"]:
            await self._objects.delete(key)

    @contextlib.contextmanager
    def _draft(self) -> Generator[Path]:
        """A file of our own until the block ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder) / "document"

    async def _watch_forever(self) -> None:
        while True:
            try:
                await self.watch()
            except (*LOST, AIBoxError, asyncpg.PostgresError) as error:
                log.warning("knowledge.watch_failed", error=type(error).__name__)
            await asyncio.sleep(WATCH_SECONDS)

    async def watch(self) -> None:
        """Look in every tenant whether the embedding model is another now."""
        rows = await self._connections.system.fetch(
            "SELECT DISTINCT tenant FROM knowledge.generation WHERE state = 'active'"
        )
        for row in rows:
            turn = system_turn(row["tenant"])
            try:
                await self.index.keep_up(turn)
            finally:
                await self._log.end(turn, "sealed")


def _apply(turn: Turn, row: ItemRow, change: Change) -> list[str]:
    """Set what the change says, and name what became different. Raises `ValidationFailed`, `Forbidden`."""
    wanted: dict[str, tuple[str, Any]] = {
        "title": ("title", _if_set(change.title, require_title)),
        "tags": ("tags", _if_set(change.tags, lambda tags: checked_tags("tags", tags))),
        "archived": ("archived", change.archived),
        "owner_user_id": ("owner", change.owner_user_id),
        "visibility_mode": ("visibility", change.visibility_mode),
        "audience_tags": ("audience", _if_set(change.audience_tags, lambda t: checked_tags("audience_tags", t))),
        "user_grants": ("grants", _if_set(change.user_grants, checked_grants)),
    }
    changed = []
    for field, (column, value) in wanted.items():
        if value is not UNSET and getattr(row, column) != value:
            setattr(row, column, value)
            changed.append(field)
    if {"visibility_mode", "audience_tags", "user_grants"} & set(changed):
        require_shareable(turn, Rights(visibility_mode=row.visibility))
    return changed


def _if_set(value: T | UnsetType, check: Callable[[T], object]) -> object:
    return value if value is UNSET else check(value)


def _measure(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()

"""Takes a document through its stages: read, cut, described, embedded, found. A job; each stage survives a crash."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import AIBoxError
from aibox.core.jobs import Job, Jobs
from aibox.core.turn import Turn, uuid7
from aibox.knowledge import DocumentFailed, DocumentIngested, DocumentUnreadable, Settings
from aibox.knowledge.contexts import MOST_PASSAGES, Contexts
from aibox.knowledge.index import BATCH, Index, Place, passages
from aibox.knowledge.models import ChunkRow, ItemRow
from aibox.knowledge.parsing import parse
from aibox.knowledge.rights import actor
from aibox.stores import ObjectMissing, Objects

log = structlog.get_logger("aibox.knowledge.ingestion")

INGEST = "knowledge-ingest"
STORED = 100
"""Passages stored in one transaction: the event loop is held while their statement is made."""


class GoneError(Exception):
    """The item was deleted or has a newer original: nobody waits for this one."""


class Ingestion:
    """The handler of `knowledge-ingest` jobs. Running it again continues where it was."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        db: Database,
        objects: Objects,
        index: Index,
        contexts: Contexts,
        jobs: Jobs,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._db = db
        self._objects = objects
        self._index = index
        self._contexts = contexts
        jobs.register(INGEST, self._ingest, gave_up=self._gave_up)

    async def _ingest(self, turn: Turn, job: Job) -> None:
        item_id, revision = _subject(job)
        try:
            await self._take_in(turn, item_id, revision)
        except GoneError:
            # What was embedded while it went may have been put into the index after it was cleared away there.
            await self._index.remove(turn, item_id, revision=revision)

    async def _take_in(self, turn: Turn, item_id: UUID, revision: int) -> None:
        item = await self._item(turn, item_id, revision)
        if item.stage == "indexed":
            return
        try:
            if item.stage in ("uploaded", "parsed", "failed"):
                await self._read(turn, item)
                item = await self._item(turn, item_id, revision)
        except DocumentUnreadable as error:
            # Trying again would find the same document: this is the end, and the owner is told why.
            await self._fail(turn, item_id, revision, error)
            return
        await self._describe(turn, item)
        await self._index_all(turn, item)

    async def _read(self, turn: Turn, item: ItemRow) -> None:
        """Parse and cut the original, and store its passages."""
        async with self._checked_out(item) as path:
            read = await parse(path, item.name, self._settings, charset=item.charset)
        # A title that nobody chose gives way to the document's own.
        title = read.document.title if item.title == item.name and read.document.title else item.title
        await self._advance(
            turn,
            item,
            stage="parsed",
            media_type=read.document.media_type,
            pages=read.document.pages,
            title=title,
            chunks=0,
            done=0,
        )
        async with self._db.work(turn) as work:
            await work.session.execute(
                delete(ChunkRow).where(
                    ChunkRow.tenant == turn.tenant, ChunkRow.item == item.id, ChunkRow.revision == item.revision
                )
            )
        for begin in range(0, len(read.chunks), STORED):
            rows = [
                {
                    "tenant": turn.tenant,
                    "id": uuid7(),
                    "item": item.id,
                    "revision": item.revision,
                    "n": n,
                    "text": chunk.text,
                    "section": chunk.section,
                    "page": chunk.page,
                }
                for n, chunk in enumerate(read.chunks[begin : begin + STORED], begin)
            ]
            async with self._db.work(turn) as work:
                await self._require(work.session, turn, item)
                await work.session.execute(insert(ChunkRow), rows)
        await self._advance(turn, item, stage="chunked", chunks=len(read.chunks))

    @contextlib.asynccontextmanager
    async def _checked_out(self, item: ItemRow) -> AsyncGenerator[Path]:
        """The original as a file in a folder of its own, which is the parser's to use."""
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            path = folder / "document"
            try:
                await self._objects.get_file(item.original, path)
            except ObjectMissing:
                raise DocumentUnreadable("The document's original is missing from the object store.") from None
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _describe(self, turn: Turn, item: ItemRow) -> None:
        """Let the model write contexts where none is; the first failure ends it for this document."""
        if not await self._contexts.can_write(turn):
            return
        async with self._db.read(turn) as session:
            bare = list(
                await session.scalars(
                    passages(turn, item.id, item.revision, begin=0, limit=MOST_PASSAGES).where(
                        ChunkRow.context.is_(None)
                    )
                )
            )
            head = await session.scalar(
                select(ChunkRow.text).where(
                    ChunkRow.tenant == turn.tenant,
                    ChunkRow.item == item.id,
                    ChunkRow.revision == item.revision,
                    ChunkRow.n == 0,
                )
            )
        for begin in range(0, len(bare), BATCH):
            batch = bare[begin : begin + BATCH]
            written = await self._contexts.write(turn, item.title, head or "", batch)
            if written is None:
                return
            async with self._db.work(turn) as work:
                for chunk, context in zip(batch, written, strict=True):
                    await work.session.execute(
                        update(ChunkRow)
                        .where(ChunkRow.tenant == turn.tenant, ChunkRow.id == chunk.id)
                        .values(context=context)
                    )

    async def _index_all(self, turn: Turn, item: ItemRow) -> None:
        """Put the passages into every generation that must have them, until the one that serves does."""
        await self._index.keep_up(turn)
        while True:
            places = await self._index.places(turn)
            for place in places:
                await self._index_in(turn, item, place, is_shown=place is places[0])
                await self._index.mark_placed(turn, place, item.id, item.revision)
            await self._advance(turn, item, stage="embedded", rights_version=ItemRow.rights_version + 1)
            await self._index.show(turn, item.id)
            if await self._finish(turn, item, places[0]):
                break
        await self._index.hide_old(turn, item.id, before=item.revision)

    async def _index_in(self, turn: Turn, item: ItemRow, place: Place, *, is_shown: bool) -> None:
        """`is_shown`: its progress is the one that the item tells."""
        begin = 0
        while True:
            async with self._db.read(turn) as session:
                chunks = list(await session.scalars(passages(turn, item.id, item.revision, begin=begin, limit=BATCH)))
            if not chunks:
                return
            await self._index.put(turn, place, item, chunks)
            begin = chunks[-1].n + 1
            if is_shown:
                await self._advance(turn, item, done=begin)
            else:
                await self._item(turn, item.id, item.revision)

    async def _finish(self, turn: Turn, item: ItemRow, place: Place) -> bool:
        """The revision can be found from this commit on; False when the index was switched meanwhile."""
        async with self._db.work(turn) as work:
            if not await self._index.is_placed(work.session, turn, item.id, item.revision):
                return False
            row = await self._require(work.session, turn, item)
            row.stage, row.served, row.error, row.error_code = "indexed", item.revision, None, None
            await work.session.execute(
                delete(ChunkRow).where(
                    ChunkRow.tenant == turn.tenant, ChunkRow.item == item.id, ChunkRow.revision < item.revision
                )
            )
            work.record(DocumentIngested(actor=actor(turn), target=str(item.id), chunks=row.chunks, model=place.model))
        return True

    async def _gave_up(self, turn: Turn, job: Job, error: AIBoxError) -> None:
        with contextlib.suppress(GoneError):
            await self._fail(turn, *_subject(job), error)

    async def _fail(self, turn: Turn, item_id: UUID, revision: int, error: AIBoxError) -> None:
        async with self._db.work(turn) as work:
            row = await work.session.get(ItemRow, (turn.tenant, item_id), with_for_update=True)
            if row is None or row.revision != revision:
                raise GoneError
            row.stage, row.error_code, row.error = "failed", error.code, str(error)
            row.updated_at = func.now()
            work.record(DocumentFailed(actor=actor(turn), target=str(item_id), result=error.code))
        log.info("knowledge.failed", item=str(item_id), code=error.code)

    async def _item(self, turn: Turn, item_id: UUID, revision: int) -> ItemRow:
        async with self._db.read(turn) as session:
            row = await session.get(ItemRow, (turn.tenant, item_id))
        if row is None or row.revision != revision:
            raise GoneError
        return row

    async def _require(self, session: AsyncSession, turn: Turn, item: ItemRow) -> ItemRow:
        row = await session.get(ItemRow, (turn.tenant, item.id), with_for_update=True)
        if row is None or row.revision != item.revision:
            raise GoneError
        return row

    async def _advance(self, turn: Turn, item: ItemRow, **changes: object) -> None:
        async with self._db.work(turn) as work:
            done = await work.session.execute(
                update(ItemRow)
                .where(ItemRow.tenant == turn.tenant, ItemRow.id == item.id, ItemRow.revision == item.revision)
                .values(**changes, updated_at=func.now())
                .returning(ItemRow.id)
            )
            if done.scalar() is None:
                raise GoneError


def _subject(job: Job) -> tuple[UUID, int]:
    return UUID(job.payload["item"]), int(job.payload["revision"])

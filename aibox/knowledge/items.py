"""Items as rows: made, found with the reader's rights, and shown."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Work
from aibox.core.errors import Forbidden, NotFound, ValidationFailed
from aibox.core.jobs import Jobs
from aibox.core.turn import Turn
from aibox.knowledge import MAX_TITLE, Item, Problem, Progress, Rights, Source
from aibox.knowledge.index import kept
from aibox.knowledge.ingestion import INGEST
from aibox.knowledge.models import ItemRow
from aibox.knowledge.rights import Reader, may_read
from aibox.knowledge.search import reader_of

MOST_TAGS = 50
MOST_GRANTS = 500


def new_item(
    turn: Turn,
    *,
    id: UUID,
    title: str,
    name: str,
    source: Source,
    original: str,
    size: int,
    sha256: str,
    tags: Sequence[str],
    rights: Rights,
) -> ItemRow:
    """A row of the turn's user, to be added to a Work. Raises `ValidationFailed`, `Forbidden`."""
    require_shareable(turn, rights)
    return ItemRow(
        tenant=turn.tenant,
        id=id,
        title=require_title(title),
        owner=turn.principal.id,
        creator=turn.principal.id,
        visibility=rights.visibility_mode,
        audience=checked_tags("audience_tags", rights.audience_tags),
        grants=checked_grants(rights.user_grants),
        tags=checked_tags("tags", tags),
        archived=False,
        rights_version=1,
        rights_indexed=0,
        source=source,
        name=name[:MAX_TITLE],
        size=size,
        sha256=sha256,
        original=original,
        revision=1,
        served=0,
        stage="uploaded",
        media_type="",
        charset="",
        chunks=0,
        done=0,
    )


async def queue(jobs: Jobs, work: Work, turn: Turn, row: ItemRow) -> UUID:
    """Let the row's document be read; the job's id."""
    payload = {"item": str(row.id), "revision": row.revision}
    return await jobs.enqueue(work, turn, INGEST, payload, dedupe=f"{row.id} {row.revision}")


async def readable_row(
    session: AsyncSession, turn: Turn, item_id: UUID, *, lock: bool = False
) -> tuple[ItemRow, Reader]:
    """The row, and who reads it. Raises `NotFound` for one that the turn's user may not read."""
    reader = await reader_of(session, turn)
    row = await session.get(ItemRow, (turn.tenant, item_id), with_for_update=lock)
    if row is None or not may_read(reader, kept(row)):
        raise NotFound("There is no such document.")
    return row, reader


async def managed_row(session: AsyncSession, turn: Turn, item_id: UUID) -> tuple[ItemRow, Reader]:
    """The row, locked. Raises `Forbidden` for who may read but not manage it."""
    row, reader = await readable_row(session, turn, item_id, lock=True)
    if not may_manage(reader, row):
        raise Forbidden("Only its owner and administrators may change this document.")
    return row, reader


def may_manage(reader: Reader, row: ItemRow) -> bool:
    """Whether the reader may change and delete it."""
    return reader.is_administrator or reader.user == row.owner


def item_of(row: ItemRow, reader: Reader) -> Item:
    """The item as `reader` sees it: who else may read it is shown to those who manage it."""
    manages = may_manage(reader, row)
    is_working = row.stage in ("chunked", "embedded") and row.chunks > 0
    return Item(
        id=row.id,
        title=row.title,
        owner_user_id=row.owner,
        creator_user_id=row.creator,
        visibility_mode=row.visibility,
        audience_tags=tuple(row.audience),
        user_grants=tuple(row.grants) if manages else (),
        tags=tuple(row.tags),
        archived=row.archived,
        stage=row.stage,
        source=row.source,
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        source_url=row.source_url,
        topic=row.topic,
        pages=row.pages,
        chunks=row.chunks,
        progress=Progress(done=row.done, total=row.chunks) if is_working else None,
        error=Problem(code=row.error_code, sentence=row.error or "") if row.error_code else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        may_manage=manages,
    )


def require_shareable(turn: Turn, rights: Rights) -> None:
    """Raises `Forbidden` for who may keep documents for themselves only."""
    if rights.visibility_mode != "private" and not turn.principal.may("memory.share"):
        raise Forbidden("You may not share documents.")


def require_title(title: str) -> str:
    title = " ".join(title.replace("\x00", "").split())
    if not title or len(title) > MAX_TITLE:
        raise ValidationFailed(fields=[{"field": "title", "error": f"1 to {MAX_TITLE} characters"}])
    return title


def checked_tags(field: str, tags: Sequence[str]) -> list[str]:
    """The tags, each once, in order."""
    if len(tags) > MOST_TAGS:
        raise ValidationFailed(fields=[{"field": field, "error": f"at most {MOST_TAGS}"}])
    return sorted({tag.replace("\x00", "") for tag in tags})


def checked_grants(users: Sequence[UUID]) -> list[UUID]:
    if len(users) > MOST_GRANTS:
        raise ValidationFailed(fields=[{"field": "user_grants", "error": f"at most {MOST_GRANTS}"}])
    return sorted(set(users))


def of_tenant(turn: Turn) -> Any:
    """A select of the tenant's items."""
    return select(ItemRow).where(ItemRow.tenant == turn.tenant)

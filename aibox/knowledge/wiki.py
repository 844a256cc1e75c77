"""The wiki: Markdown pages by topic, every version an object of its own, the newest also an item that searches find."""

import contextlib
import difflib
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database, Work
from aibox.core.errors import AIBoxError, NotFound, ValidationFailed
from aibox.core.jobs import Jobs
from aibox.core.turn import Turn, uuid7
from aibox.knowledge import (
    DocumentAdded,
    Knowledge,
    Page,
    PageSaved,
    PageSummary,
    PageVersion,
    Rights,
    WikiStale,
)
from aibox.knowledge.index import kept
from aibox.knowledge.items import new_item, queue, readable_row
from aibox.knowledge.models import ItemRow, WikiLinkRow, WikiRow, WikiVersionRow
from aibox.knowledge.rights import actor, may_read, readable
from aibox.knowledge.search import reader_of
from aibox.stores import Objects

MAX_CONTENT = 1_000_000
MAX_TOPIC = 120
MOST_LINKS = 1000

_LINK = re.compile(r"\[\[([^\[\]|\n]{1,200})(?:\|[^\[\]\n]*)?\]\]|\]\((?:wiki:|/wiki/)([^\s()]{1,200})\)")
_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)


class WikiService:
    """`Wiki` over rows and objects."""

    def __init__(self, knowledge: Knowledge, *, db: Database, objects: Objects, jobs: Jobs) -> None:
        self._knowledge = knowledge
        self._db = db
        self._objects = objects
        self._jobs = jobs

    async def save(self, turn: Turn, *, topic: str, content: str, base_version: int | None = None) -> Page:
        slug = slug_of(topic)
        content = content.replace("\x00", "")
        if not content.strip() or len(content) > MAX_CONTENT:
            raise ValidationFailed(fields=[{"field": "content", "error": f"1 to {MAX_CONTENT} characters"}])
        data = content.encode("utf-8", "replace")
        version = (base_version or 0) + 1
        # A key of its own: who loses the race to the row has overwritten nothing.
        key = f"knowledge/{turn.tenant}/wiki/{slug}/{version}-{uuid4().hex}"
        await self._objects.put(key, data, if_absent=True)
        try:
            async with self._db.work(turn) as work:
                await self._enter(work, turn, slug, title_of(content, topic), key, data, version)
                await _set_links(work, turn, slug, links_of(content))
        except AIBoxError:
            with contextlib.suppress(AIBoxError):  # it belongs to no page: it costs room and nothing else
                await self._objects.delete(key)
            raise
        return await self.page(turn, slug)

    async def page(self, turn: Turn, topic: str, *, version: int | None = None) -> Page:
        slug = slug_of(topic)
        async with self._db.read(turn) as session:
            wiki, item = await _readable_page(session, turn, slug)
            number = version or wiki.version
            found = await session.get(WikiVersionRow, (turn.tenant, slug, number))
            if found is None:
                raise NotFound("The page has no such version.")
            reader = await reader_of(session, turn)
            backlinks = await session.scalars(
                select(WikiLinkRow.topic)
                .join(WikiRow, (WikiRow.tenant == WikiLinkRow.tenant) & (WikiRow.topic == WikiLinkRow.topic))
                .join(ItemRow, (ItemRow.tenant == WikiRow.tenant) & (ItemRow.id == WikiRow.item))
                .where(WikiLinkRow.tenant == turn.tenant, WikiLinkRow.target == slug, readable(reader))
                .order_by(WikiLinkRow.topic)
            )
            named = tuple(backlinks)
        content = (await self._objects.get(found.key)).data.decode("utf-8", "replace")
        return Page(
            topic=slug,
            title=item.title,
            content=content,
            version=number,
            document_id=item.id,
            updated_at=found.at,
            author_user_id=found.author,
            links=tuple(sorted(links_of(content))),
            backlinks=named,
        )

    async def pages(self, turn: Turn) -> Sequence[PageSummary]:
        async with self._db.read(turn) as session:
            reader = await reader_of(session, turn)
            rows = await session.execute(
                select(WikiRow, ItemRow)
                .join(ItemRow, (ItemRow.tenant == WikiRow.tenant) & (ItemRow.id == WikiRow.item))
                .where(WikiRow.tenant == turn.tenant, readable(reader), ~ItemRow.archived)
                .order_by(WikiRow.topic)
            )
            return [
                PageSummary(
                    topic=wiki.topic,
                    title=item.title,
                    version=wiki.version,
                    document_id=item.id,
                    updated_at=item.updated_at,
                )
                for wiki, item in rows
            ]

    async def versions(self, turn: Turn, topic: str) -> Sequence[PageVersion]:
        slug = slug_of(topic)
        async with self._db.read(turn) as session:
            await _readable_page(session, turn, slug)
            rows = await session.scalars(
                select(WikiVersionRow)
                .where(WikiVersionRow.tenant == turn.tenant, WikiVersionRow.topic == slug)
                .order_by(WikiVersionRow.version.desc())
            )
            return [
                PageVersion(version=row.version, author_user_id=row.author, at=row.at, size=row.size) for row in rows
            ]

    async def diff(self, turn: Turn, topic: str, *, old: int, new: int) -> str:
        before, after = [await self.page(turn, topic, version=version) for version in (old, new)]
        lines = difflib.unified_diff(
            before.content.splitlines(),
            after.content.splitlines(),
            f"{before.topic} {old}",
            f"{after.topic} {new}",
            lineterm="",
        )
        return "\n".join(lines)

    async def remove(self, turn: Turn, topic: str) -> None:
        slug = slug_of(topic)
        async with self._db.read(turn) as session:
            _, item = await _readable_page(session, turn, slug)
        await self._knowledge.delete(turn, item.id)

    async def _enter(self, work: Work, turn: Turn, slug: str, title: str, key: str, data: bytes, version: int) -> None:
        """Version 1 makes the page and its item; a later one must follow the newest. Raises `WikiStale`."""
        size, sha256 = len(data), hashlib.sha256(data).hexdigest()
        if version == 1:
            row = await self._new(work, turn, slug, title, key, size, sha256)
        else:
            row = await _next(work.session, turn, slug, title, key, size, sha256, version)
        work.session.add(
            WikiVersionRow(
                tenant=turn.tenant, topic=slug, version=version, key=key, author=turn.principal.id, size=size
            )
        )
        await queue(self._jobs, work, turn, row)
        work.record(PageSaved(actor=actor(turn), target=slug, version=version))

    async def _new(self, work: Work, turn: Turn, slug: str, title: str, key: str, size: int, sha256: str) -> ItemRow:
        row = new_item(
            turn,
            id=uuid7(),
            title=title,
            name=f"{slug}.md",
            source="wiki",
            original=key,
            size=size,
            sha256=sha256,
            tags=(),
            rights=Rights(visibility_mode="shared" if turn.principal.may("memory.share") else "private"),
        )
        row.topic = slug
        work.session.add(row)
        await work.session.flush()
        made = await work.session.execute(
            insert(WikiRow)
            .values(tenant=turn.tenant, topic=slug, item=row.id, version=1)
            .on_conflict_do_nothing()
            .returning(WikiRow.topic)
        )
        if made.scalar() is None:
            raise WikiStale("There is a page of this topic already; load it and change it.")
        work.record(DocumentAdded(actor=actor(turn), target=str(row.id), result="wiki", sha256=sha256, size=size))
        return row


async def _next(
    session: AsyncSession, turn: Turn, slug: str, title: str, key: str, size: int, sha256: str, version: int
) -> ItemRow:
    wiki = await session.get(WikiRow, (turn.tenant, slug), with_for_update=True)
    if wiki is None:
        raise NotFound("There is no such page.")
    row, _ = await readable_row(session, turn, wiki.item, lock=True)
    if wiki.version != version - 1:
        raise WikiStale()
    wiki.version = version
    row.title, row.original, row.size, row.sha256 = title, key, size, sha256
    row.revision += 1
    row.stage, row.chunks, row.done = "uploaded", 0, 0
    row.error = row.error_code = None
    row.updated_at = func.now()
    return row


async def _set_links(work: Work, turn: Turn, slug: str, links: set[str]) -> None:
    await work.session.flush()
    await work.session.execute(delete(WikiLinkRow).where(WikiLinkRow.tenant == turn.tenant, WikiLinkRow.topic == slug))
    work.session.add_all(WikiLinkRow(tenant=turn.tenant, topic=slug, target=target) for target in links - {slug})


async def _readable_page(session: AsyncSession, turn: Turn, slug: str) -> tuple[WikiRow, ItemRow]:
    wiki = await session.get(WikiRow, (turn.tenant, slug))
    item = None if wiki is None else await session.get(ItemRow, (turn.tenant, wiki.item))
    if wiki is None or item is None or not may_read(await reader_of(session, turn), kept(item)):
        raise NotFound("There is no such page.")
    return wiki, item


def slug_of(topic: str) -> str:
    """The topic as an address: lower case, letters and digits of any script, dashes. Raises `ValidationFailed`."""
    plain = unicodedata.normalize("NFKC", topic).casefold()
    slug = re.sub(r"[\W_]+", "-", plain).strip("-")
    if not slug or len(slug) > MAX_TOPIC or len(slug.encode()) > 2 * MAX_TOPIC:
        raise ValidationFailed(fields=[{"field": "topic", "error": f"1 to {MAX_TOPIC} characters, letters or digits"}])
    return slug


def title_of(content: str, topic: str) -> str:
    """The first heading, else the topic as it was written."""
    heading = _HEADING.search(content)
    return (heading[1] if heading else topic)[:300]


def links_of(content: str) -> set[str]:
    """The topics that the page names: `[[Topic]]`, `[[Topic|shown]]`, `[shown](wiki:topic)`, `[shown](/wiki/topic)`."""
    found: set[str] = set()
    for match in _LINK.finditer(content):
        with contextlib.suppress(ValidationFailed):  # a link to nothing that could be a page
            found.add(slug_of(match[1] or match[2]))
        if len(found) >= MOST_LINKS:
            break
    return found

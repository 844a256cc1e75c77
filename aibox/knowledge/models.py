"""Rows of knowledge: items, passages, audiences, the generations of the index, and the wiki."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import DateTime, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row
from aibox.knowledge import Passage, Source, Stage, Visibility

Uuids = ARRAY(PGUUID(as_uuid=True))


class ItemRow(Row):
    """A document. Its rights count up in `rights_version`; the index has them up to `rights_indexed`."""

    __tablename__ = "item"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012 - SQLAlchemy's way

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    owner: Mapped[UUID]
    creator: Mapped[UUID]
    visibility: Mapped[Visibility] = mapped_column(Text)
    audience: Mapped[list[str]] = mapped_column(ARRAY(Text))
    grants: Mapped[list[UUID]] = mapped_column(Uuids)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    archived: Mapped[bool] = mapped_column(default=False)
    rights_version: Mapped[int] = mapped_column(default=1)
    rights_indexed: Mapped[int] = mapped_column(default=0)
    source: Mapped[Source] = mapped_column(Text)
    source_url: Mapped[str | None]
    topic: Mapped[str | None]
    name: Mapped[str]
    media_type: Mapped[str] = mapped_column(default="")
    charset: Mapped[str] = mapped_column(default="")
    size: Mapped[int]
    sha256: Mapped[str]
    original: Mapped[str]
    revision: Mapped[int] = mapped_column(default=1)
    """Counts the originals; a job reads the one it was queued for."""
    served: Mapped[int] = mapped_column(default=0)
    """The revision that searches find, 0 for none: while a newer one is read, the older one serves."""
    stage: Mapped[Stage] = mapped_column(Text, default="uploaded")
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    pages: Mapped[int | None]
    chunks: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ChunkRow(Row):
    """A passage. The index holds its vector and its words under the same id."""

    __tablename__ = "chunk"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    item: Mapped[UUID]
    revision: Mapped[int]
    n: Mapped[int]
    text: Mapped[str]
    section: Mapped[str]
    page: Mapped[int | None]
    context: Mapped[str | None]
    """What the role `knowledge` wrote about its place; None: nobody has, and the generic one stands."""

    def value(self) -> Passage:
        """The passage as it crosses the module's wall."""
        return passage(self)


PASSAGE = (ChunkRow.id, ChunkRow.item, ChunkRow.n, ChunkRow.text, ChunkRow.section, ChunkRow.page, ChunkRow.context)
"""The columns of a passage: a search reads a hundred of them, and needs no objects that track what changes."""


def passage(row: Any) -> Passage:
    """The passage of a `ChunkRow`, or of a row with the columns `PASSAGE`."""
    return Passage(
        chunk_id=row.id,
        document_id=row.item,
        n=row.n,
        text=row.text,
        section=row.section,
        page=row.page,
        context=row.context or "",
    )


class AudienceRow(Row):
    """A person has an audience tag."""

    __tablename__ = "audience"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)


class GenerationRow(Row):
    """An index of the tenant, made with one embedding model in one collection."""

    __tablename__ = "generation"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    collection: Mapped[str]
    model: Mapped[str]
    dimension: Mapped[int]
    state: Mapped[Literal["building", "active", "retired"]] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PlacedRow(Row):
    """All passages of an item's revision stand in a generation."""

    __tablename__ = "placed"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int]


class WikiRow(Row):
    """A page in its newest version."""

    __tablename__ = "wiki"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[UUID]
    version: Mapped[int]


class WikiVersionRow(Row):
    """One version of a page; its text is the object `key`."""

    __tablename__ = "wiki_version"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    author: Mapped[UUID]
    size: Mapped[int]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class WikiLinkRow(Row):
    """The newest version of one page names another topic."""

    __tablename__ = "wiki_link"
    __table_args__ = {"schema": "knowledge"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)

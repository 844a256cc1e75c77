"""Rows of memory."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from aibox.core.db import Row
from aibox.memory import Change, Kind, Match, Memory, MemoryType, Scope, Visibility


class MemoryRow(Row):
    """A memory. `digest` finds equal content; `is_indexed` says that the vector store has this content."""

    __tablename__ = "memory"
    __table_args__ = {"schema": "memory"}  # noqa: RUF012 - SQLAlchemy's way

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    content: Mapped[str]
    digest: Mapped[bytes]
    memory_type: Mapped[MemoryType]
    kind: Mapped[Kind]
    visibility: Mapped[Visibility]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    is_indexed: Mapped[bool]
    agent_id: Mapped[str]
    session_id: Mapped[str]
    consolidated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    def value(self, *, score: float | None = None, matched: tuple[Match, ...] = ()) -> Memory:
        """The memory as it crosses the module's wall."""
        return Memory(
            id=self.id,
            content=self.content,
            memory_type=self.memory_type,
            kind=self.kind,
            visibility=self.visibility,
            user_id=self.user_id,
            created_at=self.created_at,
            updated_at=self.updated_at,
            scope=Scope(agent_id=self.agent_id, session_id=self.session_id),
            score=score,
            matched=matched,
        )


class HistoryRow(Row):
    """What a memory said from `at` on. Deleting the memory deletes it."""

    __tablename__ = "history"
    __table_args__ = {"schema": "memory"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    memory_id: Mapped[UUID]
    op: Mapped[Literal["store", "update", "merge"]]
    content: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    def value(self) -> Change:
        """The change as it crosses the module's wall."""
        return Change(op=self.op, content=self.content, at=self.at)


class SwitchRow(Row):
    """Who has memory switched off."""

    __tablename__ = "switch"
    __table_args__ = {"schema": "memory"}  # noqa: RUF012

    tenant: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    is_off: Mapped[bool]

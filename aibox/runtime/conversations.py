"""Stored conversations: listing, renaming, reading their items and runs. Each query names the owner."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import Select, delete, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import BadRequest, NotFound
from aibox.core.turn import Turn, uuid7
from aibox.guardrail import Guardrail
from aibox.runtime import Citation, Conversation, ConversationChanged, Item, Recalled, Run, ToolUse, TraceStep
from aibox.runtime.models import ConversationRow, ItemRow, RunRow

TITLE_LENGTH = 200


class ConversationStore:
    """`Conversations` on PostgreSQL."""

    def __init__(self, db: Database, guardrail: Guardrail) -> None:
        self._db = db
        self._guardrail = guardrail

    async def list(
        self, turn: Turn, *, query: str = "", limit: int = 50, before: str | None = None
    ) -> tuple[Sequence[Conversation], str | None]:
        """Pinned first, then newest first. `query` is looked for in titles and messages."""
        wanted = _own(turn).order_by(
            ConversationRow.pinned.desc(), ConversationRow.updated_at.desc(), ConversationRow.id.desc()
        )
        if query:
            pattern = "%" + query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            mentioned = select(ItemRow.conversation).where(ItemRow.content.ilike(pattern))
            wanted = wanted.where(ConversationRow.title.ilike(pattern) | ConversationRow.id.in_(mentioned))
        async with self._db.read(turn) as session:
            if before is not None:
                last = await _row(session, turn, _parse_cursor(before))
                key = tuple_(ConversationRow.pinned, ConversationRow.updated_at, ConversationRow.id)
                wanted = wanted.where(key < tuple_(last.pinned, last.updated_at, last.id))
            rows = (await session.scalars(wanted.limit(limit + 1))).all()
        shown = rows[:limit]
        return [_conversation(row) for row in shown], str(shown[-1].id) if len(rows) > limit else None

    async def create(self, turn: Turn, *, title: str = "") -> Conversation:
        row = ConversationRow(
            tenant=turn.tenant, id=uuid7(), owner=turn.principal.id, title=title[:TITLE_LENGTH], pinned=False
        )
        async with self._db.work(turn) as work:
            work.session.add(row)
            await work.session.flush()
            await work.session.refresh(row)
            work.record(changed(turn, row.id, "created"))
        return _conversation(row)

    async def get(self, turn: Turn, conversation: UUID) -> Conversation:
        async with self._db.read(turn) as session:
            return _conversation(await _row(session, turn, conversation))

    async def require_no_strangers(self, turn: Turn, conversation: UUID) -> None:
        """Raises NotFound for a conversation of another person; one that nobody has is nobody's yet."""
        wanted = select(ConversationRow.owner).where(
            ConversationRow.tenant == turn.tenant, ConversationRow.id == conversation
        )
        async with self._db.read(turn) as session:
            if await session.scalar(wanted) not in (None, turn.principal.id):
                raise NotFound("There is no such conversation.")

    async def update(self, turn: Turn, conversation: UUID, *, title: str | None, pinned: bool | None) -> Conversation:
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, conversation)
            if title is not None:
                row.title = title[:TITLE_LENGTH]
            if pinned is not None:
                row.pinned = pinned
            work.record(changed(turn, conversation, "updated"))
        return _conversation(row)

    async def delete(self, turn: Turn, conversation: UUID) -> None:
        async with self._db.work(turn) as work:
            row = await _row(work.session, turn, conversation)
            await work.session.execute(
                delete(ConversationRow).where(ConversationRow.tenant == row.tenant, ConversationRow.id == row.id)
            )
            work.record(changed(turn, conversation, "deleted"))
        await self._guardrail.forget(turn, conversation)

    async def erase(self, turn: Turn, *, owner: UUID, only: UUID | None = None) -> int:
        """Remove all conversations of a person, or one of them, with their runs and stream events; the number."""
        theirs = [ConversationRow.tenant == turn.tenant, ConversationRow.owner == owner]
        if only is not None:
            theirs.append(ConversationRow.id == only)
        async with self._db.work(turn) as work:
            gone = (
                await work.session.scalars(delete(ConversationRow).where(*theirs).returning(ConversationRow.id))
            ).all()
            work.record(*(changed(turn, conversation, "deleted") for conversation in gone))
        for conversation in gone:
            await self._guardrail.forget(turn, conversation)
        return len(gone)

    async def items(
        self, turn: Turn, conversation: UUID, *, limit: int = 200, after: str | None = None
    ) -> tuple[Sequence[Item], str | None]:
        """Oldest first."""
        wanted = (
            select(ItemRow, RunRow)
            .join(RunRow, (RunRow.tenant == ItemRow.tenant) & (RunRow.id == ItemRow.run))
            .where(ItemRow.tenant == turn.tenant, ItemRow.conversation == conversation)
            .order_by(ItemRow.id)
        )
        if after is not None:
            wanted = wanted.where(ItemRow.id > _parse_cursor(after))
        async with self._db.read(turn) as session:
            await _row(session, turn, conversation)
            rows = (await session.execute(wanted.limit(limit + 1))).all()
        shown = [_item(item, run) for item, run in rows[:limit]]
        return shown, str(shown[-1].id) if len(rows) > limit else None

    async def runs(self, turn: Turn, conversation: UUID) -> Sequence[Run]:
        """Newest first."""
        async with self._db.read(turn) as session:
            await _row(session, turn, conversation)
            wanted = select(RunRow).where(RunRow.tenant == turn.tenant, RunRow.conversation == conversation)
            rows = (await session.scalars(wanted.order_by(RunRow.id.desc()).limit(200))).all()
        return [_run(row) for row in rows]

    async def run(self, turn: Turn, conversation: UUID, run: UUID) -> Run:
        async with self._db.read(turn) as session:
            await _row(session, turn, conversation)
            row = await session.get(RunRow, (turn.tenant, run))
        if row is None or row.conversation != conversation:
            raise NotFound()
        return _run(row)


async def owned(session: AsyncSession, turn: Turn, conversation: UUID) -> ConversationRow:
    """The conversation, locked for this Work. Raises NotFound for a stranger's."""
    row = (await session.scalars(_own(turn).where(ConversationRow.id == conversation).with_for_update())).first()
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


async def newest_item(session: AsyncSession, turn: Turn, conversation: UUID) -> UUID | None:
    """The item that an unplaced message follows."""
    wanted = select(ItemRow.id).where(ItemRow.tenant == turn.tenant, ItemRow.conversation == conversation)
    found: UUID | None = await session.scalar(wanted.order_by(ItemRow.id.desc()).limit(1))
    return found


async def branch(session: AsyncSession, turn: Turn, leaf: UUID | None, *, limit: int) -> list[ItemRow]:
    """The items from the root (or the `limit`-th ancestor) down to `leaf`, in order."""
    if leaf is None:
        return []
    base = (
        select(ItemRow.id, ItemRow.parent, literal(1).label("depth"))
        .where(ItemRow.tenant == turn.tenant, ItemRow.id == leaf)
        .cte("branch", recursive=True)
    )
    up = base.union_all(
        select(ItemRow.id, ItemRow.parent, base.c.depth + 1).where(
            ItemRow.tenant == turn.tenant, ItemRow.id == base.c.parent, base.c.depth < limit
        )
    )
    wanted = select(ItemRow).join(up, ItemRow.id == up.c.id).where(ItemRow.tenant == turn.tenant)
    return list((await session.scalars(wanted.order_by(up.c.depth.desc()))).all())


def changed(turn: Turn, conversation: UUID, change: Literal["created", "updated", "deleted"]) -> ConversationChanged:
    return ConversationChanged(actor=f"user:{turn.principal.pseudonym}", conversation=str(conversation), change=change)


def _own(turn: Turn) -> Select[ConversationRow]:
    return select(ConversationRow).where(
        ConversationRow.tenant == turn.tenant, ConversationRow.owner == turn.principal.id
    )


async def _row(session: AsyncSession, turn: Turn, conversation: UUID) -> ConversationRow:
    row = (await session.scalars(_own(turn).where(ConversationRow.id == conversation))).first()
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


def _parse_cursor(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise BadRequest("The cursor is not one that this list gave.") from None


def _conversation(row: ConversationRow) -> Conversation:
    return Conversation(id=row.id, title=row.title, pinned=row.pinned, updated_at=row.updated_at)


def _item(row: ItemRow, run: RunRow) -> Item:
    is_answer = row.role == "assistant"
    return Item(
        id=row.id,
        parent_id=row.parent,
        role="assistant" if is_answer else "user",
        content=row.content,
        created_at=row.created_at,
        run_id=row.run,
        status=run.status if is_answer else None,
        finish_reason=run.finish_reason if is_answer else None,
        usage=run.usage if is_answer else None,
        citations=msgspec.convert(row.citations, tuple[Citation, ...]),
        recalled=msgspec.convert(row.recalled, tuple[Recalled, ...]),
        trace=msgspec.convert(row.trace, tuple[TraceStep, ...]),
        tools=msgspec.convert(row.tools, tuple[ToolUse, ...]),
        masked=tuple(row.masked),
    )


def _run(row: RunRow) -> Run:
    return Run(
        run_id=row.id,
        status=row.status,
        item_id=row.item,
        started_at=row.started_at,
        ended_at=row.ended_at,
        finish_reason=row.finish_reason,
        code=row.code,
    )

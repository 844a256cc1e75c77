"""What waits for its user's word before a tool is used: asked by a run, decided by any replica, closed in time."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database, Work
from aibox.core.errors import AIBoxError, Conflict, Forbidden, NotFound, StateUnavailable
from aibox.core.events import json_artifact
from aibox.core.turn import Turn, uuid7
from aibox.identity import InsufficientScope
from aibox.runtime import (
    ABANDONED,
    Approval,
    ApprovalClosed,
    ApprovalDecided,
    ApprovalRequested,
    ApprovalStatus,
    RunStatus,
)
from aibox.runtime.models import ApprovalRow, RunRow
from aibox.runtime.tools import Tool, taken
from aibox.runtime.tools.catalogue import TOOLS

LOOK_SECONDS = 0.5
"""How often a run that waits looks whether another replica took the decision."""

HEARD_SECONDS = 10.0
"""A run that does not take up within this time what was decided is gone, with the process that was killed."""

HEARD_LOOK_SECONDS = 0.05

SHOWN = 200

MOST_OPEN = 20
"""So many may wait for one person at once: each is a run that looks twice a second, for half an hour."""


class TooManyOpen(Conflict):
    code = "too_many_approvals"
    sentence = "Too much waits for the user's approval already; they have to answer some of it first."


GONE = "The answer that asked for this waits no more: it was cut off. Nothing was done; ask again."


class ApprovalStore:
    """`Approvals` on PostgreSQL, and what a run needs of them."""

    def __init__(self, db: Database, *, minutes: float) -> None:
        self._db = db
        self._minutes = minutes
        self._decided: dict[UUID, asyncio.Event] = {}
        """Those that a run of this process waits for."""

    async def request(
        self, turn: Turn, *, call: str, tool: str, arguments: dict[str, Any], risk: str, conversation: UUID
    ) -> Approval:
        """Ask the run's user; the run is `waiting_approval` from here on."""
        now = datetime.now(UTC)
        row = ApprovalRow(
            tenant=turn.tenant,
            id=uuid7(),
            owner=turn.principal.id,
            conversation=conversation,
            run=turn.id,
            call=call,
            tool=tool,
            arguments=arguments,
            risk=risk,
            status="pending",
            created_at=now,
            expires_at=now + timedelta(minutes=self._minutes),
        )
        async with self._db.work(turn) as work:
            if await _open(work.session, turn) >= MOST_OPEN:
                raise TooManyOpen()
            work.session.add(row)
            await _set_run(work.session, turn, "waiting_approval")
            work.record(
                ApprovalRequested(
                    approval=str(row.id),
                    call=call,
                    tool=tool,
                    risk=risk,
                    expires_us=int(row.expires_at.timestamp() * 1_000_000),
                    artifacts=(json_artifact(arguments),),
                )
            )
            return _approval(row)

    async def wait(self, turn: Turn, asked: Approval) -> Approval:
        """The approval once it is decided or expired; the run is `running` again.

        A run that is stopped meanwhile closes it. A database that is away is waited for, as long as the approval lasts:
        what its user was told to be approved is not forgotten.
        """
        decided = self._decided[asked.approval_id] = asyncio.Event()
        try:
            while True:
                try:
                    if (await self._read(turn, asked.approval_id)).status != "pending":
                        return await self._close(turn, asked.approval_id)
                except StateUnavailable:
                    if asked.expires_at <= datetime.now(UTC):
                        raise
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(decided.wait(), LOOK_SECONDS)
                decided.clear()
        except asyncio.CancelledError:
            with contextlib.suppress(AIBoxError):  # one of a run that has ended counts for nothing
                await self._close(turn, asked.approval_id)
            raise
        finally:
            self._decided.pop(asked.approval_id, None)

    async def _close(self, turn: Turn, approval: UUID) -> Approval:
        """Expire it if nobody has decided, and log in the run's own turn what became of it."""
        async with self._db.work(turn) as work:
            row = await _locked(work, turn, approval)
            if row.status == "pending":
                row.status, row.decided_at = "expired", datetime.now(UTC)
            row.heard_at = datetime.now(UTC)
            await _set_run(work.session, turn, "running")
            work.record(_decided(row))
            return _approval(row)

    async def _read(self, turn: Turn, approval: UUID) -> Approval:
        async with self._db.read(turn) as session:
            row = await session.get(ApprovalRow, (turn.tenant, approval))
            if row is None:
                raise NotFound("The conversation was deleted.")
            return _approval(row)

    async def list(self, turn: Turn, *, status: ApprovalStatus | None = None) -> Sequence[Approval]:
        wanted = (
            select(ApprovalRow, RunRow.ended_at)
            .join(RunRow, (RunRow.tenant == ApprovalRow.tenant) & (RunRow.id == ApprovalRow.run))
            .where(ApprovalRow.tenant == turn.tenant, ApprovalRow.owner == turn.principal.id)
            .order_by(ApprovalRow.id.desc())
            .limit(SHOWN)
        )
        if status in ("pending", "expired"):  # which of these a pending one is, the clock and its run say
            wanted = wanted.where(ApprovalRow.status.in_(("pending", "expired")))
        elif status is not None:
            wanted = wanted.where(ApprovalRow.status == status)
        async with self._db.read(turn) as session:
            rows = (await session.execute(wanted)).all()
        found = [_approval(row, ended=ended is not None) for row, ended in rows]
        return [approval for approval in found if status is None or approval.status == status]

    async def decide(
        self, turn: Turn, approval: UUID, *, approve: bool, arguments: dict[str, Any] | None = None
    ) -> Approval:
        async with self._db.work(turn) as work:
            row = await _locked(work, turn, approval)
            run = await work.session.get(RunRow, (turn.tenant, row.run))
            if row.status == "pending" and run is not None and run.code == ABANDONED:
                raise ApprovalClosed(GONE)
            if _approval(row, ended=run is None or run.ended_at is not None).status != "pending":
                raise ApprovalClosed()
            if approve:
                _require_use(turn, TOOLS[row.tool])
            row.decided_at, row.decided_in = datetime.now(UTC), turn.id
            row.status = "approved" if approve else "denied"
            if approve and arguments is not None and arguments != row.arguments:
                row.arguments = msgspec.to_builtins(taken(TOOLS[row.tool], msgspec.json.encode(arguments)))
                row.status = "approved_with_edits"
            work.record(_decided(row))
            decided = _approval(row)
        if (waiting := self._decided.get(approval)) is not None:
            waiting.set()
        await self._heard(turn, approval)
        return decided

    async def _heard(self, turn: Turn, approval: UUID) -> None:
        """Return once the run has taken up the decision. Where none does, nothing is done: raises `ApprovalClosed`."""
        deadline = asyncio.get_running_loop().time() + HEARD_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            async with self._db.read(turn) as session:
                if await session.scalar(_has_heard(turn, approval)):
                    return
            await asyncio.sleep(HEARD_LOOK_SECONDS)
        async with self._db.work(turn) as work:
            row = await _locked(work, turn, approval)
            if await work.session.scalar(_has_heard(turn, approval)):
                return
            row.status = "expired"  # so that it is not done later either
            work.record(_decided(row))
        raise ApprovalClosed(GONE)


async def _open(session: AsyncSession, turn: Turn) -> int:
    """How many approvals a run waits for that the turn's user began."""
    wanted = (
        select(func.count())
        .select_from(ApprovalRow)
        .join(RunRow, (RunRow.tenant == ApprovalRow.tenant) & (RunRow.id == ApprovalRow.run))
        .where(
            ApprovalRow.tenant == turn.tenant,
            ApprovalRow.owner == turn.principal.id,
            ApprovalRow.status == "pending",
            ApprovalRow.expires_at > func.now(),
            RunRow.ended_at.is_(None),
        )
    )
    return await session.scalar(wanted) or 0


async def _locked(work: Work, turn: Turn, approval: UUID) -> ApprovalRow:
    """The approval of the turn's user, for this Work alone."""
    wanted = select(ApprovalRow).where(*_this(turn, approval))
    row: ApprovalRow | None = await work.session.scalar(wanted.with_for_update())
    if row is None:
        raise NotFound("There is no such approval.")
    return row


def _this(turn: Turn, approval: UUID) -> tuple[ColumnElement[bool], ...]:
    return (ApprovalRow.tenant == turn.tenant, ApprovalRow.id == approval, ApprovalRow.owner == turn.principal.id)


def _has_heard(turn: Turn, approval: UUID) -> Select[bool]:
    """Whether the run took up the decision. One of a replica of the version before says so by going on alone."""
    goes_on = RunRow.status.not_in(("waiting_approval", "failed"))
    return (
        select(ApprovalRow.heard_at.is_not(None) | goes_on)
        .join(RunRow, (RunRow.tenant == ApprovalRow.tenant) & (RunRow.id == ApprovalRow.run))
        .where(*_this(turn, approval))
    )


def _require_use(turn: Turn, tool: Tool) -> None:
    """Who lets a tool act could use it: a right or a key's scope that is not theirs is not had by approving."""
    if not tool.is_permitted(turn):
        raise Forbidden()
    if not tool.is_in_scope(turn):
        raise InsufficientScope.for_want_of(tool.scope)


async def _set_run(session: AsyncSession, turn: Turn, status: RunStatus) -> None:
    await session.execute(
        update(RunRow)
        .where(RunRow.tenant == turn.tenant, RunRow.id == turn.id, RunRow.ended_at.is_(None))
        .values(status=status)
    )


def _decided(row: ApprovalRow) -> ApprovalDecided:
    return ApprovalDecided(
        approval=str(row.id),
        run=str(row.run),
        tool=row.tool,
        status=row.status,
        decided_in=str(row.decided_in or ""),
    )


def _approval(row: ApprovalRow, *, ended: bool = False) -> Approval:
    """`ended`: the run is over, so that nothing waits for it any more."""
    is_late = row.status == "pending" and (ended or row.expires_at <= datetime.now(UTC))
    return Approval(
        approval_id=row.id,
        run_id=row.run,
        session_id=row.conversation,
        call_id=row.call,
        tool=row.tool,
        arguments=row.arguments,
        risk=row.risk,
        status="expired" if is_late else row.status,
        created_at=row.created_at,
        expires_at=row.expires_at,
        decided_at=row.decided_at,
    )

"""The chat turn: a run of named steps that is stored, streams numbered events and outlives its connection."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog
from msgspec import UNSET, Struct

from aibox.audit import Receipts
from aibox.core.errors import AIBoxError, Conflict, Internal, NotFound, StateUnavailable, ValidationFailed
from aibox.core.events import TurnFailed, text_artifact
from aibox.core.turn import Turn, uuid7
from aibox.guardrail import Blocked
from aibox.observability import BudgetExceeded
from aibox.router import require_allowed
from aibox.runtime import ABANDONED, Question, QuestionAsked, RunEnded, RunStatus, Started, StreamEvent, StreamExpired
from aibox.runtime.conversations import ConversationStore, changed, newest_item, owned
from aibox.runtime.feed import ENDINGS, Feed, stored
from aibox.runtime.models import ConversationRow, ItemRow, RunRow
from aibox.runtime.steps import MODEL, Parts, State, Step
from aibox.runtime.steps.ask import ask
from aibox.runtime.steps.consult import consult
from aibox.runtime.steps.guard_in import InputBlocked, guard_in
from aibox.runtime.steps.guard_out import guard_out
from aibox.runtime.steps.prepare import prepare
from aibox.runtime.steps.recall import recall
from aibox.runtime.steps.remember import remember
from aibox.runtime.steps.resolve import citations, recalled, resolve, store

log = structlog.get_logger("aibox.runtime")

STEPS: tuple[Step, ...] = (prepare, guard_in, recall, consult, ask, guard_out, resolve, remember)
MAX_QUESTION = 200_000
FOLLOW_SECONDS = 0.5
LAST_EVENTS = timedelta(seconds=10)
STORE_TRIES = 6
KEEP_LAST_SECONDS = 5.0


class TimedOut(AIBoxError):
    """The turn took longer than `runtime.turn_seconds`."""

    status = 504
    code = "turn_timeout"
    sentence = "The answer took too long and was stopped."


class ShuttingDown(AIBoxError):
    """The server stops while the turn runs."""

    status = 503
    code = "shutting_down"
    sentence = "The server was stopped before the answer was complete."


class Live(Struct):
    """A run in this process."""

    state: State
    task: asyncio.Task[None] | None = None
    keeping: asyncio.Task[None] | None = None
    is_cancelled: bool = False
    is_ending: bool = False
    """Whether its end is being stored: nothing may cancel it any more."""


class ChatService:
    """`Chat` over the steps. Each run is a task of the System, not of the request that began it."""

    def __init__(self, parts: Parts, receipts: Receipts, conversations: ConversationStore) -> None:
        self._parts = parts
        self._receipts = receipts
        self._conversations = conversations
        self._live: dict[UUID, Live] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Take questions until the block ends; then what still runs is failed, sealed and stored."""
        self._tasks = tasks
        try:
            yield
        finally:
            self._tasks = None
            running = [live for live in self._live.values() if live.task is not None]
            for live in running:
                _cancel(live)
            await asyncio.gather(*(live.task for live in running if live.task is not None), return_exceptions=True)
            await self._close_feeds()

    async def _close_feeds(self) -> None:
        """Let the last events be written; a database that is away may not keep the server from stopping."""
        keeping = [live.keeping for live in self._live.values() if live.keeping is not None]
        if keeping:
            _, late = await asyncio.wait(keeping, timeout=KEEP_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def start(self, turn: Turn, question: Question) -> Started:
        if self._tasks is None:
            raise ShuttingDown()
        require_allowed(turn, MODEL)
        question = msgspec.structs.replace(question, text=question.text.replace("\x00", ""))  # which no table takes
        if not question.text.strip():
            raise ValidationFailed(fields=[{"field": "messages", "error": "The last message is empty."}])
        if len(question.text) > MAX_QUESTION:
            raise ValidationFailed(fields=[{"field": "messages", "error": f"Longer than {MAX_QUESTION} characters."}])
        turn = msgspec.structs.replace(turn, conversation=question.session_id or uuid7())
        state = await self._store_question(turn, question)
        live = self._live[turn.id] = Live(state)
        live.task = self._tasks.create_task(self._run(live), name=f"run.{turn.id}")
        live.keeping = self._tasks.create_task(self._keep(state.feed), name=f"feed.{turn.id}")
        return Started(run_id=turn.id, session_id=state.session_id, item_id=state.item_id)

    async def events(self, turn: Turn, conversation: UUID, run: UUID, *, after: int = 0) -> AsyncIterator[StreamEvent]:
        known = await self._conversations.run(turn, conversation, run)
        live = self._live.get(run)
        if live is not None:
            return live.state.feed.follow(after)
        if known.ended_at is not None and not await stored(self._parts.db, turn, run, after=0):
            raise StreamExpired()
        return self._follow_stored(turn, conversation, run, after)

    async def _follow_stored(self, turn: Turn, conversation: UUID, run: UUID, after: int) -> AsyncIterator[StreamEvent]:
        """The events of a run that lives in another process, or lived there."""
        while True:
            known = await self._conversations.run(turn, conversation, run)
            for event in await stored(self._parts.db, turn, run, after=after):
                after = event.n
                yield event
                if event.name in ENDINGS:
                    return
            if known.code == ABANDONED:
                yield _cut_off(run, after + 1)
                return
            # What a process that lives has ended may have its last events still to write.
            if known.ended_at is not None and datetime.now(UTC) - known.ended_at > LAST_EVENTS:
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    async def cancel(self, turn: Turn, conversation: UUID, run: UUID) -> None:
        known = await self._conversations.run(turn, conversation, run)
        live = self._live.get(run)
        if known.status not in ("queued", "running", "waiting_approval") or live is None or live.state.feed.is_closed:
            raise RunEnded()
        live.is_cancelled = True
        _cancel(live)

    async def _store_question(self, turn: Turn, question: Question) -> State:
        """The conversation, both items and the run, in one Work with the event that takes the question on."""
        asked, answer = uuid7(), uuid7()
        async with self._parts.db.work(turn) as work:
            if question.session_id is None:
                conversation = ConversationRow(
                    tenant=turn.tenant, id=turn.conversation, owner=turn.principal.id, title="", pinned=False
                )
                work.session.add(conversation)
                await work.session.flush()
                work.record(changed(turn, conversation.id, "created"))
            else:
                conversation = await owned(work.session, turn, question.session_id)
            parent = question.parent_id
            if parent is UNSET:
                parent = await newest_item(work.session, turn, conversation.id)
            elif parent is not None:
                known = await work.session.get(ItemRow, (turn.tenant, parent))
                if known is None or known.conversation != conversation.id:
                    raise NotFound("The conversation has no such item.")
            assert parent is None or isinstance(parent, UUID)
            if any(live.state.item_id == parent and not live.state.feed.is_closed for live in self._live.values()):
                raise Conflict("The answer above is still being written; stop it or wait.")
            conversation.updated_at = datetime.now(UTC)
            place = {"tenant": turn.tenant, "conversation": conversation.id, "run": turn.id}
            work.session.add(
                RunRow(tenant=turn.tenant, id=turn.id, conversation=conversation.id, item=answer, status="running")
            )
            work.session.add(ItemRow(id=asked, parent=parent, role="user", **place))
            work.session.add(ItemRow(id=answer, parent=asked, role="assistant", **place))
            work.record(
                QuestionAsked(
                    actor=f"user:{turn.principal.pseudonym}",
                    conversation=str(conversation.id),
                    run=str(turn.id),
                    artifacts=(text_artifact(question.text),),
                )
            )
            session_id = conversation.id
        return State(turn=turn, question=question, session_id=session_id, item_id=answer, feed=Feed(turn))

    async def _run(self, live: Live) -> None:
        turn = live.state.turn
        try:
            try:
                async with asyncio.timeout(self._parts.settings.turn_seconds) as limit:
                    live.state = msgspec.structs.replace(live.state, limit=limit)
                    for step in STEPS:
                        live.state = await step(self._parts, live.state)
                live.is_ending = True
                await self._finish(live, "sealed", live.state.finish_reason)
            except Blocked as blocked:
                await self._block(live, blocked)
            except TimeoutError:
                await self._fail(live, TimedOut())
            except asyncio.CancelledError:
                # Only `cancel` and the end of `run` cancel this task, and both want it to finish.
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                await (self._stop(live) if live.is_cancelled else self._fail(live, ShuttingDown()))
            except AIBoxError as error:
                await self._fail(live, error)
            except Exception:
                # The run's readers rely on an end, whatever went wrong.
                log.exception("run.failed", turn=str(turn.id))
                await self._fail(live, Internal())
        except AIBoxError as error:
            # Not even the failure could be stored; the reaper seals the turn as abandoned.
            log.error("run.not_stored", turn=str(turn.id), code=error.code)
            live.state.feed.emit("error", {"error": str(error), "code": error.code, "turn_id": str(turn.id)})
        except Exception:
            # The TaskGroup relies on it: one run that cannot even fail must not stop the server.
            log.exception("run.not_failed", turn=str(turn.id))
        finally:
            self._parts.log.leave(turn)
            if not live.state.feed.is_closed:
                live.state.feed.emit(
                    "error", {"error": str(Internal()), "code": Internal.code, "turn_id": str(turn.id)}
                )

    async def _finish(self, live: Live, outcome: str, finish_reason: str) -> None:
        """End the turn and tell the reader, with the receipt when the seal comes in time."""
        turn, state = live.state.turn, live.state
        await self._parts.log.end(turn, outcome)
        receipt = await self._receipts.wait_sealed(turn, turn.id, timeout=self._parts.settings.seal_wait_seconds)
        state.feed.emit(
            "done",
            {
                "turn_id": str(turn.id),
                "run_id": str(turn.id),
                "session_id": str(state.session_id),
                "item_id": str(state.item_id),
                "finish_reason": finish_reason,
                "citations": msgspec.to_builtins(citations(state)),
                "recalled": msgspec.to_builtins(recalled(state)),
                "masked": state.masked,
                "receipt": msgspec.to_builtins(receipt),
            },
        )

    async def _block(self, live: Live, blocked: Blocked) -> None:
        live.is_ending = True
        incoming = isinstance(blocked, InputBlocked)
        live.state.feed.emit(
            "blocked",
            {
                "direction": "input" if incoming else "output",
                "reason": str(blocked),
                "scanners": blocked.scanners if isinstance(blocked, InputBlocked) else [],
            },
        )
        await self._store(live, "completed", "blocked")
        await self._finish(live, "denied", "blocked")

    async def _stop(self, live: Live) -> None:
        live.is_ending = True
        if live.state.is_stored:
            await self._finish(live, "sealed", live.state.finish_reason)
            return
        await self._store(live, "cancelled", "cancelled")
        await self._finish(live, "sealed", "cancelled")

    async def _fail(self, live: Live, error: AIBoxError) -> None:
        live.is_ending = True
        turn = live.state.turn
        if live.state.is_stored:
            # Only remembering failed: the answer stands.
            log.warning("run.not_remembered", turn=str(turn.id), code=error.code)
            await self._finish(live, "sealed", live.state.finish_reason)
            return
        await self._store(live, "failed", "error", code=error.code)
        await self._parts.log.log(turn, TurnFailed(code=error.code))
        await self._parts.log.end(turn, "denied" if isinstance(error, BudgetExceeded) else "failed")
        live.state.feed.emit("error", {"error": str(error), "code": error.code, "turn_id": str(turn.id)})

    async def _store(self, live: Live, status: RunStatus, finish_reason: str, code: str | None = None) -> None:
        """Store the part of the answer that came; the database may be on its way back."""
        state = live.state
        if state.feed.shown and state.answering is not None and not state.answer:
            with contextlib.suppress(AIBoxError):  # an end that cannot be judged is not shown, and no prompt holds it
                state = live.state = await guard_out(self._parts, state)
        for pause in (*(0.2 * 2**n for n in range(STORE_TRIES)), None):
            try:
                await store(self._parts, state, status=status, finish_reason=finish_reason, code=code)
                return
            except StateUnavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _keep(self, feed: Feed) -> None:
        try:
            await feed.keep(self._parts.db)
        finally:
            self._live.pop(feed.turn.id, None)


def _cut_off(run: UUID, n: int) -> StreamEvent:
    """The end that a killed process could not write."""
    told = {"error": ShuttingDown.sentence, "code": ABANDONED, "turn_id": str(run)}
    return StreamEvent(n, "error", msgspec.json.encode(told))


def _cancel(live: Live) -> None:
    if live.task is not None and not live.is_ending:
        live.is_ending = True
        live.task.cancel()

"""Step `remember`: keep what the user said about themselves; in a flagged turn only what they confirm."""

import msgspec
import structlog
from sqlalchemy import update

from aibox.core.errors import AIBoxError, AuditUnavailable
from aibox.core.turn import uuid7
from aibox.runtime.models import ItemRow
from aibox.runtime.steps import Parts, State, count, trace
from aibox.runtime.steps.resolve import told

log = structlog.get_logger("aibox.runtime.remember")

TOOL = "memory_store"
"""What an approval names: the tool that keeps a memory."""


async def remember(parts: Parts, state: State) -> State:
    """The answer stands already: a memory that cannot be kept is shown as such and fails nothing."""
    if state.question.temporary or not state.turn.principal.may("memory.write"):
        return state
    before = told(state)
    try:
        await (_offer(parts, state) if state.is_flagged else _keep(parts, state))
    except AuditUnavailable:
        raise
    except AIBoxError as error:
        log.warning("remember.failed", turn=str(state.turn.id), code=error.code)
        state.feed.emit("trace_update", {"step": "remember", "label": "Nothing was remembered", "state": "failed"})
    if told(state) != before:
        await _store_trace(parts, state)
    return state


async def _keep(parts: Parts, state: State) -> None:
    kept = await parts.memories.observe(state.turn, state.visible)
    if kept:
        trace(state, "remember", f"{count(len(kept), 'memory', 'memories')} kept", done=True)


async def _offer(parts: Parts, state: State) -> None:
    """Ask for each memory that would be kept. Nothing waits: who approves stores it by `POST /v1/memory`, in a turn of
    their own; what nobody approves is not kept."""
    offered = await parts.memories.noticed(state.turn, state.visible)
    for memory in offered:
        id = str(uuid7())
        state.feed.emit(
            "approval_required",
            {
                "approval_id": id,
                "call_id": id,
                "tool": TOOL,
                "arguments": msgspec.to_builtins(memory),
                "risk": "prompt_injection",
                "expires_at": None,
            },
        )
    if offered:
        asked = count(len(offered), "memory", "memories")
        trace(state, "remember", f"{asked} not kept unless you approve", done=True)


async def _store_trace(parts: Parts, state: State) -> None:
    async with parts.db.work(state.turn) as work:
        await work.session.execute(
            update(ItemRow)
            .where(ItemRow.tenant == state.turn.tenant, ItemRow.id == state.item_id)
            .values(trace=told(state))
        )

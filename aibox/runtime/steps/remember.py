"""Step `remember`: keep what the user said about themselves."""

import structlog

from aibox.core.errors import AIBoxError, AuditUnavailable
from aibox.runtime.steps import Parts, State, count, trace

log = structlog.get_logger("aibox.runtime.remember")


async def remember(parts: Parts, state: State) -> State:
    """The answer stands already: a memory that cannot be kept is shown as such and fails nothing."""
    if state.question.temporary or not state.turn.principal.may("memory.write"):
        return state
    try:
        kept = await parts.memories.observe(state.turn, state.visible)
    except AuditUnavailable:
        raise
    except AIBoxError as error:
        log.warning("remember.failed", turn=str(state.turn.id), code=error.code)
        state.feed.emit("trace_update", {"step": "remember", "label": "Nothing was remembered", "state": "failed"})
        return state
    if kept:
        trace(state, "remember", f"{count(len(kept), 'memory', 'memories')} kept", done=True)
    return state

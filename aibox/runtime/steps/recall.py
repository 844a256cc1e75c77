"""Step `recall`: fetch what is remembered of the user and fits the question, judged as untrusted text.

A memory may be another person's who shares it, or a tool's who read it somewhere: nobody wrote it in this conversation.
"""

from msgspec.structs import replace

from aibox.runtime.steps import Parts, State, count, trace, warn


async def recall(parts: Parts, state: State) -> State:
    """Fails the turn only where the log or the guardrail cannot answer: a recall that could not search says so."""
    if state.question.temporary or not state.turn.principal.may("memory.read_own"):
        return state
    found = await parts.memories.recall(state.turn, state.visible)
    if not found.memories:
        return replace(state, recall=found)
    verdicts = await parts.guardrail.check_input(
        state.turn,
        found.lines,
        conversation=state.session_id,
        external=state.is_external,
        untrusted=range(len(found.lines)),
    )
    kept = [
        (memory, verdict)
        for memory, verdict in zip(found.memories, verdicts, strict=True)
        if verdict.decision != "block"
    ]
    label = f"{count(len(kept), 'memory', 'memories')} recalled"
    if withheld := len(verdicts) - len(kept):
        label += f", {withheld} withheld by the safety policy"
    is_flagged = any(verdict.flagged for _, verdict in kept)
    if is_flagged and not state.is_flagged:
        warn(state)
    trace(state, "recall", label + (" (most recent; search is down)" if found.degraded else ""), done=True)
    lines = tuple(verdict.content for _, verdict in kept)
    return replace(
        state,
        recall=replace(found, memories=tuple(memory for memory, _ in kept), lines=lines),
        is_flagged=state.is_flagged or is_flagged,
    )

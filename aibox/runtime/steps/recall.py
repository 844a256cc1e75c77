"""Step `recall`: fetch what is remembered of the user and fits the question."""

from msgspec.structs import replace

from aibox.runtime.steps import Parts, State, count, trace


async def recall(parts: Parts, state: State) -> State:
    """Never fails the turn: a recall that could not search says so and goes on."""
    if state.question.temporary or not state.turn.principal.may("memory.read_own"):
        return state
    found = await parts.memories.recall(state.turn, state.visible)
    if found.memories:
        label = f"{count(len(found.memories), 'memory', 'memories')} recalled"
        trace(state, "recall", label + (" (most recent; search is down)" if found.degraded else ""), done=True)
    return replace(state, recall=found)

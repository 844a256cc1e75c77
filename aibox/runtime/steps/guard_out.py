"""Step `guard_out`: let the output filter finish, and show what it still held back."""

from msgspec.structs import replace

from aibox.runtime.steps import Parts, State


async def guard_out(_: Parts, state: State) -> State:
    """Raises `Blocked` when the whole answer may not be shown."""
    assert state.filter is not None, "ask comes before guard_out"
    rest = await state.filter.close()
    if rest:
        state.feed.emit("token", {"item_id": str(state.item_id), "text": rest})
    verdict = state.filter.verdict
    return replace(state, answer=verdict.content if verdict is not None else "")

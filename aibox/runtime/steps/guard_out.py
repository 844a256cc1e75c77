"""Step `guard_out`: let the output filter finish, and show what it still held back."""

from msgspec.structs import replace

from aibox.runtime.steps import Parts, State


async def guard_out(_: Parts, state: State) -> State:
    """Raises `Blocked` when the whole answer may not be shown."""
    assert state.answering is not None, "ask comes before guard_out"
    rest = await state.answering.close()
    if rest:
        state.feed.emit("token", {"item_id": str(state.item_id), "text": rest})
    return replace(state, answer=state.answering.content)

"""Step `prepare`: read the branch of the conversation that the question continues.

What was flagged there is before the model again: in this turn too every tool asks.
"""

from msgspec.structs import replace
from sqlalchemy import select

from aibox.runtime.conversations import branch
from aibox.runtime.models import ItemRow
from aibox.runtime.steps import FLAG, Message, Parts, State, trace


async def prepare(parts: Parts, state: State) -> State:
    """Earlier messages as the model may see them, newest kept when they are more than the prompt takes."""
    settings = parts.settings
    async with parts.db.read(state.turn) as session:
        answer = await session.scalar(
            select(ItemRow).where(ItemRow.tenant == state.turn.tenant, ItemRow.id == state.item_id)
        )
        question = None if answer is None else answer.parent
        rows = await branch(session, state.turn, question, limit=settings.history_items + 1)
    earlier = [row for row in rows if row.id != question and row.model_content]
    kept: list[Message] = []
    room = settings.history_characters
    for row in reversed(earlier):
        room -= len(row.model_content)
        if room < 0:
            break
        kept.append(Message(row.role, row.model_content))
    while kept and kept[-1].role == "assistant":
        kept.pop()  # a prompt begins with the user's word
    is_flagged = any(step["step"] == FLAG for row in rows for step in row.trace)
    if is_flagged:
        trace(state, "prepare", "An earlier message may be an attempt at misuse: every tool asks first", done=True)
    return replace(state, history=tuple(reversed(kept)), is_flagged=is_flagged)

"""Step `resolve`: store the answer, and tell what it used."""

import re
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import func, update

from aibox.runtime import Citation, Recalled, RunFinished, RunStatus, ToolUse
from aibox.runtime.models import ItemRow, RunRow
from aibox.runtime.steps import Parts, State

_NAMED = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


async def resolve(parts: Parts, state: State) -> State:
    """The answer is durable on return."""
    await store(parts, state, status="completed", finish_reason=state.finish_reason)
    for citation in citations(state):
        if citation.cited:
            state.feed.emit("citation", msgspec.to_builtins(citation))
    if state.usage is not None:
        state.feed.emit("usage", msgspec.to_builtins(state.usage))
    return replace(state, is_stored=True)


def citations(state: State) -> tuple[Citation, ...]:
    """The passages that were before the model, and which of them the answer names as `[1]` or `[1, 2]`."""
    named = {int(number) for group in _NAMED.findall(state.feed.shown) for number in group.split(",")}
    return tuple(replace(source.citation, cited=source.citation.n in named) for source in state.sources)


def recalled(state: State) -> tuple[Recalled, ...]:
    """The memories that were before the model."""
    return tuple(
        Recalled(memory_id=memory.id, score=memory.score, matched=memory.matched) for memory in state.recall.memories
    )


def told(state: State) -> list[dict[str, Any]]:
    """What the steps told so far, as it is kept with the answer."""
    return [msgspec.to_builtins(step) for step in state.feed.told.values() if step.label]


def used(state: State) -> list[dict[str, Any]]:
    """The uses of tools, as they are kept with the answer: none goes on."""
    return [msgspec.to_builtins(_over(use)) for use in state.feed.tools.values()]


def _over(use: ToolUse) -> ToolUse:
    """One that was cut short has failed, and one that still waited was never allowed."""
    if use.state != "running":
        return use
    return (
        replace(use, state="denied", approval="expired") if use.approval == "pending" else replace(use, state="failed")
    )


async def store(parts: Parts, state: State, *, status: RunStatus, finish_reason: str, code: str | None = None) -> None:
    """Write the answer as far as it came, and how the run ended."""
    turn = state.turn
    async with parts.db.work(turn) as work:
        await work.session.execute(
            update(ItemRow)
            .where(ItemRow.tenant == turn.tenant, ItemRow.id == state.item_id)
            .values(
                content=state.feed.shown,
                model_content=state.answer.replace("\x00", ""),
                citations=msgspec.to_builtins(citations(state)),
                recalled=msgspec.to_builtins(recalled(state)),
                trace=told(state),
                masked=list(state.masked),
                tools=used(state),
            )
        )
        await work.session.execute(
            update(RunRow)
            .where(RunRow.tenant == turn.tenant, RunRow.id == turn.id)
            .values(
                status=status,
                finish_reason=finish_reason,
                code=code,
                usage=msgspec.to_builtins(state.usage) if state.usage else None,
                ended_at=func.now(),
            )
        )
        work.record(RunFinished(conversation=str(state.session_id), status=status, finish_reason=finish_reason))

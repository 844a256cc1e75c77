"""Step `guard_in`: judge the question, mask it for the model, and store what came of it."""

from msgspec.structs import replace
from sqlalchemy import update

from aibox.guardrail import Blocked
from aibox.runtime.models import ConversationRow, ItemRow
from aibox.runtime.steps import MODEL, Answering, Parts, State, count, trace, warn


class InputBlocked(Blocked):
    """The question was blocked; `scanners` names who objected."""

    def __init__(self, reason: str, scanners: list[str]) -> None:
        super().__init__(reason)
        self.scanners = scanners


async def guard_in(parts: Parts, state: State) -> State:
    """Raises `InputBlocked`, and `GuardrailUnavailable` when a scanner cannot answer: nothing passes then."""
    external = await parts.router.is_external(state.turn, MODEL)
    (verdict,) = await parts.guardrail.check_input(
        state.turn, [state.question.text], conversation=state.session_id, external=external
    )
    async with parts.db.work(state.turn) as work:
        # Until here the question stood in the log only, sealed: a secret in it never reaches a table.
        await work.session.execute(
            update(ItemRow)
            .where(
                ItemRow.tenant == state.turn.tenant,
                ItemRow.conversation == state.session_id,  # which has an index
                ItemRow.run == state.turn.id,
                ItemRow.role == "user",
            )
            .values(
                content=verdict.visible,
                model_content="" if verdict.decision == "block" else verdict.content,
            )
        )
        await work.session.execute(
            update(ConversationRow)
            .where(
                ConversationRow.tenant == state.turn.tenant,
                ConversationRow.id == state.session_id,
                ConversationRow.title == "",
            )
            .values(title=title(verdict.visible))
        )
    if verdict.decision == "block":
        raise InputBlocked(verdict.reason, [f.scanner for f in verdict.findings if not f.is_safe])
    if verdict.masked:
        trace(state, "guard_in", f"{count(verdict.masked, 'item')} masked", done=True)
    if verdict.flagged:
        warn(state)
    return replace(
        state,
        is_flagged=state.is_flagged or verdict.flagged,
        prompt=verdict.content,
        visible=verdict.visible,
        masked=verdict.tokens,
        is_external=external,
        answering=Answering(lambda: parts.guardrail.output(state.turn, conversation=state.session_id)),
    )


def title(text: str, *, length: int = 60) -> str:
    """A conversation's first name: the beginning of its first question, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    return line[:length].rsplit(" ", 1)[0].rstrip(".,;:") + "…"

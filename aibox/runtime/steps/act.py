"""Step `act`, between two answers of the model: use the tools it calls, each one logged before, judged after, and asked
for where it must be.

The arguments are judged like an answer and their tokens restored; the result is judged like a document that nobody in
the conversation wrote. What fails is told to the model, which may try otherwise; what the guardrail or the log cannot
answer for fails the turn.
"""

import asyncio
import contextlib
import time
from collections.abc import Generator, Sequence
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from aibox.core.errors import AIBoxError, AuditUnavailable, Internal, NotFound, ValidationFailed
from aibox.core.events import json_artifact
from aibox.guardrail import Blocked, GuardrailUnavailable
from aibox.identity import SessionRevoked
from aibox.router import ToolCall
from aibox.runtime import ToolCalled, ToolReturned
from aibox.runtime.steps import Parts, State, warn
from aibox.runtime.steps.consult import judged
from aibox.runtime.steps.texts import replaced, shortened, texts
from aibox.runtime.tools import UNNAMED, Result, Tool, taken

log = structlog.get_logger("aibox.runtime.act")

MOST_GIVEN = 262_144
"""So many characters of arguments are judged; more are refused."""

MOST_TOLD = 65_536
"""Of a result, so many characters are put before the model."""

WITHHELD = "The safety policy withheld the result."


class ToolTimeout(AIBoxError):
    status = 504
    code = "tool_timeout"
    sentence = "The tool took too long and was stopped."


class Denied(AIBoxError):
    """Its user did not allow it, or did not answer in time."""

    status = 403
    code = "approval_denied"
    sentence = "The user did not allow this. Go on without it."


FATAL = (AuditUnavailable, GuardrailUnavailable, SessionRevoked)
"""What fails the turn, and not a tool alone."""


class Outcome(Struct, frozen=True):
    """How a use ended: what the model reads of it, and what its user sees."""

    state: Literal["done", "failed", "denied"]
    content: str
    visible: str


async def act(
    parts: Parts, state: State, tools: Sequence[Tool], calls: Sequence[ToolCall]
) -> tuple[State, list[dict[str, Any]]]:
    """Use them one after the other; the messages that tell the model what came of each."""
    messages = []
    for call in calls:
        state, outcome = await _use(parts, state, tools, call)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": outcome.content})
    return state, messages


async def _use(parts: Parts, state: State, tools: Sequence[Tool], call: ToolCall) -> tuple[State, Outcome]:
    shown: dict[str, Any] = {"call_id": call.id, "name": call.name, "arguments": None}
    try:
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            raise NotFound("There is no such tool." if call.name == UNNAMED else f"There is no tool {call.name}.")
        shown["arguments"], arguments = await _given(parts, state, tool, call)
        state.feed.emit("tool_call", shown)
        state, outcome = await _carry_out(parts, state, tool, call.id, arguments)
    except AIBoxError as error:
        if isinstance(error, FATAL):
            raise
        if call.id not in state.feed.tools:
            state.feed.emit("tool_call", shown)
        outcome = _failed(error)
    state.feed.emit("tool_result", {"call_id": call.id, "state": outcome.state, "content": outcome.visible})
    return state, outcome


async def _given(parts: Parts, state: State, tool: Tool, call: ToolCall) -> tuple[dict[str, Any], Struct]:
    """The arguments as their user is shown them, and as the tool takes them.

    What does not fit is told before any token is restored: the model reads the message, and it may quote a value.
    """
    if len(call.arguments) > MOST_GIVEN:
        raise ValidationFailed(fields=[{"field": "arguments", "error": f"Longer than {MOST_GIVEN} characters."}])
    taken(tool, call.arguments)
    written: dict[str, Any] = msgspec.json.decode(call.arguments or b"{}")
    given = {name: await _meant(parts, state, text) for name, text in written.items()}
    try:
        return given, taken(tool, msgspec.json.encode(given))
    except ValidationFailed:
        raise ValidationFailed("What a masked value stands for does not fit here.") from None


async def _meant(parts: Parts, state: State, written: Any) -> Any:
    """A text of the model's, judged as an answer is, with what its tokens stand for. Raises `Blocked`."""
    if not isinstance(written, str):
        return written
    said = await parts.guardrail.check_output(state.turn, written, conversation=state.session_id)
    if said.decision == "block":
        raise Blocked(said.reason)
    # All tools are of the house: what they may see is what their user may.
    return await parts.guardrail.restore(state.turn, said.content, conversation=state.session_id)


async def _carry_out(parts: Parts, state: State, tool: Tool, call: str, given: Struct) -> tuple[State, Outcome]:
    """Ask where it must be asked, log, act, log. Raises what keeps it from being used at all."""
    decision: Literal["auto", "approved", "approved_with_edits"] = "auto"
    if state.is_flagged or await _asks(parts, state, tool, given):
        decision, given = await _approved(parts, state, tool, call, given)
    await parts.recheck(state.turn)  # minutes may have gone by, in which a key was revoked, or a right taken
    use = Use(parts, state, tool, call)
    await parts.log.log(
        state.turn,
        ToolCalled(call=call, tool=tool.name, decision=decision, artifacts=(json_artifact(given),)),
    )
    try:
        async with asyncio.timeout(parts.settings.tool_seconds):
            result = await tool.act(parts.services, state.turn, given)
        state, value = await _cited(parts, state, result)
    except asyncio.CancelledError:
        with contextlib.suppress(AIBoxError):  # who stopped the run relies on its end, more than on this line of it
            await use.returned(None, code="cancelled")
        raise
    except (AIBoxError, TimeoutError) as error:
        known = error if isinstance(error, AIBoxError) else ToolTimeout()
        await use.returned(None, code=known.code)
        raise known from None
    except Exception:
        # The model relies on an answer to each of its calls; what went wrong in ours is for the operator.
        log.exception("tool.failed", turn=str(state.turn.id), tool=tool.name)
        await use.returned(None, code=Internal.code)
        raise Internal() from None
    await use.returned(value)
    return await _told(parts, state, value)


async def _asks(parts: Parts, state: State, tool: Tool, given: Struct) -> bool:
    if tool.asks or tool.reaches_others is None:
        return tool.asks
    return await tool.reaches_others(parts.services, state.turn, given)


class Use:
    """A use of a tool that has been announced."""

    def __init__(self, parts: Parts, state: State, tool: Tool, call: str) -> None:
        self._parts = parts
        self._turn = state.turn
        self._tool = tool
        self._call = call
        self._begin = time.monotonic()

    async def returned(self, value: object, *, code: str = "") -> None:
        """Log how it ended."""
        artifacts = () if code else (json_artifact(value),)
        await self._parts.log.log(
            self._turn,
            ToolReturned(
                call=self._call,
                tool=self._tool.name,
                ok=not code,
                code=code,
                size=sum(len(artifact.data) for artifact in artifacts),
                duration_ms=int((time.monotonic() - self._begin) * 1000),
                artifacts=artifacts,
            ),
        )


async def _approved(
    parts: Parts, state: State, tool: Tool, call: str, given: Struct
) -> tuple[Literal["approved", "approved_with_edits"], Struct]:
    """What its user says to it, and the arguments they say it to. Raises `Denied`."""
    asked = await parts.approvals.request(
        state.turn,
        call=call,
        tool=tool.name,
        arguments=msgspec.to_builtins(given),
        risk="prompt_injection" if state.is_flagged else "tool",
        conversation=state.session_id,
    )
    told = {name: value for name, value in msgspec.to_builtins(asked).items() if name in SHOWN}
    state.feed.emit("approval_required", told)
    with _unhurried(state):
        decided = await parts.approvals.wait(state.turn, asked)
    state.feed.emit("approval_decided", {"approval_id": told["approval_id"], "call_id": call, "status": decided.status})
    match decided.status:
        case "approved" | "approved_with_edits":
            return decided.status, taken(tool, msgspec.json.encode(decided.arguments))
        case "expired":
            raise Denied("Nobody answered in time, so it was not done. Go on without it.")
        case _:
            raise Denied()


SHOWN = ("approval_id", "call_id", "tool", "arguments", "risk", "expires_at")


@contextlib.contextmanager
def _unhurried(state: State) -> Generator[None]:
    """The turn's time limit does not run while a person thinks."""
    limit, begin = state.limit, time.monotonic()
    if limit is None or (when := limit.when()) is None:
        yield
        return
    limit.reschedule(None)
    try:
        yield
    finally:
        if not limit.expired():
            limit.reschedule(when + time.monotonic() - begin)


async def _cited(parts: Parts, state: State, result: Result) -> tuple[State, object]:
    """Passages become sources of the answer, numbered on from those that it has; what may not pass is left out."""
    if not result.found:
        return state, {"passages": []} if result.value is None else result.value
    known = {source.citation.chunk_id: source for source in state.sources}
    new = tuple(found for found in result.found if found.passage.chunk_id not in known)
    sources, is_flagged = await judged(parts, state, new, begin=len(known) + 1) if new else ((), False)
    if is_flagged:
        state = _flagged(state)
    known |= {source.citation.chunk_id: source for source in sources}
    found = [known[one.passage.chunk_id] for one in result.found if one.passage.chunk_id in known]
    passages = [{"number": source.citation.n, "text": source.content} for source in found]
    return replace(state, sources=(*state.sources, *sources)), {"passages": passages}


async def _told(parts: Parts, state: State, value: object) -> tuple[State, Outcome]:
    """The result as the model and the user may read it."""
    value = shortened(value, MOST_TOLD)
    written = list(texts(value))
    verdicts = await parts.guardrail.check_input(
        state.turn,
        written,
        conversation=state.session_id,
        external=state.is_external,
        untrusted=range(len(written)),
    )
    if any(verdict.flagged for verdict in verdicts):
        state = _flagged(state)
    if any(verdict.decision == "block" for verdict in verdicts):
        return state, Outcome("failed", WITHHELD, WITHHELD)
    visible = _json(replaced(value, (verdict.visible for verdict in verdicts)))
    visible = await parts.guardrail.restore(state.turn, visible, conversation=state.session_id, form="json")
    return state, Outcome("done", _json(replaced(value, (verdict.content for verdict in verdicts))), visible)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _flagged(state: State) -> State:
    if not state.is_flagged:
        warn(state)
    return replace(state, is_flagged=True)


def _failed(error: AIBoxError) -> Outcome:
    """As the model reads it: the sentence, and which arguments are wrong."""
    told = msgspec.json.encode({"error": str(error), "code": error.code, **error.details}).decode()
    wrong = "".join(f" {field['field']}: {field['error']}." for field in error.details.get("fields", ()))
    return Outcome("denied" if isinstance(error, Denied) else "failed", told, f"{error}{wrong}")

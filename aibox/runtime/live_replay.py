"""Asks a recorded turn's prompt again, as a new turn of the caller, and says how the answer differs.

The prompt is what was sent to the model then, masked as it was; it goes the guarded way again. No tool is offered, so
that asking again does nothing but ask.
"""

import difflib
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from aibox.audit import AuditTrail, Replay, ReplayedEvent
from aibox.core.errors import Conflict
from aibox.core.eventlog import EventLog
from aibox.core.events import Event
from aibox.core.turn import Turn
from aibox.router import Answer, ModelCall, ModelRouter
from aibox.runtime.steps import MODEL

LEFT_OUT = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "stream",
    "stream_options",
    "store",
)
"""What of a recorded request is not sent again."""


class NotReplayable(Conflict):
    """There is no prompt to ask again, or it was erased."""

    code = "not_replayable"
    sentence = "This turn has no prompt that can be asked again."


class ReplayStarted(Event, frozen=True, kw_only=True):
    """The prompt of the turn `replayed` is about to be asked again."""

    type: ClassVar[str] = "audit.replay_started"
    replayed: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and who gave it. `text` is None when it was erased or there was none."""

    provider: str
    model: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    text: str | None


class TextChange(msgspec.Struct, frozen=True, kw_only=True):
    """A run of words that is in both answers, or in one of them, or another in each."""

    op: Literal["equal", "insert", "delete", "replace"]
    recorded: str
    replayed: str


class LiveReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded and the new answer; `changes` lead from one text to the other, `differs` names what else is new."""

    turn_id: UUID
    replayed_turn: UUID
    recorded: Said
    replayed: Said
    is_same: bool
    differs: tuple[str, ...]
    changes: tuple[TextChange, ...]


class LiveReplay:
    """Asks again. `router` is the guarded one."""

    def __init__(self, trail: AuditTrail, log: EventLog, router: ModelRouter) -> None:
        self._trail = trail
        self._log = log
        self._router = router

    async def again(self, turn: Turn, turn_id: UUID) -> LiveReplayed:
        """Raises NotFound for a turn the caller may not see, `NotReplayable`, and what the router raises."""
        replay = await self._trail.replay(turn, turn_id)
        request = _request(replay)
        recorded = _recorded(replay)
        await self._log.log(turn, ReplayStarted(replayed=str(turn_id)))
        call = ModelCall(model=str(request.pop("model", MODEL)), body=msgspec.json.encode(request))
        replayed = _said(await self._router.complete(turn, call))
        names = ("provider", "model", "finish_reason", "input_tokens", "output_tokens")
        return LiveReplayed(
            turn_id=turn.id,
            replayed_turn=turn_id,
            recorded=recorded,
            replayed=replayed,
            is_same=recorded.text == replayed.text,
            differs=tuple(name for name in names if getattr(recorded, name) != getattr(replayed, name)),
            changes=_changes(recorded.text or "", replayed.text or ""),
        )


def _request(replay: Replay) -> dict[str, Any]:
    """The recorded prompt as a chat request without tools."""
    for event in reversed(replay.events):
        text = event.artifacts[0].text if event.artifacts else None
        if event.type not in ("prompt_generated", "model_invoked") or text is None:
            continue
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        if isinstance(found, dict):
            request = {name: value for name, value in found.items() if name not in LEFT_OUT}
            messages = request.get("messages")
        else:
            messages = found
            request = {"messages": messages}
        if isinstance(messages, list) and messages:
            return request
    raise NotReplayable()


def _recorded(replay: Replay) -> Said:
    answered = [event for event in replay.events if event.type == "model_response" and event.body.get("ok")]
    if not answered:
        raise NotReplayable("This turn got no answer from a model, so there is nothing to compare with.")
    event = answered[-1]
    return Said(
        provider=event.body["provider"],
        model=event.body["model"],
        finish_reason=event.body.get("finish_reason"),
        input_tokens=event.body.get("input_tokens"),
        output_tokens=event.body.get("output_tokens"),
        text=_text(event),
    )


def _text(event: ReplayedEvent) -> str | None:
    """What the answer said: a chat completion's content, or the artifact as it is."""
    raw = event.artifacts[0].text if event.artifacts else None
    if raw is None:
        return None
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw
    match found:
        case {"choices": [{"message": {"content": str(content)}}, *_]} | {"text": str(content)}:
            return content
        case _:
            return raw


def _said(answer: Answer) -> Said:
    return Said(
        provider=answer.provider,
        model=answer.model,
        finish_reason=answer.finish_reason,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        text=answer.text,
    )


def _changes(recorded: str, replayed: str) -> tuple[TextChange, ...]:
    """Word by word; joined by single spaces."""
    old, new = recorded.split(), replayed.split()
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return tuple(
        TextChange(op=op, recorded=" ".join(old[a:b]), replayed=" ".join(new[c:d]))
        for op, a, b, c, d in matcher.get_opcodes()
    )

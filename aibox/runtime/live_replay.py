"""Asks a recorded turn's prompt again, as a new turn of the caller, and says how the answer differs.

The prompt is what was sent to the model then, masked as it was; it goes the guarded way again. Tools are offered only
when they are asked for, as they were defined then, and what the model calls is compared and never carried out: asking
again does nothing but ask.
"""

import difflib
from itertools import zip_longest
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from aibox.audit import AuditTrail, Replay
from aibox.core.errors import Conflict
from aibox.core.eventlog import EventLog
from aibox.core.events import Event
from aibox.core.turn import Turn
from aibox.router import Answer
from aibox.runtime.completions import Completions
from aibox.runtime.steps import MODEL

LEFT_OUT = ("stream", "stream_options", "store")
"""What of a recorded request is not sent again."""

TOOLS = ("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls")
"""What of a recorded request offers tools."""


class NotReplayable(Conflict):
    """There is no prompt to ask again, or it was erased."""

    code = "not_replayable"
    sentence = "This turn has no prompt that can be asked again."


class ReplayStarted(Event, frozen=True, kw_only=True):
    """The prompt of the turn `replayed` is about to be asked again."""

    type: ClassVar[str] = "audit.replay_started"
    replayed: str


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool, as the model wrote it; `arguments` is JSON text if the model wrote JSON."""

    name: str
    arguments: str

    @property
    def meaning(self) -> tuple[str, object]:
        """What it is compared by: how the JSON of the arguments is spelled says nothing."""
        try:
            return self.name, msgspec.json.encode(msgspec.json.decode(self.arguments), order="sorted")
        except (msgspec.DecodeError, RecursionError):
            return self.name, self.arguments


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and who gave it. `text` is None when it was erased or there was none."""

    provider: str
    model: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    text: str | None
    tool_calls: tuple[Called, ...] = ()


class TextChange(msgspec.Struct, frozen=True, kw_only=True):
    """A run of words that is in both answers, or in one of them, or another in each."""

    op: Literal["equal", "insert", "delete", "replace"]
    recorded: str
    replayed: str


class CallChange(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that is in both answers, or in one of them, or another in each."""

    op: Literal["equal", "insert", "delete", "replace"]
    recorded: Called | None
    replayed: Called | None


class LiveReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded and the new answer; `changes` lead from one text to the other, `differs` names what else is new.

    `calls` lead from one answer's tool calls to the other's; `tools` says how many tools were offered.
    """

    turn_id: UUID
    replayed_turn: UUID
    recorded: Said
    replayed: Said
    is_same: bool
    differs: tuple[str, ...]
    changes: tuple[TextChange, ...]
    tools: int
    calls: tuple[CallChange, ...]


class LiveReplay:
    """Asks again, as another AI client would."""

    def __init__(self, trail: AuditTrail, log: EventLog, completions: Completions) -> None:
        self._trail = trail
        self._log = log
        self._completions = completions

    async def again(self, turn: Turn, turn_id: UUID, *, tools: bool = False) -> LiveReplayed:
        """Raises NotFound for a turn the caller may not see, `NotReplayable`, and what the router raises.

        With `tools` the recorded tools are offered again.
        """
        replay = await self._trail.replay(turn, turn_id)
        request = _request(replay, tools=tools)
        recorded = _recorded(replay)
        await self._log.log(turn, ReplayStarted(replayed=str(turn_id)))
        request.setdefault("model", MODEL)
        replayed = _said(*await self._completions.ask(turn, msgspec.json.encode(request)))
        names = ("provider", "model", "finish_reason", "input_tokens", "output_tokens")
        return LiveReplayed(
            turn_id=turn.id,
            replayed_turn=turn_id,
            recorded=recorded,
            replayed=replayed,
            is_same=recorded.text == replayed.text and _meanings(recorded) == _meanings(replayed),
            differs=tuple(name for name in names if getattr(recorded, name) != getattr(replayed, name)),
            changes=_changes(recorded.text or "", replayed.text or ""),
            tools=len(_offered(request)),
            calls=_calls_changed(recorded, replayed),
        )


def _request(replay: Replay, *, tools: bool) -> dict[str, Any]:
    """The recorded prompt as a chat request, with the tools that were offered or without."""
    left_out = LEFT_OUT if tools else (*LEFT_OUT, *TOOLS)
    for event in reversed(replay.events):
        text = event.artifacts[0].text if event.artifacts else None
        if event.type not in ("prompt_generated", "model_invoked") or text is None:
            continue
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        if isinstance(found, dict):
            request = {name: value for name, value in found.items() if name not in left_out}
            messages = request.get("messages")
        else:
            messages = found
            request = {"messages": messages}
        if isinstance(messages, list) and messages:
            if not all(isinstance(tool, dict) and "function" in tool for tool in request.get("tools") or ()):
                raise NotReplayable("The tools of this turn are not written as in Chat Completions; ask without them.")
            return request
    raise NotReplayable()


def _offered(request: dict[str, Any]) -> list[Any]:
    """The tools of a request, in the present form and in the one before it."""
    return [*(request.get("tools") or ()), *(request.get("functions") or ())]


def _recorded(replay: Replay) -> Said:
    beside = {
        event.body.get("call")
        for event in replay.events
        if event.type == "model_invoked" and event.body.get("operation") in ("embeddings", "rerank")
    }
    answered = [
        event
        for event in replay.events
        if event.type == "model_response" and event.body.get("ok") and event.body.get("call") not in beside
    ]
    if not answered:
        raise NotReplayable("This turn got no answer from a model, so there is nothing to compare with.")
    event = answered[-1]
    text, calls = _parts(event.artifacts[0].text if event.artifacts else None)
    return Said(
        provider=event.body["provider"],
        model=event.body["model"],
        finish_reason=event.body.get("finish_reason"),
        input_tokens=event.body.get("input_tokens"),
        output_tokens=event.body.get("output_tokens"),
        text=text,
        tool_calls=calls,
    )


def _parts(raw: str | None) -> tuple[str | None, tuple[Called, ...]]:
    """Text and tool calls of an answer: of a chat completion, of what was put together from a stream, or all text."""
    if raw is None:
        return None, ()
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw, ()
    match found:
        case {"choices": [{"message": {"content": str() | None} as message}, *_]}:
            return message["content"] or "", _calls(message)
        case {"choices": [{"message": {"tool_calls": list()} as message}, *_]}:
            return "", _calls(message)
        case {"content": str(content), "tool_calls": list()}:
            return content, _calls(found)
        case {"text": str(content)}:
            return content, ()
        case _:
            return raw, ()


def _calls(message: dict[str, Any]) -> tuple[Called, ...]:
    """The tool calls of a message, or of what was put together from a stream."""
    found = []
    for call in (*(message.get("tool_calls") or ()), message.get("function_call")):
        match call:
            case {"function": {"name": str(name), "arguments": str(arguments)}}:
                found.append(Called(name=name, arguments=arguments))
            case {"name": str(name), "arguments": str(arguments)}:
                found.append(Called(name=name, arguments=arguments))
    return tuple(found)


def _said(data: bytes, answer: Answer) -> Said:
    text, calls = _parts(data.decode())
    return Said(
        provider=answer.provider,
        model=answer.model,
        finish_reason=answer.finish_reason,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        text=text,
        tool_calls=calls,
    )


def _meanings(said: Said) -> list[tuple[str, object]]:
    return [call.meaning for call in said.tool_calls]


def _calls_changed(recorded: Said, replayed: Said) -> tuple[CallChange, ...]:
    """Call by call, in order."""
    matcher = difflib.SequenceMatcher(a=_meanings(recorded), b=_meanings(replayed), autojunk=False)
    changes = []
    for _, a, b, c, d in matcher.get_opcodes():
        for old, new in zip_longest(recorded.tool_calls[a:b], replayed.tool_calls[c:d]):
            changes.append(CallChange(op=_op(old, new), recorded=old, replayed=new))
    return tuple(changes)


def _op(old: Called | None, new: Called | None) -> Literal["equal", "insert", "delete", "replace"]:
    if old is None:
        return "insert"
    if new is None:
        return "delete"
    return "equal" if old.meaning == new.meaning else "replace"


def _changes(recorded: str, replayed: str) -> tuple[TextChange, ...]:
    """Word by word; joined by single spaces."""
    old, new = recorded.split(), replayed.split()
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return tuple(
        TextChange(op=op, recorded=" ".join(old[a:b]), replayed=" ".join(new[c:d]))
        for op, a, b, c, d in matcher.get_opcodes()
    )

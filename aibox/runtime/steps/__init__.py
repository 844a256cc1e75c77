"""The named steps of a turn. Each takes the parts it works with and a frozen State, and returns the next State.

A chat turn is `prepare, guard_in, recall, consult, ask, guard_out, resolve, remember`, where `ask` goes to `act` and
back as long as the model uses tools. A call of another AI client (`aibox.runtime.completions`) is
`prepare, guard_in, ask, guard_out, resolve` over its own state.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from msgspec import Struct

from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn
from aibox.guardrail import Guardrail, OutputFilter
from aibox.knowledge import Knowledge
from aibox.memory import Memories, Recall
from aibox.router import Abilities, ModelRouter
from aibox.runtime import Citation, Question, Settings
from aibox.runtime.approvals import ApprovalStore
from aibox.runtime.feed import Feed
from aibox.runtime.tools import Services

MODEL = "default"
"""The role alias that answers a chat turn."""


class Message(Struct, frozen=True):
    """A message as the model sees it."""

    role: str
    content: str


class Parts(Struct, frozen=True, kw_only=True):
    """What the steps work with."""

    settings: Settings
    db: Database
    log: EventLog
    guardrail: Guardrail
    memories: Memories
    knowledge: Knowledge
    router: ModelRouter
    abilities: Abilities
    services: Services
    """What tools work with."""
    approvals: ApprovalStore
    recheck: Callable[[Turn], Awaitable[None]]
    """`Identity.recheck`: raises when the turn's credential has ended, or its person may do less."""


class Source(Struct, frozen=True, kw_only=True):
    """A passage that the answer may rest on; `content` is its text as the model may see it."""

    citation: Citation
    content: str


class Tokens(Struct, frozen=True, kw_only=True):
    """What a turn used, as its `usage` event shows it."""

    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    context_used: int
    context_max: int | None
    provider: str
    model: str


class Answering:
    """The answer as it arrives. What the model writes before and after its uses of tools is judged piece by piece."""

    def __init__(self, open: Callable[[], OutputFilter]) -> None:
        self._open = open
        self._filter: OutputFilter | None = open()
        self._pieces: list[str] = []

    async def push(self, text: str) -> str:
        """Take the next words; what may be shown. Raises `Blocked`, `GuardrailUnavailable`."""
        gap = ""
        if self._filter is None:
            self._filter, gap = self._open(), "\n\n" if self.content else ""
        return gap + await self._filter.push(text)

    async def close(self) -> str:
        """The rest of the piece; what comes after begins another."""
        if self._filter is None:
            return ""
        filter, self._filter = self._filter, None
        rest = await filter.close()
        if filter.verdict is not None and filter.verdict.content:
            self._pieces.append(filter.verdict.content)
        return rest

    @property
    def content(self) -> str:
        """What was judged, as a model may see it again."""
        return "\n\n".join(self._pieces)


class State(Struct, frozen=True, kw_only=True):
    """What a chat turn knows so far."""

    turn: Turn
    question: Question
    session_id: UUID
    item_id: UUID
    """The answer's item."""
    feed: Feed
    history: tuple[Message, ...] = ()
    prompt: str = ""
    """The question as the model may see it."""
    visible: str = ""
    """The question as the user sees it again."""
    masked: tuple[str, ...] = ()
    """The tokens in `prompt`."""
    recall: Recall = Recall()
    sources: tuple[Source, ...] = ()
    is_flagged: bool = False
    """The question, one before it or what was found for it may be an attack: every tool asks first."""
    is_external: bool = True
    """Whether a provider outside the house may get the prompt."""
    answering: Answering | None = None
    """Takes the answer in as it arrives; `guard_out` closes it, or the end of a run that was cut short."""
    limit: asyncio.Timeout | None = None
    """The time limit of the turn."""
    answer: str = ""
    """The answer as a model may see it again."""
    is_stored: bool = False
    """Whether the answer is durable: whatever goes wrong after that, the turn was answered."""
    finish_reason: str = "stop"
    usage: Tokens | None = None


FLAG = "flag"
"""What a flagged turn tells, and keeps with its answer."""

Step = Callable[[Parts, State], Awaitable[State]]


def trace(state: State, step: str, label: str, *, done: bool) -> None:
    """Tell the reader of the stream what the turn is at."""
    state.feed.emit("trace_update", {"step": step, "label": label, "state": "done" if done else "running"})


def warn(state: State) -> None:
    """Tell that the turn is flagged."""
    trace(state, FLAG, "This may be an attempt to misuse the assistant: every tool asks first", done=True)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 item`, `2 items`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"

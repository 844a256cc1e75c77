"""One call of a model between its two events: `model_invoked` before it, `model_response` after it, always both."""

import asyncio
import contextlib
import re
import time

import structlog

from aibox.core.errors import AuditUnavailable, TurnEnded
from aibox.core.eventlog import EventLog
from aibox.core.events import Artifact, Event, json_artifact, text_artifact
from aibox.core.turn import Turn, uuid7
from aibox.observability import BudgetDecision, Budgets, Prices, Purchase, Usage, cost, dollars
from aibox.router import ModelInvoked, ModelResponse, Operation
from aibox.router.dialects.chat import Seen, Transcript, count_request_tokens
from aibox.router.estimate import estimate
from aibox.router.snapshot import Route

log = structlog.get_logger("aibox.router.invocation")

CANCELLED = "cancelled"
MOST_TOKENS = 1_000_000_000
"""More than any context holds."""


class Settling:
    """Writes events in tasks that no cancelled caller takes along. The router waits for them at its end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, events: EventLog, turn: Turn, *logged: Event, ends_turn: bool = False) -> asyncio.Task[None]:
        """Log these events, and with them the end of a turn that `ends_turn`; await the task shielded."""
        task = asyncio.create_task(_log(events, turn, logged, ends_turn=ends_turn))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self) -> None:
        """Return when none is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("invocation.unsettled", error=type(error).__name__)


async def _log(events: EventLog, turn: Turn, logged: tuple[Event, ...], *, ends_turn: bool) -> None:
    if ends_turn:
        await events.end(turn, "sealed", events=logged)
    else:
        await events.log(turn, *logged)


class Invocation:
    """Keeps what the two events say. `settle` may be called again and from any state: the first call counts."""

    def __init__(
        self,
        turn: Turn,
        route: Route,
        *,
        alias: str,
        attempt: int,
        stream: bool,
        operation: Operation,
        body: bytes,
        request: Artifact,
        events: EventLog,
        settling: Settling,
        budgets: Budgets,
        prices: Prices,
    ) -> None:
        self.turn = turn
        self.route = route
        self.call = uuid7().hex
        self.attempt = attempt
        self.body = body
        self.transcript = Transcript()
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.cost_usd: str | None = None
        self.was_accepted = False
        """Whether the provider began to answer: from then on it may bill."""
        self._alias = alias
        self._stream = stream
        self._operation = operation
        self._request = request
        self._events = events
        self._settling = settling
        self._budgets = budgets
        self._price = route.price(prices)
        self._began = time.monotonic()
        self._first_byte: float | None = None
        self._is_settled = False
        self._announcement: asyncio.Task[None] | None = None

    async def announce(self) -> None:
        """Reserve what the call may cost and log `model_invoked`; durable on return, so the call may follow.

        Raises `AuditUnavailable`, `TurnEnded`, and what `Budgets.reserve` raises.
        """
        decision = await self._reserve() if self._budgets.bind(self.turn) else None
        event = ModelInvoked(
            call=self.call,
            operation=self._operation,
            provider=self.route.entry.provider.name,
            model=self.route.model.id,
            alias=self._alias,
            attempt=self.attempt,
            stream=self._stream,
            artifacts=(self._request,),
        )
        logged = (event,) if decision is None else (decision, event)
        self._announcement = self._settling.begin(self._events, self.turn, *logged)
        await asyncio.shield(self._announcement)
        self._began = time.monotonic()

    def hear(self, seen: Seen) -> None:
        """Take in what came."""
        if self._first_byte is None:
            self._first_byte = time.monotonic()
        self.transcript.add(seen)
        if seen.usage is not None:
            self.usage = seen.usage
        if seen.finish_reason is not None:
            self.finish_reason = seen.finish_reason

    async def settle(self, *, code: str = "", answer: Artifact | None = None, ends_turn: bool = False) -> None:
        """Log `model_response`, durable on return: `code` empty when all went well, and only then it `ends_turn`.

        A cancelled caller leaves at once; the event is written all the same. Raises `AuditUnavailable`, `TurnEnded`.
        """
        if self._is_settled:
            return
        self._is_settled = True
        if self.usage is None or not _is_possible(self.usage):
            self.usage = self._counted()
        usd = cost(self._price, self.usage)
        self.cost_usd = None if usd is None else dollars(usd)
        now = time.monotonic()
        event = ModelResponse(
            call=self.call,
            provider=self.route.entry.provider.name,
            model=self.route.model.id,
            alias=self._alias,
            attempt=self.attempt,
            stream=self._stream,
            principal=self.turn.principal.pseudonym,
            key=self.turn.principal.key_id or "",
            agent=self.turn.agent,
            ok=not code,
            code=code,
            finish_reason=_reason(self.finish_reason),
            input_tokens=self.usage.input_tokens,
            cached_tokens=self.usage.cached_tokens,
            cache_write_tokens=self.usage.cache_write_tokens,
            output_tokens=self.usage.output_tokens,
            reasoning_tokens=self.usage.reasoning_tokens,
            estimated=self.usage.estimated,
            cost_usd=self.cost_usd or "",
            latency_ms=_milliseconds(now - self._began),
            first_byte_ms=_milliseconds((self._first_byte or now) - self._began),
            artifacts=self._answer(answer),
        )
        await asyncio.shield(self._settling.begin(self._events, self.turn, event, ends_turn=ends_turn))

    async def abandon(self) -> None:
        """Settle a call whose caller is leaving. What cannot be written only warns: nobody is there to hear it."""
        with contextlib.suppress(AuditUnavailable, TurnEnded):
            if self._announcement is not None:
                await asyncio.shield(self._announcement)
                await self.settle(code=CANCELLED)

    async def _reserve(self) -> BudgetDecision | None:
        likely = estimate(self.body)
        return await self._budgets.reserve(
            self.turn,
            Purchase(
                call=self.call,
                provider=self.route.entry.provider.name,
                model=self.route.model.id,
                price=self._price,
                input_tokens=likely.input_tokens,
                output_tokens=likely.output_tokens if self._operation == "chat" else 0,
                choices=likely.choices,
                context=self.route.model.context,
            ),
        )

    def _counted(self) -> Usage:
        """The provider did not say: nothing for a call it never took, else what we count."""
        if not self.was_accepted:
            return Usage()
        return Usage(
            input_tokens=count_request_tokens(self.body), output_tokens=self.transcript.tokens(), estimated=True
        )

    def _answer(self, whole: Artifact | None) -> tuple[Artifact, ...]:
        if whole is not None:
            return (whole,)
        if self.transcript.is_empty:
            return ()
        if not self.transcript.tool_calls:
            return (text_artifact(self.transcript.text),)
        return (json_artifact({"content": self.transcript.text, "tool_calls": self.transcript.tool_calls}),)


def _reason(said: str | None) -> str:
    """Why an answer ended, as events and traces tell it: a provider's word, and never a sentence of its own."""
    return "other" if said and _WORD.fullmatch(said) is None else said or ""


_WORD = re.compile(r"[a-zA-Z_]{1,40}", re.ASCII)


def _is_possible(usage: Usage) -> bool:
    """Whether tokens can be so many: a provider that says less than none, or trillions, is not believed."""
    return all(0 <= getattr(usage, name) <= MOST_TOKENS for name in usage.__struct_fields__)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

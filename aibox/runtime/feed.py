"""The numbered stream events of a run: live in the process that runs it, and kept so that any client can read again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import structlog
from msgspec.structs import replace
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, TEXT
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from aibox.core.db import Database
from aibox.core.errors import AIBoxError
from aibox.core.turn import Turn
from aibox.runtime import StreamEvent, ToolUse, TraceStep
from aibox.runtime.models import RunEventRow

log = structlog.get_logger("aibox.runtime.feed")

KEEP_SECONDS = 0.2
"""How often new events are written: what a killed process may lose of a stream, never of the log."""

ENDINGS = ("done", "error")

_INSERT = text(
    "INSERT INTO runtime.run_event (tenant, run, n, name, data)"
    " SELECT :tenant, :run, n, m, d FROM unnest(:ns, :names, :datas) AS x (n, m, d) ON CONFLICT DO NOTHING"
).bindparams(
    bindparam("ns", type_=ARRAY(INTEGER)),
    bindparam("names", type_=ARRAY(TEXT)),
    bindparam("datas", type_=ARRAY(TEXT)),
    bindparam("tenant", type_=PGUUID(as_uuid=True)),
    bindparam("run", type_=PGUUID(as_uuid=True)),
)


class Feed:
    """The events of one live run. The last is `done` or `error`; after it nothing is added."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.events: list[StreamEvent] = []
        self.shown = ""
        """The text of all `token` events: the answer as far as anyone may have seen it."""
        self.told: dict[str, TraceStep] = {}
        """The last that each step told of itself, but for what it is still at."""
        self.tools: dict[str, ToolUse] = {}
        """The uses of tools so far, by their calls."""
        self._news = asyncio.Event()
        self._kept = 0

    @property
    def is_closed(self) -> bool:
        return bool(self.events) and self.events[-1].name in ENDINGS

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Add an event and wake the readers."""
        if self.is_closed:
            return
        if name == "token":
            data = {**data, "text": data["text"].replace("\x00", "")}  # which no table takes
            self.shown += data["text"]
        elif name == "trace_update" and data["state"] != "running":
            self.told[data["step"]] = msgspec.convert(data, TraceStep)
        else:
            self._take_note(name, data)
        self.events.append(StreamEvent(len(self.events) + 1, name, msgspec.json.encode(data)))
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _take_note(self, name: str, data: dict[str, Any]) -> None:
        """Keep what the event says of a use of a tool."""
        call = data.get("call_id", "")
        match name:
            case "tool_call":
                self.tools[call] = ToolUse(call_id=call, name=data["name"], state="running", at=len(self.shown))
            case "tool_result":
                self.tools[call] = replace(self.tools[call], state=data["state"])
            case "approval_required" if call in self.tools:
                self.tools[call] = replace(self.tools[call], approval="pending")
            case "approval_decided":
                self.tools[call] = replace(self.tools[call], approval=data["status"])

    async def follow(self, after: int) -> AsyncIterator[StreamEvent]:
        """The events numbered above `after`, as they come, up to the last."""
        position = after
        while True:
            news = self._news
            while position < len(self.events):
                position += 1
                yield self.events[position - 1]
            if self.is_closed:
                return
            await news.wait()

    async def keep(self, db: Database) -> None:
        """Write new events until the last is written; a database that is away is tried again."""
        while not (self.is_closed and self._kept == len(self.events)):
            news = self._news
            if self._kept == len(self.events):
                await news.wait()
            await asyncio.sleep(0 if self.is_closed else KEEP_SECONDS)
            try:
                await self._write(db, self.events[self._kept :])
            except AIBoxError as error:
                log.warning("feed.not_kept", run=str(self.turn.id), code=error.code)
                await asyncio.sleep(1)
            except Exception as error:  # noqa: BLE001
                # The TaskGroup relies on it: the events of a run whose conversation was deleted belong nowhere, and
                # what is wrong with one run must not stop the server.
                log.warning("feed.given_up", run=str(self.turn.id), error=type(error).__name__)
                return

    async def _write(self, db: Database, events: list[StreamEvent]) -> None:
        if not events:
            return
        async with db.work(self.turn) as work:
            await work.session.execute(
                _INSERT,
                {
                    "tenant": self.turn.tenant,
                    "run": self.turn.id,
                    "ns": [event.n for event in events],
                    "names": [event.name for event in events],
                    "datas": [event.data.decode() for event in events],
                },
            )
        self._kept += len(events)


async def stored(db: Database, turn: Turn, run: UUID, *, after: int) -> list[StreamEvent]:
    """The kept events of a run numbered above `after`."""
    wanted = select(RunEventRow).where(RunEventRow.tenant == turn.tenant, RunEventRow.run == run, RunEventRow.n > after)
    async with db.read(turn) as session:
        rows = (await session.scalars(wanted.order_by(RunEventRow.n))).all()
    return [StreamEvent(row.n, row.name, row.data.encode()) for row in rows]

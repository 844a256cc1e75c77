"""The tenant's events as people read them: a turn replayed with its contents, a search, an export, a check of all."""

import base64
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from aibox.audit import (
    Content,
    ContentsOpened,
    ExternalAct,
    Filter,
    Format,
    FoundEvent,
    LogExported,
    People,
    Replay,
    ReplayedArtifact,
    ReplayedEvent,
    Verification,
    addenda,
)
from aibox.audit.check import check, check_by_page
from aibox.audit.formats import FORMATS
from aibox.audit.heads import HeadCopies
from aibox.audit.turns import KINDS, Artifacts, Row, visible
from aibox.core.db import Database
from aibox.core.errors import NotFound, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.events import Recorded
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn

PAGE = 500
ACTION = re.compile(r"[a-z0-9_.]{1,100}\*?|\*")


class Trail:
    """The implementation of `AuditTrail`."""

    def __init__(self, db: Database, log: EventLog, keys: DataKeys, copies: HeadCopies, people: People) -> None:
        self._db = db
        self._log = log
        self._artifacts = Artifacts(db, keys)
        self._copies = copies
        self._people = people

    async def replay(self, turn: Turn, turn_id: UUID) -> Replay:
        row, events = await self._turn(turn, turn_id)
        stated = {art["c"] for event in events for art in event["arts"]}
        await self._announce(turn, row, count=len(stated))
        found = await self._artifacts.open(turn, turn_id, stated)
        return Replay(
            turn_id=turn_id,
            principal=row["principal"],
            outcome=row["outcome"],
            started_at=_time(row["started_us"]),
            events=tuple(
                ReplayedEvent(
                    event_id=UUID(event["ev"]),
                    seq=event["seq"],
                    type=event["type"],
                    source=event["src"],
                    at=_time(event["ts_us"]),
                    body=event["body"],
                    artifacts=tuple(
                        _shown(_kind(event["type"], place), art, found.get(art["c"]))
                        for place, art in enumerate(event["arts"])
                    ),
                )
                for event in events
            ),
        )

    async def content(self, turn: Turn, turn_id: UUID, event_id: UUID, kind: str) -> Content:
        row, events = await self._turn(turn, turn_id)
        for event in events:
            for place, art in enumerate(event["arts"]):
                if event["ev"] == str(event_id) and _kind(event["type"], place) == kind:
                    await self._announce(turn, row, count=1)
                    found = await self._artifacts.open(turn, turn_id, {art["c"]})
                    if art["c"] not in found:
                        raise NotFound("This content was erased; its commitment stays in the log.")
                    return Content(media_type=art["mt"], data=found[art["c"]][1])
        raise NotFound()

    async def report(self, turn: Turn, act: ExternalAct, *, about: UUID | None = None) -> UUID:
        if about is None:
            recorded: Sequence[Recorded] = await self._log.log(turn, act)
        else:
            recorded = await addenda.add(self._db, self._log, turn, about, act)
        return UUID(recorded[-1].decode()["ev"])

    async def find(self, turn: Turn, wanted: Filter, *, limit: int, offset: int) -> Sequence[FoundEvent]:
        where = await self._where(turn, wanted)
        async with self._db.read(turn) as session:
            rows = (await session.execute(NEWEST, {**where, "limit": limit, "offset": offset})).all()
        return [_found(principal, data) for principal, _, _, data in rows]

    async def export(self, turn: Turn, wanted: Filter, form: Format) -> AsyncIterator[bytes]:
        where = await self._where(turn, wanted)
        filters = {name: str(value) for name, value in msgspec.to_builtins(wanted).items() if value is not None}
        await self._log.log(turn, LogExported(format=form, filters=filters))
        return self._lines(turn, where, form)

    async def verify(self, turn: Turn, *, limit: int | None = None) -> Verification:
        return await check(self._db, self._copies, turn, newest=limit)

    def verify_by_page(self, turn: Turn, *, limit: int | None = None) -> AsyncIterator[Verification]:
        return check_by_page(self._db, self._copies, turn, newest=limit)

    async def _lines(self, turn: Turn, where: dict[str, Any], form: Format) -> AsyncIterator[bytes]:
        """Page by page: a slow reader holds no transaction open."""
        head, line = FORMATS[form]
        yield head
        after, seq = where["since"], -1
        while True:
            async with self._db.read(turn) as session:
                page = (await session.execute(OLDEST, {**where, "after": after, "seq": seq, "limit": PAGE})).all()
            if page:
                yield b"".join(line(_found(principal, data), turn.tenant) for principal, _, _, data in page)
            if len(page) < PAGE:
                return
            await self._people.recheck(turn)  # a long file: who asked for it may have lost the right meanwhile
            _, after, seq, _ = page[-1]

    async def _turn(self, turn: Turn, turn_id: UUID) -> tuple[Row, list[dict[str, Any]]]:
        async with self._db.read(turn) as session:
            row = await visible(session, turn, turn_id)
            events = (await session.execute(EVENTS, {"turn": turn_id})).scalars().all()
        return row, [msgspec.json.decode(data, type=dict[str, Any]) for data in events]

    async def _announce(self, turn: Turn, row: Row, *, count: int) -> None:
        """Another's contents are not looked at without a trace."""
        if count and row["principal"] != turn.principal.pseudonym:
            await self._log.log(turn, ContentsOpened(opened=str(row["turn"]), count=count))

    async def _where(self, turn: Turn, wanted: Filter) -> dict[str, Any]:
        action = wanted.action or "*"
        if not ACTION.fullmatch(action):
            raise ValidationFailed(
                fields=[{"field": "action", "error": "An event's type, or the beginning of one and a *."}]
            )
        person = None
        if wanted.user_id is not None:
            person = (await self._people.user(turn, wanted.user_id)).pseudonym
        return {
            "person": person,
            "type": None if action.endswith("*") else action,
            "prefix": action.removesuffix("*"),
            "since": _first_turn(wanted.since, "since") if wanted.since else UUID(int=0),
            "until": _first_turn(wanted.until, "until") if wanted.until else UUID(int=2**128 - 1),
        }


def _first_turn(at: datetime, name: str) -> UUID:
    """The least id that a turn may have that began at `at` or later: a UUIDv7 begins with its milliseconds."""
    if at.tzinfo is None:
        raise ValidationFailed(fields=[{"field": name, "error": "It needs a time zone, such as Z."}])
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def _kind(event_type: str, place: int) -> str:
    kind = KINDS.get(event_type, "detail")
    return kind if place == 0 else f"{kind}-{place}"


def _shown(kind: str, art: dict[str, Any], found: tuple[bytes, bytes] | None) -> ReplayedArtifact:
    stated = ReplayedArtifact(kind=kind, media_type=art["mt"], size=art["n"], commitment=art["c"], state="erased")
    if found is None:
        return stated
    _, data = found
    try:
        return msgspec.structs.replace(stated, state="opened", text=data.decode())
    except UnicodeDecodeError:
        return msgspec.structs.replace(stated, state="opened", base64=base64.b64encode(data).decode())


def _found(principal: str, data: bytes) -> FoundEvent:
    event = msgspec.json.decode(data, type=dict[str, Any])
    return FoundEvent(
        event_id=UUID(event["ev"]),
        turn_id=UUID(event["turn"]),
        seq=event["seq"],
        type=event["type"],
        source=event["src"],
        at=_time(event["ts_us"]),
        principal=principal,
        body=event["body"],
    )


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_FILTER = """
SELECT t.principal, e.turn, e.seq, e.data
FROM core.event e JOIN core.turn t ON t.tenant = e.tenant AND t.turn = e.turn
WHERE e.turn >= :since AND e.turn < :until
  AND (:person IS NULL OR t.principal = :person)
  AND (:type IS NULL OR e.type = :type) AND starts_with(e.type, :prefix)
"""
_TYPES = (
    bindparam("since", type_=PGUUID(as_uuid=True)),
    bindparam("until", type_=PGUUID(as_uuid=True)),
    bindparam("person", type_=TEXT),
    bindparam("type", type_=TEXT),
    bindparam("prefix", type_=TEXT),
)
NEWEST = text(f"{_FILTER} ORDER BY e.turn DESC, e.seq DESC LIMIT :limit OFFSET :offset").bindparams(*_TYPES)
OLDEST = text(f"{_FILTER} AND (e.turn, e.seq) > (:after, :seq) ORDER BY e.turn, e.seq LIMIT :limit").bindparams(
    *_TYPES, bindparam("after", type_=PGUUID(as_uuid=True))
)
EVENTS = text("SELECT data FROM core.event WHERE turn = :turn ORDER BY seq")

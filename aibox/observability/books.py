"""The books: what was reserved and what was spent, kept by two functions in PostgreSQL (lane observability_0002).

A reservation ends in one way only: the `model_response` that names its call is read from the log, by Delivery or by
`recover`, and its cost is booked in the transaction that writes the generation and removes the reservation. So a crash
at any moment loses nothing and books nothing twice.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from aibox.core.connections import LOST as CONNECTION_LOST
from aibox.core.connections import Connections
from aibox.core.errors import StateUnavailable
from aibox.core.events import Recorded
from aibox.observability.generations import LOST, Generation, call_of, generation_of

TRIES: Final = 3
MOST_RECOVERED: Final = 500

RESERVE = "SELECT * FROM observability.reserve($1::jsonb)"
SETTLE = "SELECT tenant, turn, seq FROM observability.settle($1::jsonb, $2::jsonb)"
OPEN = """
SELECT r.*, r.expires_at < now() AS is_expired, t.state
FROM observability.reservation r LEFT JOIN core.turn t ON t.tenant = r.tenant AND t.turn = r.turn
WHERE r.at <= now() - make_interval(secs => $1) AND ($2::uuid IS NULL OR r.tenant = $2)
ORDER BY r.at LIMIT $3
"""
EVENTS = """
SELECT e.tenant, e.turn, e.seq, e.type, e.source, e.data
FROM core.event e JOIN unnest($1::uuid[], $2::uuid[]) AS x (tenant, turn) ON e.tenant = x.tenant AND e.turn = x.turn
WHERE e.type IN ('model_invoked', 'model_response')
"""


class Ask(Struct, frozen=True, kw_only=True):
    """A call that wants `usd` set aside in whatever holds for it. The limits are its principal's, by role and key."""

    tenant: UUID
    call: str
    turn: UUID
    principal: str
    key: str | None
    agent: str | None
    provider: str
    model: str
    usd: Decimal
    expires_at: datetime
    month_limit_usd: Decimal | None = None
    key_limit_usd: Decimal | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What the books say to an `Ask`. The members after `verdict` name the limit that warned or refused."""

    verdict: str
    subject: str | None
    subject_id: str | None
    period: str | None
    limit_usd: Decimal | None
    spent_usd: Decimal | None
    held_usd: Decimal | None


class Books:
    """Raises `StateUnavailable` when the database cannot be asked."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def reserve(self, asks: Sequence[Ask]) -> list[Verdict | None]:
        """For each, in order, the verdict of the limits that hold for it; None where none does. One call at a time."""
        asked = [{"n": n, **msgspec.to_builtins(ask)} for n, ask in enumerate(asks)]
        verdicts: list[Verdict | None] = [None] * len(asks)
        for row in await self._fetch(RESERVE, _json(asked)):
            verdicts[row["n"]] = Verdict(**{name: row[name] for name in Verdict.__struct_fields__})
        return verdicts

    async def settle(
        self, generations: Sequence[Generation], freed: Sequence[tuple[UUID, str]] = ()
    ) -> list[Generation]:
        """Write these generations, book their cost, end their reservations and those of `freed` (tenant, call).

        Returns the generations that were not written before.
        """
        if not generations and not freed:
            return []
        calls = [*((made.tenant, made.call) for made in generations if made.call), *freed]
        rows = await self._fetch(
            SETTLE, _json(generations), _json([{"tenant": tenant, "call": call} for tenant, call in calls])
        )
        new = {(row["tenant"], row["turn"], row["seq"]) for row in rows}
        return [made for made in generations if (made.tenant, made.turn, made.seq) in new]

    async def recover(self, *, seconds: float, tenant: UUID | None = None) -> list[Generation]:
        """End the reservations that are older than `seconds` and whose call has ended, whatever became of its process.

        The log decides: a call with a `model_response` costs what that says. One that was announced, and whose turn is
        over without, was perhaps answered and billed: it costs what was reserved for it. One that was never announced
        costs nothing. A call whose turn is open is left alone. Returns what was written now.
        """
        rows = await self._fetch(OPEN, seconds, tenant, MOST_RECOVERED)
        if not rows:
            return []
        # The turns' states were read first: in a turn that was over then, no further event can come.
        events = await self._events({(row["tenant"], row["turn"]) for row in rows})
        made: list[Generation] = []
        freed: list[tuple[UUID, str]] = []
        for row in rows:
            response = events.get((row["tenant"], row["call"], "model_response"))
            announced = events.get((row["tenant"], row["call"], "model_invoked"))
            is_over = row["state"] in ("ended", "sealed")
            if response is not None:
                made.append(generation_of(response))
            elif announced is not None and is_over:
                made.append(_lost(row, announced))
            elif announced is None and (is_over or row["is_expired"]):
                freed.append((row["tenant"], row["call"]))
        return await self.settle(made, freed)

    async def _events(self, turns: set[tuple[UUID, UUID]]) -> dict[tuple[UUID, str, str], Recorded]:
        rows = await self._fetch(EVENTS, [tenant for tenant, _ in turns], [turn for _, turn in turns])
        found = [Recorded(**dict(row)) for row in rows]
        return {(event.tenant, call_of(event)[0], event.type): event for event in found}

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask again when the connection broke: both functions may run twice, for they reserve and book a call once."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._connections.system.fetch(statement, *arguments)  # type: ignore[no-any-return]
            except (*CONNECTION_LOST, asyncpg.DeadlockDetectedError):
                # The functions lock in one order; a deadlock is for the day when another statement does not.
                if attempt == TRIES:
                    raise StateUnavailable() from None
        raise AssertionError("unreachable")


def _lost(reservation: Any, announced: Recorded) -> Generation:
    _, at = call_of(announced)
    return Generation(
        tenant=announced.tenant,
        turn=announced.turn,
        seq=announced.seq,
        at=at,
        principal=reservation["principal"],
        key=reservation["key"],
        agent=reservation["agent"],
        provider=reservation["provider"],
        model=reservation["model"],
        call=reservation["call"],
        code=LOST,
        estimated=True,
        cost_usd=reservation["usd"],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

"""Whether the books agree: reservations, spendings, generations and the log's `model_response` events."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from aibox.core.connections import Connections
from aibox.observability import Balance, dollars
from aibox.observability.generations import LOST

MOST_PROBLEMS: Final = 20

# What each row of `spending` must say, from the generations and the open reservations.
_SPENDINGS = """
WITH spent AS (
    SELECT s.subject, s.subject_id, s.period, s.starts, sum(g.cost_usd) AS usd
    FROM observability.generation g, observability.spendings_of(g.principal, g.key, g.agent, g.charged_at) s
    WHERE g.tenant = $1 AND g.cost_usd > 0 GROUP BY 1, 2, 3, 4
), reserved AS (
    SELECT held.id, sum(held.usd) AS usd
    FROM (SELECT unnest(r.spendings) AS id, r.usd FROM observability.reservation r WHERE r.tenant = $1) held GROUP BY 1
)
SELECT coalesce(b.subject, spent.subject) AS subject, coalesce(b.subject_id, spent.subject_id) AS subject_id,
       coalesce(b.period, spent.period) AS period, coalesce(b.starts, spent.starts) AS starts,
       coalesce(b.spent_usd, 0) AS spent_booked, coalesce(spent.usd, 0) AS spent_due,
       coalesce(b.reserved_usd, 0) AS reserved_booked, coalesce(reserved.usd, 0) AS reserved_due
FROM (SELECT * FROM observability.spending WHERE tenant = $1) b
FULL JOIN spent ON (spent.subject, spent.subject_id, spent.period, spent.starts)
                 = (b.subject, b.subject_id, b.period, b.starts)
LEFT JOIN reserved ON reserved.id = b.id
WHERE coalesce(b.spent_usd, 0) <> coalesce(spent.usd, 0)
   OR coalesce(b.reserved_usd, 0) <> coalesce(reserved.usd, 0)
LIMIT 20
"""
_RESPONSES = """
SELECT e.turn, e.seq, e.data, g.cost_usd, g.turn IS NOT NULL AS is_booked
FROM core.event e
LEFT JOIN observability.generation g ON (g.tenant, g.turn, g.seq) = (e.tenant, e.turn, e.seq)
WHERE e.tenant = $1 AND e.type = 'model_response'
"""
_TOTALS = """
SELECT (SELECT coalesce(sum(cost_usd), 0) FROM observability.generation WHERE tenant = $1) AS spent,
       (SELECT coalesce(sum(usd), 0) FROM observability.reservation WHERE tenant = $1) AS reserved,
       (SELECT count(*) FROM observability.reservation WHERE tenant = $1) AS open
"""
_UNFOUNDED = """
SELECT g.turn, g.seq FROM observability.generation g
LEFT JOIN core.event e ON (e.tenant, e.turn, e.seq) = (g.tenant, g.turn, g.seq)
WHERE g.tenant = $1 AND e.type IS DISTINCT FROM CASE g.code WHEN $2 THEN 'model_invoked' ELSE 'model_response' END
LIMIT 20
"""


async def balance(connections: Connections, tenant: UUID) -> Balance:
    """Compare the tenant's books with its log, all at one moment.

    They balance when every spending is the sum of its generations' costs, every reserved amount the sum of its open
    reservations, every generation has its event (`model_response`; `model_invoked` where the call was lost in a
    crash) with the same cost, and every `model_response` its generation. Responses that Delivery has not brought yet
    are counted in `unbooked_responses`, and are no problem by themselves.
    """
    async with (
        connections.system.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        totals = await connection.fetchrow(_TOTALS, tenant)
        problems = [_spending_problem(row) for row in await connection.fetch(_SPENDINGS, tenant)]
        for row in await connection.fetch(_UNFOUNDED, tenant, LOST):
            problems.append(f"The generation {row['turn']}/{row['seq']} has no event of its kind in the log.")
        unbooked = 0
        async for row in connection.cursor(_RESPONSES, tenant):
            unbooked += not row["is_booked"]
            problems.extend(_response_problem(row))
    return Balance(
        is_balanced=not problems,
        reserved_usd=dollars(totals["reserved"]),
        spent_usd=dollars(totals["spent"]),
        open_reservations=totals["open"],
        unbooked_responses=unbooked,
        problems=problems[:MOST_PROBLEMS],
    )


def _spending_problem(row: Any) -> str:
    name = f"{row['subject']} {row['subject_id']} {row['period']} {row['starts']}".replace("  ", " ")
    return (
        f"The spending of {name} says {dollars(row['spent_booked'])} spent and {dollars(row['reserved_booked'])}"
        f" reserved; its calls come to {dollars(row['spent_due'])} and {dollars(row['reserved_due'])}."
    )


class _Body(msgspec.Struct):
    cost_usd: str = ""


class _Response(msgspec.Struct):
    body: _Body


_read = msgspec.json.Decoder(_Response).decode


def _response_problem(row: Any) -> Iterator[str]:
    if not row["is_booked"]:
        return
    said = _read(row["data"]).body.cost_usd
    due = Decimal(said) if said else None
    if due != row["cost_usd"]:
        yield f"The generation {row['turn']}/{row['seq']} has not the cost that its event says."

"""Tombstones in the log and in receipts: that contents were erased, with the place of the entry that says so."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import merkle, receipts
from aibox.audit.nodes import stored_nodes
from aibox.audit.receipts import ErasedArtifact, Erasure, Reason

MOST_COMMITMENTS = 4096
"""Artifacts a tombstone: a receipt's proof has to compute its tree again."""

MOST_IN_A_SEAL = 64


async def due(connection: asyncpg.Connection, tenant: UUID) -> list[asyncpg.Record]:
    """Tombstones of the tenant that have no place in the log yet."""
    rows: list[asyncpg.Record] = await connection.fetch(DUE, tenant, MOST_IN_A_SEAL)
    return rows


def entry(row: asyncpg.Record, *, origin: str, index: int, prev: bytes) -> bytes:
    """The tombstone as an entry of its tenant's log."""
    reason: Reason = row["reason"]
    return receipts.tombstone(
        [bytes.fromhex(commitment) for commitment in row["commitments"]],
        origin=origin,
        index=index,
        prev=prev,
        tenant=row["tenant"],
        turn=row["turn"],
        reason=reason,
        erased_us=row["erased_us"],
    )


async def place(connection: asyncpg.Connection, row: asyncpg.Record, *, origin: str, index: int) -> None:
    """Remember where the tombstone stands, in the transaction that seals it."""
    await connection.execute(PLACE, row["tenant"], row["ordered"], row["part"], origin, index)


async def erasures(session: AsyncSession, events: Mapping[int, bytes]) -> list[Erasure]:
    """The proofs for artifacts of these numbered events that were erased, as far as their tombstones are in the log."""
    stated = [
        (number, art, bytes.fromhex(stated["c"]))
        for number, data in events.items()
        for art, stated in enumerate(json.loads(data)["arts"])
    ]
    if not stated:
        return []
    rows = await session.execute(ERASED, {"stated": sorted({commitment.hex() for _, _, commitment in stated})})
    found, told = [], set()
    for row in rows.mappings():
        erased = sorted({bytes.fromhex(commitment) for commitment in row["commitments"]})
        tree = merkle.Tree(receipts.erased_leaves(erased))
        places = {commitment: place for place, commitment in enumerate(erased)}
        arts = [
            ErasedArtifact(event=number, art=art, place=places[c], path=tree.inclusion(places[c], len(erased)))
            for number, art, c in stated
            if c in places and (number, art) not in told
        ]
        told |= {(one.event, one.art) for one in arts}
        if arts:
            found.append(await _proof(session, dict(row), arts))
    return found


async def _proof(session: AsyncSession, row: dict[str, Any], arts: Sequence[ErasedArtifact]) -> Erasure:
    plan = merkle.inclusion_plan(row["idx"], row["size"])
    nodes = await stored_nodes(session, row["origin"], plan)
    return Erasure(
        entry=row["data"],
        inclusion=merkle.answer(plan, nodes),
        checkpoint=row["note"],
        vkeys=row["vkeys"],
        arts=arts,
    )


DUE = """
SELECT tenant, ordered, part, turn, reason, erased_us, commitments FROM audit.tombstone
WHERE tenant = $1 AND idx IS NULL AND commitments <> '{}' ORDER BY ordered, part LIMIT $2
"""
PLACE = "UPDATE audit.tombstone SET origin = $4, idx = $5 WHERE tenant = $1 AND ordered = $2 AND part = $3"
ERASED = text("""
SELECT t.origin, t.idx, t.commitments, e.data, c.size, c.note, k.vkeys
FROM audit.tombstone t
JOIN audit.entry e ON e.origin = t.origin AND e.idx = t.idx
JOIN LATERAL (
    SELECT size, note, signer FROM audit.checkpoint WHERE origin = t.origin AND size > t.idx ORDER BY size LIMIT 1
) c ON true
JOIN audit.verifier_key k ON k.origin = t.origin AND k.signer = c.signer
WHERE t.commitments && :stated ORDER BY t.origin, t.idx
""").bindparams(bindparam("stated", type_=ARRAY(TEXT)))

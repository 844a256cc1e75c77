"""Puts a sealed turn's proof together from the stored log: receipt.json, and the shorter forms of the same."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.audit import KeyRetired, cose, merkle, notes, receipts
from aibox.audit.links import OPENED_AT
from aibox.audit.nodes import stored_nodes
from aibox.audit.receipts import Addendum, Erasure, OlderHead, Opening, Previous
from aibox.audit.signing import HeadKeys
from aibox.audit.turns import Row
from aibox.core.errors import ValidationFailed


async def bundle(
    session: AsyncSession,
    row: Row,
    events: Sequence[bytes],
    openings: Collection[Opening],
    *,
    pin: int | None,
    pin_log: str | None = None,
    quorum: int,
    erasures: Sequence[Erasure] = (),
    addenda: Sequence[Addendum] = (),
) -> bytes:
    """receipt.json of the sealed turn `row`; its head continues that of `pin` entries. Raises `ValidationFailed`.

    A `pin_log` other than the turn's own is the log before, of which then the pinned head is.
    """
    origin, index, key_index = row["origin"], row["idx"], row["key_idx"]
    where = {"origin": origin, "idx": index, "key": key_index}
    previous = None
    if pin_log not in (None, origin.split("/")[-2]):
        pin, pin_last = None, pin
        head = await _covering_head(session, row, quorum=quorum)
        previous = await _previous(session, origin, head["size"], pin_log, pin_last)
    else:
        head = await _covering_head(session, row, least=pin or 0, quorum=quorum)
    cosignatures = (await session.execute(COSIGNATURES, {"origin": origin, "size": head["size"]})).all()
    signed = sorted([(vkey, line) for vkey, line in cosignatures])
    key_leaf = await session.scalar(KEY_LEAF, where)
    between = (await session.execute(LEAVES_BETWEEN, where)).scalars().all()
    plans = merkle.inclusion_plan(index, head["size"]), merkle.inclusion_plan(key_index, head["size"])
    nodes = await stored_nodes(session, origin, [*plans[0], *plans[1]])
    return receipts.bundle(
        envelope=row["data"],
        signature=row["signature"],
        events=events,
        key_leaf=bytes(key_leaf or b""),
        key_inclusion=merkle.answer(plans[1], nodes),
        chain=between,
        inclusion=merkle.answer(plans[0], nodes),
        checkpoint=head["note"] + "".join(line for _, line in signed),
        vkeys=head["vkeys"],
        openings=openings,
        witnesses=[vkey for vkey, _ in signed],
        older=await _older_head(session, origin, pin, head["size"]),
        erasures=erasures,
        addenda=addenda,
        previous=previous,
    )


async def tlog_proof(session: AsyncSession, row: Row) -> str:
    """The envelope's place in the log as a C2SP tlog-proof."""
    head = await _covering_head(session, row)
    plan = merkle.inclusion_plan(row["idx"], head["size"])
    nodes = await stored_nodes(session, row["origin"], plan)
    return receipts.tlog_proof(
        envelope=row["data"],
        index=row["idx"],
        inclusion=merkle.answer(plan, nodes),
        checkpoint=head["note"],
    )


async def cose_receipt(session: AsyncSession, row: Row, keys: HeadKeys) -> bytes:
    """The envelope's place in the log as a COSE receipt, by the Ed25519 key that signed the covering head."""
    head = await _covering_head(session, row)
    signer = keys.earlier(row["origin"], head["signer"])
    if signer is None:
        raise KeyRetired()
    plan = merkle.inclusion_plan(row["idx"], head["size"])
    nodes = await stored_nodes(session, row["origin"], plan)
    return cose.receipt(
        key=signer.ed25519,
        key_id=signer.keys[0].id,
        origin=row["origin"],
        turn=str(row["turn"]),
        index=row["idx"],
        size=head["size"],
        path=merkle.answer(plan, nodes),
        root=notes.parse_checkpoint(head["note"]).root,
    )


async def _covering_head(session: AsyncSession, row: Row, *, least: int = 0, quorum: int = 1) -> RowMapping:
    """The first head that covers the entry: so a turn has one receipt, however often it is asked for.

    The first that enough witnesses cosigned, as soon as there is one; and of at least `least` entries.
    """
    where = {"origin": row["origin"], "least": max(row["idx"] + 1, least), "quorum": quorum}
    witnessed = await session.scalar(FIRST_WITNESSED, where)
    if witnessed is not None:
        where["least"] = witnessed
    head = (await session.execute(COVERING_HEAD, where)).mappings().one_or_none()
    if head is None:
        raise _never_so_many()
    return head


async def _previous(session: AsyncSession, origin: str, size: int, log_id: str | None, pin: int | None) -> Previous:
    """The proof that the log goes on from the log `log_id`, which begins with the head of `pin` entries."""
    opening = await session.scalar(ENTRY, {"origin": origin, "idx": OPENED_AT})
    last = json.loads(opening or b"{}").get("last", "")
    if last.split("/")[-2:-1] != [log_id]:
        raise ValidationFailed(
            fields=[{"field": "pin_log", "error": "It is neither the log of this turn nor the one before that."}]
        )
    head = (
        (await session.execute(COVERING_HEAD, {"origin": last, "least": json.loads(opening)["size"]})).mappings().one()
    )
    if pin is not None and pin > head["size"]:
        raise _never_so_many()
    closed_at = head["size"] - 1
    plan, closing_plan = merkle.inclusion_plan(OPENED_AT, size), merkle.inclusion_plan(closed_at, head["size"])
    return Previous(
        opening=opening,
        inclusion=merkle.answer(plan, await stored_nodes(session, origin, plan)),
        closing=await session.scalar(ENTRY, {"origin": last, "idx": closed_at}) or b"",
        closing_inclusion=merkle.answer(closing_plan, await stored_nodes(session, last, closing_plan)),
        checkpoint=head["note"],
        vkeys=head["vkeys"],
        older=await _older_head(session, last, pin, head["size"]),
    )


def _never_so_many() -> ValidationFailed:
    return ValidationFailed(
        fields=[{"field": "pin", "error": "The log never had so many entries: that head is not of this log."}]
    )


async def _older_head(session: AsyncSession, origin: str, pin: int | None, size: int) -> OlderHead | None:
    if pin is None or pin == size:
        return None
    span, plan = merkle.root_span(pin), merkle.consistency_plan(pin, size)
    nodes = await stored_nodes(session, origin, [span, *plan])
    root = merkle.fold([nodes[place] for place in span])
    return OlderHead(size=pin, root=root, path=merkle.answer(plan, nodes))


COVERING_HEAD = text("""
SELECT c.size, c.note, c.signer, k.vkeys FROM audit.checkpoint c
JOIN audit.verifier_key k ON k.origin = c.origin AND k.signer = c.signer
WHERE c.origin = :origin AND c.size >= :least ORDER BY c.size LIMIT 1
""")
FIRST_WITNESSED = text("""
SELECT size FROM audit.cosignature WHERE origin = :origin AND size >= :least
GROUP BY size HAVING count(DISTINCT split_part(vkey, '+', 1)) >= :quorum ORDER BY size LIMIT 1
""")
COSIGNATURES = text("SELECT vkey, line FROM audit.cosignature WHERE origin = :origin AND size = :size")
ENTRY = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :idx")
KEY_LEAF = text("SELECT data FROM audit.entry WHERE origin = :origin AND idx = :key")
LEAVES_BETWEEN = text("""
SELECT hash FROM audit.node
WHERE origin = :origin AND level = 0 AND idx > :key AND idx < :idx ORDER BY idx
""")

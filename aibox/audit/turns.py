"""Which turns a principal may look into, and what the turns' artifacts hold."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import NotFound
from aibox.core.keyring import DataKey
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn

SALT = 32

KINDS = {
    "question.asked": "prompt",
    "prompt_generated": "prompt",
    "model_invoked": "prompt",
    "model_response": "response",
    "rag_chunks_retrieved": "chunks",
    "tool_called": "arguments",
    "tool_returned": "result",
}
"""What the artifact of an event is. That of any other is its `detail`; a second one of an event is `detail-1`."""

Row = Mapping[str, Any]


def class_of(event_type: str) -> str:
    """How long an event's artifacts are kept: `content` is what was said in a turn, `detail` all else (Settings)."""
    return "content" if event_type in KINDS else "detail"


async def visible(session: AsyncSession, turn: Turn, turn_id: UUID) -> Row:
    """The turn with its entry, if the principal may see it: its own, or any with `view_audit_log`; else NotFound."""
    row = (await session.execute(TURN, {"tenant": turn.tenant, "turn": turn_id})).mappings().one_or_none()
    principal = turn.principal
    if row is None or principal.kind == "anonymous":
        raise NotFound()
    if row["principal"] != principal.pseudonym and not principal.may("admin.view_audit_log"):
        raise NotFound()
    return dict(row)


class Artifacts:
    """Opens sealed artifacts."""

    def __init__(self, db: Database, keys: DataKeys) -> None:
        self._db = db
        self._keys = keys

    async def open(self, turn: Turn, turn_id: UUID, commitments: Collection[str]) -> dict[str, tuple[bytes, bytes]]:
        """Salt and data by commitment; what was erased is missing. The caller has asked `visible`."""
        async with self._db.read(turn) as session:
            rows = (
                await session.execute(
                    ARTIFACTS, {"tenant": turn.tenant, "turn": turn_id, "wanted": sorted(commitments)}
                )
            ).all()
        keys: dict[str, DataKey | None] = {}
        found = {}
        for commitment, kid, sealed in rows:
            if kid not in keys:
                keys[kid] = await self._keys.named(turn.tenant, kid)
            if (key := keys[kid]) is not None:
                plain = key.open_bytes(sealed, owner=commitment, field="artifact")
                found[commitment] = plain[:SALT], plain[SALT:]
        return found


TURN = text("""
SELECT t.turn, t.principal, t.outcome, t.started_us, e.origin, e.idx, e.data, e.signature, e.key_idx, l.anchored,
    l.witnessed,
    EXISTS (SELECT 1 FROM audit.addendum a WHERE a.tenant = t.tenant AND a.turn = t.turn) AS is_added_to
FROM core.turn t
LEFT JOIN audit.entry e ON e.tenant = t.tenant AND e.turn = t.turn
LEFT JOIN audit.log l ON l.origin = e.origin
WHERE t.tenant = :tenant AND t.turn = :turn
""")
ARTIFACTS = text("""
SELECT commitment, kid, sealed FROM core.artifact
WHERE tenant = :tenant AND turn = :turn AND commitment = ANY (:wanted)
""").bindparams(bindparam("wanted", type_=ARRAY(TEXT)))

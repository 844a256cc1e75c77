"""HTTP of the audit: receipts with their proofs, the keys to pin, and the signed heads."""

from typing import Any
from uuid import UUID

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from aibox.audit import AuditPolicy, Receipt, Receipts
from aibox.core.turn import Turn

SIGNED_IN = {"policy": "signed-in", "scope": "audit:read"}


@get("/v1/receipts/{turn_id:uuid}", opt=SIGNED_IN)
async def receipt(turn: NamedDependency[Turn], turn_id: FromPath[UUID], receipts: NamedDependency[Receipts]) -> Receipt:
    """The receipt of a turn in short."""
    return await receipts.receipt(turn, turn_id)


@get("/v1/receipts/{turn_id:uuid}/proof", opt=SIGNED_IN, media_type=MediaType.JSON)
async def proof(
    turn: NamedDependency[Turn], turn_id: FromPath[UUID], receipts: NamedDependency[Receipts]
) -> Response[bytes]:
    """`receipt.json`, which verifies offline (docs/receipts.md); 409 `not_sealed` while the turn is open."""
    return Response(
        await receipts.proof(turn, turn_id),
        media_type=MediaType.JSON,
        headers={"content-disposition": f'attachment; filename="receipt-{turn_id}.json"', "cache-control": "private"},
    )


@get("/v1/audit/policy", opt=SIGNED_IN)
async def policy(turn: NamedDependency[Turn], receipts: NamedDependency[Receipts]) -> AuditPolicy:
    """The keys of the tenant's logs, for a verifier to pin."""
    return await receipts.policy(turn)


@get("/v1/audit/logs/{log_id:str}/checkpoint", opt=SIGNED_IN, media_type=MediaType.TEXT)
async def checkpoint(turn: NamedDependency[Turn], log_id: FromPath[str], receipts: NamedDependency[Receipts]) -> str:
    """The newest signed head of a log: a C2SP checkpoint."""
    return await receipts.checkpoint(turn, log_id)


ROUTES: list[Any] = [receipt, proof, policy, checkpoint]

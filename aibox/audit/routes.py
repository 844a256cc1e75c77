"""HTTP of the audit: receipts, their proofs, the keys to pin, signed heads, and the events for a tenant's auditors."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from aibox.audit import (
    AuditPolicy,
    AuditTrail,
    Consistency,
    Erased,
    Erasures,
    Filter,
    Format,
    Receipt,
    Receipts,
    Replay,
    Verification,
    cose,
    timestamps,
)
from aibox.audit.formats import MEDIA_TYPES
from aibox.audit.schemas import EraseBody, ExternalBody, FoundEvents, Reported, Stamps
from aibox.audit.verifier.form import MAX_INTEGER
from aibox.core.errors import NotFound
from aibox.core.turn import Turn

SIGNED_IN = {"policy": "signed-in", "scope": "audit:read"}
AUDITOR = {"policy": "admin.view_audit_log", "scope": "audit:read"}
WRITER = {"policy": "signed-in", "scope": "audit:write"}
EXPORTER = {**AUDITOR, "fresh": "people"}
ERASER = {"policy": "signed-in", "scope": "erase", "fresh": "people"}
"""There is no way back from it, so a key needs a scope for nothing else."""

# What a model or a stranger wrote must never run in this origin, whatever type it claims.
INERT = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "private, no-store",
}


@get("/v1/receipts/{turn_id:uuid}", opt=SIGNED_IN)
async def receipt(turn: NamedDependency[Turn], turn_id: FromPath[UUID], receipts: NamedDependency[Receipts]) -> Receipt:
    """The receipt of a turn in short."""
    return await receipts.receipt(turn, turn_id)


@get("/v1/receipts/{turn_id:uuid}/proof", opt=SIGNED_IN, media_type=MediaType.JSON)
async def proof(
    request: Request[Any, Any, Any],
    turn: NamedDependency[Turn],
    turn_id: FromPath[UUID],
    receipts: NamedDependency[Receipts],
    opened: Annotated[Literal["all", "none"], QueryParameter(name="open")] = "none",
    pin: Annotated[int | None, QueryParameter(ge=1, le=MAX_INTEGER)] = None,
    pin_log: Annotated[str | None, QueryParameter(max_length=100)] = None,
) -> Response[bytes]:
    """`receipt.json`, which verifies offline (docs/receipts.md); 409 `not_sealed` while the turn is open.

    With `open=all` it shows its owner's contents too; with `pin`, the size of a head seen before, it proves that its
    own head continues that one, which may be of the log of the year before, named by its id in `pin_log`. `Accept:
    text/plain` gives a C2SP tlog-proof instead, and `application/scitt-receipt+cose` a COSE receipt (RFC 9942).
    """
    match request.accept.best_match([MediaType.JSON, MediaType.TEXT, cose.MEDIA_TYPE]):
        case MediaType.TEXT:
            data = (await receipts.tlog_proof(turn, turn_id)).encode()
            kind, name = str(MediaType.TEXT.value), f"{turn_id}.tlog-proof"
        case cose.MEDIA_TYPE:
            data = await receipts.cose_receipt(turn, turn_id)
            kind, name = cose.MEDIA_TYPE, f"receipt-{turn_id}.cose"
        case _:
            data = await receipts.proof(turn, turn_id, opened=opened == "all", pin=pin, pin_log=pin_log)
            kind, name = str(MediaType.JSON.value), f"receipt-{turn_id}.json"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private", "vary": "accept"}
    return Response(data, media_type=kind, headers=headers)


@get("/v1/audit/policy", opt=SIGNED_IN)
async def policy(turn: NamedDependency[Turn], receipts: NamedDependency[Receipts]) -> AuditPolicy:
    """The keys of the tenant's logs, for a verifier to pin."""
    return await receipts.policy(turn)


@get("/v1/audit/logs/{log_id:str}/checkpoint", opt=SIGNED_IN, media_type=MediaType.TEXT)
async def checkpoint(turn: NamedDependency[Turn], log_id: FromPath[str], receipts: NamedDependency[Receipts]) -> str:
    """The newest signed head of a log: a C2SP checkpoint."""
    return await receipts.checkpoint(turn, log_id)


# Hashes tell nothing; entries name the turns and pseudonyms of the whole tenant.
@get("/v1/audit/logs/{log_id:str}/tile/{level:int}/{number:path}", opt=SIGNED_IN)
async def tile(
    turn: NamedDependency[Turn],
    log_id: FromPath[str],
    level: FromPath[int],
    number: FromPath[str],
    receipts: NamedDependency[Receipts],
) -> Response[bytes]:
    """256 hashes of a level of a log's tree, or those there are so far: a C2SP tile."""
    return _tile(await receipts.tile(turn, log_id, f"tile/{level}/{number.lstrip('/')}"))


@get("/v1/audit/logs/{log_id:str}/tile/entries/{number:path}", opt=AUDITOR)
async def entries(
    turn: NamedDependency[Turn], log_id: FromPath[str], number: FromPath[str], receipts: NamedDependency[Receipts]
) -> Response[bytes]:
    """256 entries of a log, or those there are so far: a C2SP entry bundle."""
    return _tile(await receipts.tile(turn, log_id, f"tile/entries/{number.lstrip('/')}"))


@get("/v1/audit/logs/{log_id:str}/tile/signatures/{number:path}", opt=AUDITOR)
async def signatures(
    turn: NamedDependency[Turn], log_id: FromPath[str], number: FromPath[str], receipts: NamedDependency[Receipts]
) -> Response[bytes]:
    """The signatures of a bundle of entries, in the same form; an entry that is no envelope has an empty one."""
    return _tile(await receipts.tile(turn, log_id, f"tile/signatures/{number.lstrip('/')}"))


def _tile(data: bytes) -> Response[bytes]:
    """A tile never changes."""
    return Response(data, media_type="application/octet-stream", headers={"cache-control": "private, immutable"})


@get("/v1/audit/logs/{log_id:str}/timestamps", opt=SIGNED_IN)
async def stamps(turn: NamedDependency[Turn], log_id: FromPath[str], receipts: NamedDependency[Receipts]) -> Stamps:
    """The heads of a log that an RFC 3161 authority stamped, the newest first."""
    return Stamps(stamps=list(await receipts.stamps(turn, log_id)))


@get("/v1/audit/logs/{log_id:str}/timestamps/{size:int}", opt=SIGNED_IN)
async def stamp(
    turn: NamedDependency[Turn], log_id: FromPath[str], size: FromPath[int], receipts: NamedDependency[Receipts]
) -> Response[bytes]:
    """The authority's answer for the head of this size, as `openssl ts -verify` reads it."""
    data = await receipts.stamp(turn, log_id, size)
    headers = {"content-disposition": f'attachment; filename="head-{size}.tsr"', "cache-control": "private"}
    return Response(data, media_type=timestamps.MEDIA_TYPE, headers=headers)


@get("/v1/audit/logs/{log_id:str}/consistency", opt=SIGNED_IN)
async def consistency(
    turn: NamedDependency[Turn],
    log_id: FromPath[str],
    receipts: NamedDependency[Receipts],
    old: Annotated[int, QueryParameter(name="from")],
    new: Annotated[int | None, QueryParameter(name="to")] = None,
) -> Consistency:
    """The proof that the log at one size is the beginning of the log at another, its newest when `to` is left out."""
    return await receipts.consistency(turn, log_id, old=old, new=new)


@get("/v1/audit/turns/{turn_id:uuid}/replay", opt=SIGNED_IN)
async def replay(turn: NamedDependency[Turn], turn_id: FromPath[UUID], trail: NamedDependency[AuditTrail]) -> Replay:
    """Every event of a turn in order, with what its artifacts hold."""
    return await trail.replay(turn, turn_id)


@get("/v1/audit/turns/{turn_id:uuid}/artifacts/{event_id:uuid}/{kind:str}", opt=SIGNED_IN)
async def artifact(
    turn: NamedDependency[Turn],
    turn_id: FromPath[UUID],
    event_id: FromPath[UUID],
    kind: FromPath[str],
    trail: NamedDependency[AuditTrail],
) -> Response[bytes]:
    """The bytes of one artifact: prompt, response, chunks, arguments, result or detail."""
    content = await trail.content(turn, turn_id, event_id, kind)
    headers = {**INERT, "content-disposition": f'attachment; filename="{kind}-{event_id}"'}
    return Response(content.data, media_type=content.media_type, headers=headers)


@post("/v1/audit", opt=WRITER)
async def report(
    turn: NamedDependency[Turn], trail: NamedDependency[AuditTrail], data: JSONBody[ExternalBody]
) -> Reported:
    """Record an act of another program, as type `external.<action>`: in a turn of its own, or late in a sealed one."""
    event_id = await trail.report(turn, data.act, about=data.turn_id)
    return Reported(event_id=event_id, turn_id=data.turn_id or turn.id)


@post("/v1/audit/erase", opt=ERASER, status_code=200)
async def erase(turn: NamedDependency[Turn], erasures: NamedDependency[Erasures], data: JSONBody[EraseBody]) -> Erased:
    """Erase what a person said, for good: the keys of it are destroyed, and a tombstone says so in the log."""
    return await erasures.erase(turn, user_id=data.user_id, conversation=data.conversation_id)


@get("/v1/admin/audit", opt=AUDITOR)
async def find(
    turn: NamedDependency[Turn],
    trail: NamedDependency[AuditTrail],
    tenant_id: FromQuery[UUID | None] = None,
    user_id: FromQuery[UUID | None] = None,
    action: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
) -> FoundEvents:
    """The tenant's events, those of the newest turns first."""
    _require_own(turn, tenant_id)
    wanted = Filter(user_id=user_id, action=action, since=since, until=until)
    found = await trail.find(turn, wanted, limit=limit, offset=offset)
    return FoundEvents(events=list(found), limit=limit, offset=offset)


@get("/v1/admin/audit/export", opt=EXPORTER)
async def export(
    turn: NamedDependency[Turn],
    trail: NamedDependency[AuditTrail],
    form: Annotated[Format, QueryParameter(name="format")] = "ndjson",
    tenant_id: FromQuery[UUID | None] = None,
    user_id: FromQuery[UUID | None] = None,
    action: FromQuery[str | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
) -> Stream:
    """All of the tenant's events that fit, the oldest turn's first, as a file that is sent while it is read."""
    _require_own(turn, tenant_id)
    lines = await trail.export(turn, Filter(user_id=user_id, action=action, since=since, until=until), form)
    suffix = "csv" if form == "csv" else "ndjson"
    headers = {**INERT, "content-disposition": f'attachment; filename="audit-{turn.tenant}.{suffix}"'}
    return Stream(lines, media_type=MEDIA_TYPES[form], headers=headers)


@get("/v1/admin/audit/verify", opt=AUDITOR)
async def verify(
    turn: NamedDependency[Turn],
    trail: NamedDependency[AuditTrail],
    tenant_id: FromQuery[UUID | None] = None,
    limit: Annotated[int | None, QueryParameter(ge=1)] = None,
) -> Verification:
    """Compute the tenant's logs again from their rows, or only the `limit` newest entries."""
    _require_own(turn, tenant_id)
    return await trail.verify(turn, limit=limit)


@get("/v1/admin/audit/verify/progress", opt=AUDITOR)
async def verify_with_progress(
    turn: NamedDependency[Turn],
    trail: NamedDependency[AuditTrail],
    tenant_id: FromQuery[UUID | None] = None,
    limit: Annotated[int | None, QueryParameter(ge=1)] = None,
) -> Stream:
    """The same as lines of JSON while it runs: how many of `total` are sound so far; the last line is the result."""
    _require_own(turn, tenant_id)
    pages = trail.verify_by_page(turn, limit=limit)
    lines = (msgspec.json.encode(page) + b"\n" async for page in pages)
    return Stream(lines, media_type=MEDIA_TYPES["ndjson"], headers={"cache-control": "private, no-store"})


def _require_own(turn: Turn, tenant: UUID | None) -> None:
    """Another tenant does not exist for this one."""
    if tenant not in (None, turn.tenant):
        raise NotFound()


ROUTES: list[Any] = [
    receipt,
    proof,
    policy,
    checkpoint,
    tile,
    entries,
    signatures,
    stamps,
    stamp,
    consistency,
    replay,
    artifact,
    report,
    erase,
    find,
    export,
    verify,
    verify_with_progress,
]

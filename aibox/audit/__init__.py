"""Hears every event; seals turns into a per-tenant Merkle log, signs its heads and hands out receipts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct, field

from aibox.core.errors import Conflict, Forbidden
from aibox.core.events import Event
from aibox.core.turn import Turn


class Settings(Struct, frozen=True, kw_only=True):
    """Sealing."""

    origin: Annotated[str, Meta(description="The host part of log origins; empty takes the host of the public URL")] = (
        ""
    )
    lease_seconds: Annotated[
        int, Meta(description="A turn whose process has not renewed it for so long was left by a crash", ge=3, le=3600)
    ] = 60
    grace_seconds: Annotated[
        int, Meta(description="Grace after a turn's lease before it is sealed abandoned", ge=0)
    ] = 30
    witnesses: Annotated[
        tuple[str, ...],
        Meta(description="Witnesses who cosign the heads, each `URL VKEY VKEY` as aibox-witness prints its keys"),
    ] = ()
    witness_quorum: Annotated[
        int, Meta(description="How many witnesses must have cosigned until a receipt is `witnessed`", ge=1)
    ] = 1
    witness_seconds: Annotated[
        int, Meta(description="How often the witnesses are asked for the newest heads", ge=1, le=86_400)
    ] = 10
    timestamp_url: Annotated[str, Meta(description="An RFC 3161 authority that stamps heads; empty: none")] = ""
    timestamp_roots: Annotated[
        str, Meta(description="A PEM file with the certificates that the authority's must lead to")
    ] = ""
    timestamp_seconds: Annotated[
        int, Meta(description="How long the last stamp of a log is new enough", ge=1, le=31_536_000)
    ] = 3600
    object_lock_days: Annotated[
        int,
        Meta(
            description="Days that no one can destroy a signed head's copy, in an S3 bucket with Object Lock; 0: none",
            ge=0,
            le=36_500,
        ),
    ] = 0
    keep_content_days: Annotated[
        int, Meta(description="Days that prompts, answers, arguments and results are kept; 0 is for ever", ge=0)
    ] = 0
    keep_detail_days: Annotated[
        int, Meta(description="Days that addresses, user agents and other details are kept; 0 is for ever", ge=0)
    ] = 0
    reserve_mb: Annotated[
        int,
        Meta(description="No turn begins with less free on the data folder's disk; 0 asks nothing", ge=0, le=100_000),
    ] = 256


class NotSealed(Conflict):
    """The turn is still open, or its seal is on its way."""

    code = "not_sealed"
    sentence = "The turn is not sealed yet; ask again in a moment."


class OnlyTheOwner(Forbidden):
    """What came late is added to a turn by its owner."""

    code = "not_the_owner"
    sentence = "Only the owner of a turn adds to it."


class KeyRetired(Conflict):
    """A COSE receipt is signed when it is asked for, and the key of its head is not in the ring any more."""

    code = "key_retired"
    sentence = "The key that signed this turn's head is retired; take the receipt as JSON, which carries its signature."


class NotYours(Forbidden):
    """Only a turn's owner opens its contents in a receipt; who may view the audit log replays the turn instead."""

    code = "not_the_owner"
    sentence = "Only the owner of a turn opens its contents in a receipt."


class _ByAction:
    """The type of an external act: `external.<action>` of an event, `external.*` of the class, as the docs list it."""

    def __get__(self, event: "ExternalAct | None", owner: object) -> str:
        return "external.*" if event is None else f"external.{event.action}"


class ExternalAct(Event, frozen=True, kw_only=True):
    """Another program reported an act of its own; its type is `external.<action>`, its `detail` an artifact."""

    type: ClassVar[_ByAction] = _ByAction()  # it reads as the text that Event promises
    action: str
    resource_type: str
    resource_id: str
    result: str


class AddendumMade(Event, frozen=True, kw_only=True):
    """So many late events, numbered from `first` on, were added to the sealed turn `about`."""

    type: ClassVar[str] = "audit.addendum_made"
    about: str
    first: int
    count: int


class ContentsOpened(Event, frozen=True, kw_only=True):
    """Who may view the audit log is about to be shown the contents of another's turn."""

    type: ClassVar[str] = "audit.contents_opened"
    opened: str
    count: int


class LogExported(Event, frozen=True, kw_only=True):
    """Events of the tenant are about to leave as a file; `filters` are those that were asked for."""

    type: ClassVar[str] = "audit.exported"
    format: str
    filters: dict[str, str]


class ErasureOrdered(Event, frozen=True, kw_only=True):
    """What a person said is to be erased, everywhere or in one conversation. Every module removes what is its own.

    `ordered` is the turn that first ordered it; after a restore another turn repeats the order.
    """

    type: ClassVar[str] = "audit.erasure_ordered"
    subject: str
    person: str
    conversation: str | None
    ordered: str


class RetentionDue(Event, frozen=True, kw_only=True):
    """Contents of the class `kept_as` that were sealed before the month `before` are kept no longer."""

    type: ClassVar[str] = "audit.retention_due"
    kept_as: str
    before: str
    ordered: str


class ErasureDone(Event, frozen=True, kw_only=True):
    """The keys of an erasure are destroyed, and with them so many contents of turns."""

    type: ClassVar[str] = "audit.erased"
    ordered: str
    keys: int
    contents: int


class KeysRotated(Event, frozen=True, kw_only=True):
    """A key ring was changed at the console: a key `added`, old ones `dropped`, or all data keys `rewrapped`."""

    type: ClassVar[str] = "audit.keys_rotated"
    ring: str
    key: str
    act: Literal["added", "dropped", "rewrapped"]


class LogAbandoned(Event, frozen=True, kw_only=True):
    """A log that lost its newest entries is given up; its turns are sealed again in a new log."""

    type: ClassVar[str] = "audit.log_abandoned"
    log: str
    reason: str


class Erased(Struct, frozen=True, kw_only=True):
    """An erasure that was carried out; `contents` counts what was said in turns."""

    turn_id: UUID
    contents: int


State = Literal["open", "sealed", "anchored", "witnessed"]


class Added(Struct, frozen=True, kw_only=True):
    """So many events, numbered from `first` on, that came after the seal, and the place of their addendum, if yet."""

    first: int
    events: int
    state: State
    log: str | None = None
    idx: int | None = None


class Receipt(Struct, frozen=True, kw_only=True):
    """The summary of a turn's receipt. `state`: open → sealed (under a signed checkpoint) → anchored (head copied out)
    → witnessed (a head over it is cosigned by enough witnesses).

    `idx` is the leaf's index in the tenant's log, `root` the hex root of the turn's event tree, `sealed_at`
    RFC 3339. `addenda` name the events that came after the seal.
    """

    turn_id: UUID
    state: State
    outcome: str | None = None
    log: str | None = None
    idx: int | None = None
    events: int | None = None
    root: str | None = None
    sealed_at: str | None = None
    addenda: tuple[Added, ...] = ()


class PinnedLog(Struct, frozen=True, kw_only=True):
    """A log and its two C2SP verifier keys: Ed25519, then ML-DSA-44."""

    origin: str
    vkeys: tuple[str, str]


class AuditPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The keys that a verifier trusts. A log stands twice after a change of keys.

    With `witnesses`, the verifier keys of those who cosign, a head must carry the cosignatures of `quorum` of them.
    """

    logs: tuple[PinnedLog, ...]
    witnesses: tuple[str, ...] = ()
    quorum: int = 0


class Consistency(Struct, frozen=True, kw_only=True):
    """An RFC 9162 consistency proof between two sizes of a log; its hashes in hex."""

    log: str
    old: int = field(name="from")
    new: int = field(name="to")
    path: tuple[str, ...]


class Stamped(Struct, frozen=True, kw_only=True):
    """A head that an RFC 3161 authority stamped: its size, and when (RFC 3339)."""

    size: int
    at: str


class Content(Struct, frozen=True, kw_only=True):
    """What an artifact holds."""

    media_type: str
    data: bytes


class ReplayedArtifact(Struct, frozen=True, kw_only=True):
    """An artifact of an event. What is UTF-8 stands in `text`, else in `base64`; an erased one has neither."""

    kind: str
    media_type: str
    size: int
    commitment: str
    state: Literal["opened", "erased"]
    text: str | None = None
    base64: str | None = None


class ReplayedEvent(Struct, frozen=True, kw_only=True):
    """An event with what its artifacts hold. `at` is RFC 3339."""

    event_id: UUID
    seq: int
    type: str
    source: str
    at: str
    body: dict[str, Any]
    artifacts: tuple[ReplayedArtifact, ...]


class Replay(Struct, frozen=True, kw_only=True):
    """A turn, event by event, as it was recorded."""

    turn_id: UUID
    principal: str
    outcome: str | None
    started_at: str
    events: tuple[ReplayedEvent, ...]


class Filter(Struct, frozen=True, kw_only=True):
    """Which events: by person, by type (exact, or a beginning and `*`), by when their turn began."""

    user_id: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class FoundEvent(Struct, frozen=True, kw_only=True):
    """An event of the tenant; `principal` is the pseudonym of who acted, `at` RFC 3339."""

    event_id: UUID
    turn_id: UUID
    seq: int
    type: str
    source: str
    at: str
    principal: str
    body: dict[str, Any]


class Fault(Struct, frozen=True, kw_only=True):
    """The first row of a log that is not what was signed.

    `idx` is the entry's, or the log's size where its head is at fault; `seq` is the event's in `turn_id`.
    """

    log: str
    idx: int
    reason: str
    turn_id: UUID | None = None
    seq: int | None = None


class Verification(Struct, frozen=True, kw_only=True):
    """What a check of the stored logs found: of `total` entries to look at, `checked` are sound so far."""

    ok: bool
    checked: int
    total: int
    first_bad: Fault | None = None


Format = Literal["ndjson", "csv", "ocsf"]


class Person(Protocol):
    """What the trail needs to know of a person."""

    @property
    def pseudonym(self) -> str: ...


class People(Protocol):
    """Who knows the people of a tenant."""

    async def user(self, turn: Turn, user_id: UUID, /) -> Person:
        """The person; NotFound when the tenant has none by this id."""
        ...

    async def recheck(self, turn: Turn) -> None:
        """Raises when the turn's credential has ended, or its person may do less by now."""
        ...


@runtime_checkable
class AuditTrail(Protocol):
    """The tenant's events. Turns as in `Receipts`; the rest is for who may `view_audit_log`: the routes ask."""

    async def replay(self, turn: Turn, turn_id: UUID) -> Replay:
        """Every event of a turn in order, with what its artifacts hold."""
        ...

    async def content(self, turn: Turn, turn_id: UUID, event_id: UUID, kind: str) -> Content:
        """One artifact; NotFound also for an erased one."""
        ...

    async def report(self, turn: Turn, act: ExternalAct, *, about: UUID | None = None) -> UUID:
        """Record an act of another program; the event's id.

        With `about`, a sealed turn of the caller's own, it is added to that. Raises `NotSealed` while that is open.
        """
        ...

    async def find(self, turn: Turn, wanted: Filter, *, limit: int, offset: int) -> Sequence[FoundEvent]:
        """Events of the newest turns first, within a turn the last event first."""
        ...

    async def export(self, turn: Turn, wanted: Filter, form: Format) -> AsyncIterator[bytes]:
        """All events, the oldest turn's first, as lines of a file."""
        ...

    async def verify(self, turn: Turn, *, limit: int | None = None) -> Verification:
        """Compute the tenant's logs again from their rows; with `limit`, only that many of the newest entries."""
        ...

    def verify_by_page(self, turn: Turn, *, limit: int | None = None) -> AsyncIterator[Verification]:
        """The same, with how far it came after each page of entries; the last one says what was found."""
        ...


@runtime_checkable
class Erasures(Protocol):
    """Erases contents for good; their commitments stay in the log, with a tombstone."""

    async def erase(self, turn: Turn, *, user_id: UUID | None = None, conversation: UUID | None = None) -> Erased:
        """Erase what a person said, everywhere or in one conversation; on return it is gone.

        One's own needs no permission, another's `admin.manage_users`. Raises NotFound for an unknown person.
        """
        ...


@runtime_checkable
class Receipts(Protocol):
    """Receipts of the turn's tenant: a user's own, all for who may `view_audit_log`; others are NotFound."""

    async def receipt(self, turn: Turn, turn_id: UUID) -> Receipt: ...

    async def proof(
        self, turn: Turn, turn_id: UUID, *, opened: bool = False, pin: int | None = None, pin_log: str | None = None
    ) -> bytes:
        """`receipt.json`, exact bytes (docs/receipts.md). Raises `NotSealed` while open.

        With `pin`, the size of a head seen before, it proves that its own head continues that one. With `pin_log`, the
        id of the log of the year before, that head is of that log, and the turn's log is proved to go on from it.

        With `opened` it shows what the turn's artifacts hold, as far as they were not erased, and raises `NotYours` for
        anyone but the turn's owner.
        """
        ...

    async def tlog_proof(self, turn: Turn, turn_id: UUID) -> str:
        """The envelope's place in the log as a C2SP tlog-proof; its extra data is the envelope."""
        ...

    async def cose_receipt(self, turn: Turn, turn_id: UUID) -> bytes:
        """The envelope's place in the log as a COSE receipt (RFC 9942). Raises `KeyRetired`."""
        ...

    async def wait_sealed(self, turn: Turn, turn_id: UUID, *, timeout: float) -> Receipt:
        """The receipt as soon as it is sealed, or as it is after `timeout` seconds."""
        ...

    async def policy(self, turn: Turn) -> AuditPolicy:
        """What a verifier pins: the keys of the tenant's logs, the newest first."""
        ...

    async def checkpoint(self, turn: Turn, log_id: str) -> str:
        """The newest signed head of a log of the tenant, as a C2SP checkpoint."""
        ...

    async def tile(self, turn: Turn, log_id: str, path: str) -> bytes:
        """A tile of hashes or bundle of entries of a log of the tenant, by its C2SP path; NotFound if there is none."""
        ...

    async def stamps(self, turn: Turn, log_id: str) -> Sequence[Stamped]:
        """The stamped heads of a log of the tenant, the newest first, at most 1,000."""
        ...

    async def stamp(self, turn: Turn, log_id: str, size: int) -> bytes:
        """The authority's answer for the head of this size, as it came."""
        ...

    async def consistency(self, turn: Turn, log_id: str, *, old: int, new: int | None = None) -> Consistency:
        """The proof that a log's first `old` entries are a prefix of its first `new`, of all when None.

        Raises `ValidationFailed` unless 0 < old <= new <= the log's size.
        """
        ...

    def run(self, tasks: asyncio.TaskGroup) -> AbstractAsyncContextManager[None]:
        """Seal what ends, end what a crash left, and copy signed heads out, for the time of the block."""
        ...

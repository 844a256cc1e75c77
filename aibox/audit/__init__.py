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
    grace_seconds: Annotated[int, Meta(description="Grace after a turn's lease before it is sealed abandoned")] = 30


class NotSealed(Conflict):
    """The turn is still open, or its seal is on its way."""

    code = "not_sealed"
    sentence = "The turn is not sealed yet; ask again in a moment."


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


class Receipt(Struct, frozen=True, kw_only=True):
    """The summary of a turn's receipt. `state`: open → sealed (under a signed checkpoint) → anchored (head copied out).

    `idx` is the leaf's index in the tenant's log, `root` the hex root of the turn's event tree, `sealed_at`
    RFC 3339.
    """

    turn_id: UUID
    state: Literal["open", "sealed", "anchored", "witnessed"]
    outcome: str | None = None
    log: str | None = None
    idx: int | None = None
    events: int | None = None
    root: str | None = None
    sealed_at: str | None = None


class PinnedLog(Struct, frozen=True, kw_only=True):
    """A log and its two C2SP verifier keys: Ed25519, then ML-DSA-44."""

    origin: str
    vkeys: tuple[str, str]


class AuditPolicy(Struct, frozen=True, kw_only=True):
    """The keys that a verifier trusts. A log stands twice after a change of keys."""

    logs: tuple[PinnedLog, ...]


class Consistency(Struct, frozen=True, kw_only=True):
    """An RFC 9162 consistency proof between two sizes of a log; its hashes in hex."""

    log: str
    old: int = field(name="from")
    new: int = field(name="to")
    path: tuple[str, ...]


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
    """What a check of the stored logs found; `checked` counts entries."""

    ok: bool
    checked: int
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


@runtime_checkable
class AuditTrail(Protocol):
    """The tenant's events. Turns as in `Receipts`; the rest is for who may `view_audit_log`: the routes ask."""

    async def replay(self, turn: Turn, turn_id: UUID) -> Replay:
        """Every event of a turn in order, with what its artifacts hold."""
        ...

    async def content(self, turn: Turn, turn_id: UUID, event_id: UUID, kind: str) -> Content:
        """One artifact; NotFound also for an erased one."""
        ...

    async def report(self, turn: Turn, act: ExternalAct) -> UUID:
        """Record an act of another program; the event's id."""
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


@runtime_checkable
class Receipts(Protocol):
    """Receipts of the turn's tenant: a user's own, all for who may `view_audit_log`; others are NotFound."""

    async def receipt(self, turn: Turn, turn_id: UUID) -> Receipt: ...

    async def proof(self, turn: Turn, turn_id: UUID, *, opened: bool = False) -> bytes:
        """`receipt.json`, exact bytes (docs/receipts.md). Raises `NotSealed` while open.

        With `opened` it shows what the turn's artifacts hold, as far as they were not erased, and raises `NotYours` for
        anyone but the turn's owner.
        """
        ...

    async def tlog_proof(self, turn: Turn, turn_id: UUID) -> str:
        """The envelope's place in the log as a C2SP tlog-proof; its extra data is the envelope."""
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

    async def consistency(self, turn: Turn, log_id: str, *, old: int, new: int | None = None) -> Consistency:
        """The proof that a log's first `old` entries are a prefix of its first `new`, of all when None.

        Raises `ValidationFailed` unless 0 < old <= new <= the log's size.
        """
        ...

    def run(self, tasks: asyncio.TaskGroup) -> AbstractAsyncContextManager[None]:
        """Seal what ends, end what a crash left, and copy signed heads out, for the time of the block."""
        ...

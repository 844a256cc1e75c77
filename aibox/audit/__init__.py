"""Hears every event; seals turns into a per-tenant Merkle log, signs its heads and hands out receipts."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import Conflict
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


@runtime_checkable
class Receipts(Protocol):
    """Receipts of the turn's tenant: a user's own, all for who may `view_audit_log`; others are NotFound."""

    async def receipt(self, turn: Turn, turn_id: UUID) -> Receipt: ...

    async def proof(self, turn: Turn, turn_id: UUID) -> bytes:
        """`receipt.json`, exact bytes (docs/receipts.md). Raises `NotSealed` while open."""
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

    def run(self, tasks: asyncio.TaskGroup) -> AbstractAsyncContextManager[None]:
        """Seal what ends, end what a crash left, and copy signed heads out, for the time of the block."""
        ...

"""Events: what modules declare, the canonical bytes the log keeps, and the bus that tells who hears what.

A module declares an event in its face as a frozen struct whose fields are the event's body:

    class ModelInvoked(Event, frozen=True, kw_only=True):
        \"""A model is about to be called.\"""
        type: ClassVar[str] = "model_invoked"
        provider: str
        model: str

Prompts, answers, arguments and results never stand in a body: they are attached as `Artifact`s, and the event holds
only a salted commitment to each. The format is audit.md's `aibox.event/1`.
"""

import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

import msgspec

from aibox.core.turn import Turn, uuid7

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 32

_PROCESS_START_NS = time.monotonic_ns()
"""`mono_ns` counts from here: the machine's own count passes 2^53 after 104 days, and says no more than this one."""

_encode = msgspec.json.Encoder(order="sorted").encode


class CanonicalError(ValueError):
    """A value that has no canonical form here: a float, a large integer, a non-ASCII key, too deep."""


def canonical(value: dict[str, Any]) -> bytes:
    """Canonical JSON of `value`: RFC 8785 restricted to ASCII keys, no floats, integers within 2^53-1, depth <= 32.

    Under that restriction msgspec's sorted encoder equals RFC 8785 byte for byte (a property test compares them).
    """
    _require_canonical(value, depth=1)
    try:
        return _encode(value)
    except UnicodeEncodeError:
        raise CanonicalError("a lone surrogate has no UTF-8 form") from None


def _require_canonical(value: object, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CanonicalError(f"deeper than {MAX_DEPTH}")
    if isinstance(value, str) or value is None or isinstance(value, bool):  # most are texts
        return
    if isinstance(value, int):
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise CanonicalError("an integer beyond 2^53-1")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise CanonicalError("a key that is not ASCII text")
            _require_canonical(item, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_canonical(item, depth=depth + 1)
    else:
        raise CanonicalError(f"a {type(value).__name__} has no canonical form")


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162 §2.1.1: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


class Artifact(msgspec.Struct, frozen=True, dict=True):
    """Content that an event commits to without showing it. `salt` makes a short secret impossible to guess."""

    media_type: str
    data: bytes
    salt: bytes = msgspec.field(default_factory=lambda: os.urandom(32))

    @cached_property
    def commitment(self) -> str:
        """SHA-256("aibox.artifact/1\\n" || salt[32] || u32be(len mt) || mt || u64be(len data) || data), hex."""
        kind = self.media_type.encode()
        return hashlib.sha256(
            b"aibox.artifact/1\n" + self.salt + len(kind).to_bytes(4) + kind + len(self.data).to_bytes(8) + self.data
        ).hexdigest()


def text_artifact(text: str) -> Artifact:
    """A plain-text artifact."""
    return Artifact("text/plain; charset=utf-8", text.encode("utf-8", "replace"))


def json_artifact(value: object) -> Artifact:
    """An artifact of any JSON value; here floats are welcome, for the bytes are kept as they are."""
    return Artifact("application/json", msgspec.json.encode(value))


EVENT_TYPES: dict[str, type["Event"]] = {}
"""Every declared event by its type; `docs/events.md` lists all of them (a test compares)."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. The fields of a subclass are its body; `artifacts` are attached, never shown."""

    type: ClassVar[str]
    artifacts: tuple[Artifact, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = EVENT_TYPES.setdefault(cls.type, cls)
        if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
            raise TypeError(f"event type {cls.type!r} is declared twice")

    @classmethod
    def source(cls) -> str:
        """The module that declares the event: `router` for `aibox.router`."""
        return cls.__module__.split(".")[1]

    def body(self) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.to_builtins(self)
        del fields["artifacts"]
        return fields


class TurnStarted(Event, frozen=True, kw_only=True):
    """A turn entered the log, together with its first event. `parent` is the turn that caused it."""

    type: ClassVar[str] = "turn_started"
    principal: str
    kind: str
    parent: str | None = None
    key: str | None = None


class TurnFailed(Event, frozen=True, kw_only=True):
    """The turn could not be finished; `code` is the stable code that the caller was shown."""

    type: ClassVar[str] = "turn_failed"
    code: str
    step: str = ""


class TurnSealed(Event, frozen=True, kw_only=True):
    """The last event of a turn: states the outcome and asks for the seal."""

    type: ClassVar[str] = "turn_sealed"
    outcome: str
    children: tuple[str, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log: the exact canonical bytes, and where they stand."""

    tenant: UUID
    turn: UUID
    seq: int
    type: str
    source: str
    data: bytes
    xact: int = 0
    row: int = 0

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.data)

    def decode(self) -> dict[str, Any]:
        """The event's JSON object. Hash `data`, never what this returns."""
        return msgspec.json.decode(self.data, type=dict[str, Any])


def record(turn: Turn, event: Event, *, seq: int) -> Recorded:
    """`event` as the row number `seq` of `turn`."""
    arts = [
        {"c": artifact.commitment, "mt": artifact.media_type, "n": len(artifact.data)} for artifact in event.artifacts
    ]
    data = canonical(
        {
            "@": "aibox.event/1",
            "arts": arts,
            "body": event.body(),
            "ev": str(uuid7()),
            "mono_ns": time.monotonic_ns() - _PROCESS_START_NS,
            "seq": seq,
            "src": event.source(),
            "tenant": str(turn.tenant),
            "ts_us": time.time_ns() // 1000,
            "turn": str(turn.id),
            "type": event.type,
        }
    )
    return Recorded(tenant=turn.tenant, turn=turn.id, seq=seq, type=event.type, source=event.source(), data=data)


Handler = Callable[[Sequence[Recorded]], Awaitable[None]]


class Subscription(msgspec.Struct, frozen=True):
    """A subscriber with a durable cursor. `types` None hears everything. The handler must be idempotent."""

    name: str
    handler: Handler
    types: frozenset[str] | None = None


class Bus:
    """Who hears which events. Filled while the System is built; `Delivery` carries the events."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}

    def subscribe(self, name: str, handler: Handler, *, types: Iterable[str] | None = None) -> None:
        """Hear `types` (all when None) as `name`: at least once each, in commit order."""
        if name in self.subscriptions:
            raise ValueError(f"subscriber {name!r} is registered twice")
        self.subscriptions[name] = Subscription(name, handler, None if types is None else frozenset(types))
